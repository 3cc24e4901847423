"""Check a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.identity.messages import CLOCK_TOLERANCE, ClaimsRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TYPE = "logout+jwt"
LIFE = 120.0  # Keycloak's logout tokens live two minutes
MAX_TIME = 2**40
MAX_TEXT = 255


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """Whose sessions end: those of one of the provider's sessions, or of a person."""

    iss: str
    sub: str | None
    sid: str | None
    jti: str
    expires_at: float


def read_logout_token(
    claims: Mapping[str, Any], *, typ: object, issuer: str, client_id: str, now: float
) -> LogoutToken:
    """Read a token whose signature is good; *typ* is its header's.

    Raises:
        ClaimsRefused: naming what is not as it must be.
    """
    if not isinstance(typ, str) or typ.lower() != TYPE:
        raise ClaimsRefused("typ")
    if claims.get("iss") != issuer:
        raise ClaimsRefused("iss")
    aud = claims.get("aud")
    if client_id not in (aud if isinstance(aud, list) else [aud]):
        raise ClaimsRefused("aud")
    iat, exp = _time(claims, "iat"), _time(claims, "exp")
    if abs(iat - now) > CLOCK_TOLERANCE + LIFE:
        raise ClaimsRefused("iat")
    if exp + CLOCK_TOLERANCE <= now:
        raise ClaimsRefused("exp")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise ClaimsRefused("events")
    if "nonce" in claims:
        # An ID token must not end a session (section 2.4).
        raise ClaimsRefused("nonce")
    jti, sub, sid = (_text(claims, name) for name in ("jti", "sub", "sid"))
    if jti is None:
        raise ClaimsRefused("jti")
    if sub is None and sid is None:
        raise ClaimsRefused("sub")
    return LogoutToken(iss=issuer, sub=sub, sid=sid, jti=jti, expires_at=exp)


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ClaimsRefused(name)
    # A date that no calendar holds is no date.
    if not 0 < value < MAX_TIME:
        raise ClaimsRefused(name)
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    return value[:MAX_TEXT]
