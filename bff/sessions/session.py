"""Say what a session is: the two tickets a browser holds, and their arithmetic."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bff.identity.messages import Person, Tokens

# A token is renewed within this many seconds of its end, or the last fifth of its life.
REFRESH_SECONDS = 30.0
REFRESH_SHARE = 0.2
# No access token is used longer, whatever the provider grants: ended sessions are
# remembered for this long.
LONGEST_ACCESS = 3600.0


class DamagedTicket(ValueError):
    """Tell that an opened ticket does not hold what it must."""


def new_sid(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> UUID:
    """Return a session id of 128 random bits; a version 4 UUID has only 122."""
    return UUID(bytes=random_bytes(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTicket:
    """What `nx_access` seals; times are seconds since the epoch by our clock."""

    sid: UUID
    gen: int
    iss: str
    sub: str
    email: str
    email_verified: bool
    tenant_id: int | None
    roles: tuple[str, ...]
    access_token: str
    access_from: float
    access_exp: float
    session_exp: float
    # The provider keeps a session in this browser too: it was begun by redirect.
    sso: bool = False

    @property
    def user_id(self) -> str:
        """Return the key of the person: issuer and subject, never the e-mail."""
        return f"{self.iss} {self.sub}"

    def is_expired(self, now: float) -> bool:
        """Tell whether the access token may no longer be used."""
        return now >= self.access_exp

    def is_over(self, now: float) -> bool:
        """Tell whether the session has reached its absolute end."""
        return now >= self.session_exp

    @property
    def refresh_from(self) -> float:
        """Return when the access token is near its end."""
        life = self.access_exp - self.access_from
        return self.access_exp - min(REFRESH_SECONDS, REFRESH_SHARE * life)

    def should_refresh(self, now: float) -> bool:
        """Tell whether the access token is near its end."""
        return now >= self.refresh_from


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTicket:
    """What `nx_refresh` seals."""

    sid: UUID
    gen: int
    refresh_token: str
    refresh_exp: float

    def is_over(self, now: float) -> bool:
        """Tell whether the provider would refuse the refresh token by its age."""
        return now >= self.refresh_exp


@dataclass(frozen=True, slots=True)
class Seat:
    """The tenant a session acts for, in which roles; *stored* are its membership's.

    The others are the claim's. *suspended* tells of a tenant that would be the
    person's, and is suspended.
    """

    tenant_id: int | None
    roles: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """Both tickets of one generation."""

    access: AccessTicket
    refresh: RefreshTicket

    def dump(self) -> bytes:
        """Write both for the row's successor."""
        tickets = {"access": fields(self.access), "refresh": fields(self.refresh)}
        return json.dumps(tickets).encode()

    @classmethod
    def load(cls, data: bytes) -> Pair:
        """Read what `dump` wrote."""
        tickets = json.loads(data)
        return cls(read_access(tickets["access"]), read_refresh(tickets["refresh"]))


def new_pair(
    *,
    sid: UUID,
    gen: int,
    person: Person,
    tokens: Tokens,
    tenant_id: int | None,
    roles: tuple[str, ...],
    session_exp: float,
    now: float,
    sso: bool = False,
) -> Pair:
    """Make the tickets for tokens that have just come from the provider."""
    refresh_exp = session_exp
    if tokens.refresh_expires_in:  # 0 means: no end of its own
        refresh_exp = min(session_exp, now + tokens.refresh_expires_in)
    access = AccessTicket(
        sid=sid,
        gen=gen,
        iss=person.iss,
        sub=person.sub,
        email=person.email,
        email_verified=person.email_verified,
        tenant_id=tenant_id,
        roles=roles,
        access_token=tokens.access_token,
        access_from=now,
        access_exp=min(now + min(tokens.expires_in, LONGEST_ACCESS), session_exp),
        session_exp=session_exp,
        sso=sso,
    )
    refresh = RefreshTicket(
        sid=sid,
        gen=gen,
        refresh_token=tokens.refresh_token,
        refresh_exp=refresh_exp,
    )
    return Pair(access, refresh)


def with_tenant(pair: Pair, tenant_id: int, roles: tuple[str, ...], gen: int) -> Pair:
    """Return *pair* as generation *gen* of the same session, now in *tenant_id*."""
    access = replace(pair.access, tenant_id=tenant_id, roles=roles, gen=gen)
    return Pair(access, replace(pair.refresh, gen=gen))


def renamed(pair: Pair, sid: UUID) -> Pair:
    """Return *pair* as the first generation of session *sid*."""
    access = replace(pair.access, sid=sid, gen=1)
    return Pair(access, replace(pair.refresh, sid=sid, gen=1))


def fields(ticket: AccessTicket | RefreshTicket) -> dict[str, Any]:
    """Return *ticket* as JSON values."""
    values = asdict(ticket)
    values["sid"] = ticket.sid.hex
    if not values.get("sso"):
        values.pop("sso", None)  # absent is false: cookies stay small
    return values


def read_access(values: Mapping[str, Any]) -> AccessTicket:
    """Read an access ticket.

    Raises:
        DamagedTicket: when a field is missing or of another kind.
    """
    try:
        known = {**values, "sid": UUID(values["sid"]), "roles": tuple(values["roles"])}
        return AccessTicket(**known)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedTicket from error


def read_refresh(values: Mapping[str, Any]) -> RefreshTicket:
    """Read a refresh ticket.

    Raises:
        DamagedTicket: when a field is missing or of another kind.
    """
    try:
        return RefreshTicket(**{**values, "sid": UUID(values["sid"])})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedTicket from error
