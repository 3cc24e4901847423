"""SSO sessions, the clients within them and refresh-token reuse; no I/O here."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bff.dev.provider.model import Realm

# Keycloak keeps an idle session a little longer than its refresh tokens.
IDLE_GRACE = 120
# 18 bytes make the 24 characters that a session id has since 26.5.
_ID_BYTES = 18


@dataclass(kw_only=True)
class Chain:
    """The refresh tokens that descend from one sign-in, when rotation is on."""

    current: str
    used: str | None = None


@dataclass(kw_only=True)
class ClientSession:
    """One client's part in an SSO session."""

    started: int
    chains: dict[str, Chain] = field(default_factory=dict)


@dataclass(kw_only=True)
class SsoSession:
    """One sign-in of one person, which several clients may share."""

    id: str
    sub: str
    issuer: str
    started: int
    last_refresh: int
    auth_time: int | None = None
    clients: dict[str, ClientSession] = field(default_factory=dict)
    is_ending: bool = False

    def join(self, client_id: str, now: int) -> ClientSession:
        """Return the client's part, beginning it if needed."""
        return self.clients.setdefault(client_id, ClientSession(started=now))

    def ends_at(self, realm: Realm) -> int:
        """Return when this session ends, however busy it is."""
        return self.started + realm.max_ttl

    def is_live(self, realm: Realm, now: float) -> bool:
        """Tell whether the session is neither too old nor too idle."""
        idle_until = self.last_refresh + realm.idle_ttl + IDLE_GRACE
        return now < min(self.ends_at(realm), idle_until)


class Sessions:
    """Every SSO session that has not ended."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm
        self._by_id: dict[str, SsoSession] = {}

    def __iter__(self) -> Iterator[SsoSession]:
        return iter(tuple(self._by_id.values()))

    def begin(
        self, sub: str, issuer: str, now: int, *, auth_time: int | None = None
    ) -> SsoSession:
        """Begin a session."""
        session = SsoSession(
            id=secrets.token_urlsafe(_ID_BYTES),
            sub=sub,
            issuer=issuer,
            started=now,
            last_refresh=now,
            auth_time=auth_time,
        )
        self._by_id[session.id] = session
        return session

    def live(self, id_: str, now: float) -> SsoSession | None:
        """Return the session of this id, forgetting it when its time is over."""
        session = self._by_id.get(id_)
        if session is None or session.is_live(self._realm, now):
            return session
        self.forget(id_)
        return None

    def of(self, sub: str) -> list[SsoSession]:
        """List one person's sessions."""
        return [one for one in self if one.sub == sub]

    def forget(self, id_: str) -> None:
        """End a session here; nobody is told."""
        self._by_id.pop(id_, None)

    def dump(self, now: float) -> list[dict[str, Any]]:
        """Export what is still live."""
        live = [one for one in self if one.is_live(self._realm, now)]
        return [asdict(one) for one in live if not one.is_ending]

    def load(self, saved: list[dict[str, Any]]) -> None:
        """Continue with exported sessions."""
        for values in saved:
            clients = {
                client_id: ClientSession(
                    started=one["started"],
                    chains={key: Chain(**link) for key, link in one["chains"].items()},
                )
                for client_id, one in values.pop("clients").items()
            }
            session = SsoSession(**values, clients=clients)
            self._by_id[session.id] = session


def spend(client: ClientSession, chain: str, jti: str) -> str | None:
    """Use up a rotating refresh token; a refusal is returned as Keycloak words it.

    Check and act stand together without a pause: of many who present one token
    exactly one is served.
    """
    # A chain begins late when the token is older than the setting.
    link = client.chains.setdefault(chain, Chain(current=jti))
    if jti not in {link.current, link.used}:
        return "Stale token"
    if jti == link.used:
        return "Maximum allowed refresh token reuse exceeded"
    link.used = jti
    return None
