"""Read what an OpenID provider answers: tokens, claims, and Keycloak's errors.

Keycloak's error table is of 26.6 to 26.8: bad credentials are 400 there and were 401
before, so the status never decides alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLES = ("viewer", "ops", "admin")
# The claim that names a person's tenant: `tenant_id`, or `organization`.
TenantSource = Literal["attribute", "organization"]
# Tokens from the future up to this many seconds pass: clocks differ, people do not.
CLOCK_TOLERANCE = 150.0
MAX_TENANT = 2**63 - 1


class Refusal(Enum):
    """What a refused token request means for the person."""

    CREDENTIALS = auto()
    ACTION_REQUIRED = auto()
    SESSION_OVER = auto()
    MISCONFIGURED = auto()
    UNAVAILABLE = auto()


class TokenRefused(Exception):
    """Carry what the provider refused; its description goes to the log only."""

    def __init__(self, refusal: Refusal, description: str) -> None:
        self.refusal = refusal
        self.description = description
        super().__init__(f"{refusal.name}: {description}")


class ProviderUnavailable(Exception):
    """Tell that the provider did not answer, or not with what it must."""


class ClaimsRefused(Exception):
    """Name the claim of a token that is not as it must be."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A token answer (RFC 6749 section 5.1); lifetimes in seconds."""

    access_token: str
    refresh_token: str
    expires_in: float
    refresh_expires_in: float
    id_token: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """Who a verified access token speaks of."""

    iss: str
    sub: str
    email: str
    email_verified: bool
    provider_sid: str | None
    claimed_tenant: int | None
    claimed_roles: tuple[str, ...]

    @property
    def user_id(self) -> str:
        """Return the key of the person: issuer and subject, never the e-mail."""
        return f"{self.iss} {self.sub}"


def read_tokens(status: int, body: object, *, grant: str) -> Tokens:
    """Read the token endpoint's answer to *grant*.

    Raises:
        TokenRefused: for everything that is not a full set of tokens.
    """
    if not isinstance(body, dict):
        raise TokenRefused(Refusal.UNAVAILABLE, f"answer {status} is no JSON object")
    if status != 200:  # noqa: PLR2004 - the one success of the token endpoint
        raise refusal_of(status, body, grant=grant)
    access, refresh = body.get("access_token"), body.get("refresh_token")
    expires_in, id_token = body.get("expires_in"), body.get("id_token")
    if not (isinstance(access, str) and isinstance(refresh, str) and access):
        raise TokenRefused(Refusal.MISCONFIGURED, "no access or refresh token came")
    if not isinstance(expires_in, (int, float)) or not 0 < expires_in < float("inf"):
        raise TokenRefused(Refusal.MISCONFIGURED, "expires_in is missing")
    refresh_expires_in = body.get("refresh_expires_in", 0)
    if not isinstance(refresh_expires_in, (int, float)):
        refresh_expires_in = 0
    return Tokens(
        access_token=access,
        refresh_token=refresh,
        expires_in=float(expires_in),
        refresh_expires_in=float(refresh_expires_in),
        id_token=id_token if isinstance(id_token, str) else None,
    )


def refusal_of(status: int, body: Mapping[str, Any], *, grant: str) -> TokenRefused:
    """Return what the error answer *body* means for *grant*."""
    error = str(body.get("error", ""))
    description = f"{status} {error}: {body.get('error_description', '')}"[:300]
    if status >= 500 or status == 429:  # noqa: PLR2004 - HTTP's own numbers
        return TokenRefused(Refusal.UNAVAILABLE, description)
    if error == "invalid_grant":
        if grant != "password":
            return TokenRefused(Refusal.SESSION_OVER, description)
        if "not fully set up" in str(body.get("error_description", "")):
            return TokenRefused(Refusal.ACTION_REQUIRED, description)
        return TokenRefused(Refusal.CREDENTIALS, description)
    return TokenRefused(Refusal.MISCONFIGURED, description)


def read_person(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    client_id: str,
    audience: str,
    now: float,
    typ: str = "Bearer",
    tenant_source: TenantSource = "attribute",
) -> Person:
    """Check the claims of a token whose signature is good and say who it speaks of.

    Raises:
        ClaimsRefused: naming the claim, when iss, aud, azp, typ, sub, exp, iat or
            nbf is not as it must be.
    """
    check_claims(claims, issuer=issuer, audience=audience, now=now, typ=typ)
    if claims.get("azp", client_id) != client_id:
        raise ClaimsRefused("azp")
    email = claims.get("email")
    sid = claims.get("sid")
    return Person(
        iss=issuer,
        sub=claims["sub"],
        email=email if isinstance(email, str) else "",
        email_verified=claims.get("email_verified") is True,
        provider_sid=sid if isinstance(sid, str) else None,
        claimed_tenant=claimed_tenant(claims, tenant_source),
        claimed_roles=_roles(claims),
    )


def check_claims(
    claims: Mapping[str, Any], *, issuer: str, audience: str, now: float, typ: str
) -> None:
    """Check what every token of this realm must say.

    Raises:
        ClaimsRefused: naming the claim.
    """
    if claims.get("iss") != issuer:
        raise ClaimsRefused("iss")
    aud = claims.get("aud")
    if audience not in (aud if isinstance(aud, list) else [aud]):
        raise ClaimsRefused("aud")
    if claims.get("typ") != typ:
        raise ClaimsRefused("typ")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise ClaimsRefused("sub")
    exp = claims.get("exp")
    if not isinstance(exp, (int, float)) or exp + CLOCK_TOLERANCE <= now:
        raise ClaimsRefused("exp")
    for name in ("iat", "nbf"):
        value = claims.get(name, 0)
        if not isinstance(value, (int, float)) or value - CLOCK_TOLERANCE > now:
            raise ClaimsRefused(name)


def claimed_tenant(claims: Mapping[str, Any], source: TenantSource) -> int | None:
    """Return the tenant that *claims* name by *source*, none when they name several."""
    if source == "organization":
        return read_organization(claims.get("organization"))
    return read_tenant(claims.get("tenant_id"))


def read_organization(value: object) -> int | None:
    """Return the one tenant among a person's organizations (Keycloak, Organizations).

    The claim is a list of aliases, or a table of them. An alias never changes, so it
    may name a tenant: in digits, and in one spelling only. With several such nobody
    can tell which is meant, and the claim names none.
    """
    aliases = value if isinstance(value, (list, dict)) else ()
    found = {read_tenant(one) for one in aliases if _is_plain_number(one)} - {None}
    return found.pop() if len(found) == 1 else None


def read_tenant(value: object) -> int | None:
    """Read a tenant claim: an integer, or digits in a string; else none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value) if len(value) < 20 else 0  # noqa: PLR2004 - bigint's digits
    if isinstance(value, int) and 0 < value <= MAX_TENANT:
        return value
    return None


def _is_plain_number(alias: object) -> bool:
    return (
        isinstance(alias, str)
        and alias.isascii()
        and alias.isdigit()
        and not alias.startswith("0")
    )


def _roles(claims: Mapping[str, Any]) -> tuple[str, ...]:
    named = claims.get("roles")
    if not isinstance(named, list):
        realm = claims.get("realm_access")
        named = realm.get("roles") if isinstance(realm, dict) else None
    if not isinstance(named, list):
        return ()
    return tuple(role for role in ROLES if role in named)
