"""Check how a client proves itself by a signed assertion (RFC 7523), as Keycloak does.

The order of the checks is Keycloak's too: it decides which sentence is answered.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from bff.dev.provider.errors import OAuthRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bff.dev.provider.model import Client

    Claims = dict[str, Any]

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
UNKNOWN = "Invalid client or Invalid client credentials"

_ALGORITHMS = ("RS256", "PS256", "ES256")
_FAILED = "Client authentication with signed JWT failed: "
# Seconds that an assertion lives at most, and that a client's clock may be ahead.
_LONGEST = 60
_SKEW = 15


class Spent(dict[str, int]):
    """Remember the ids of assertions until the assertions are over."""

    def spend(self, jti: str, until: int, now: int) -> bool:
        """Note an id; False when it was used before."""
        for old in [one for one, end in self.items() if end < now]:
            del self[old]
        if jti in self:
            return False
        self[jti] = until
        return True


def subject(form: Mapping[str, str]) -> str:
    """Return the client that the form's assertion speaks for, proven or not."""
    if form.get("client_assertion_type") != TYPE or "client_assertion" not in form:
        return ""
    claims = _unverified(form["client_assertion"])
    return str(claims.get("sub", "")) if claims else ""


def check(
    client: Client, form: Mapping[str, str], *, issuer: str, now: int, spent: Spent
) -> None:
    """Let a client with keys pass that has signed its assertion."""
    if "client_assertion_type" not in form:
        raise _refused("Parameter client_assertion_type is missing")
    if form["client_assertion_type"] != TYPE:
        raise _refused(
            "Parameter client_assertion_type has value "
            f"'{form['client_assertion_type']}' but expected is '{TYPE}'"
        )
    if "client_assertion" not in form:
        raise _refused("client_assertion parameter missing")
    token = form["client_assertion"]
    claims = _unverified(token)
    if claims is None:
        raise _refused(f"{_FAILED}java.lang.IllegalArgumentException: Parsing error")
    if not claims.get("iss") == claims.get("sub") == client.client_id:
        if claims.get("iss") == claims.get("sub") and claims.get("sub"):
            raise _refused("client_id parameter does not match authenticated client")
        raise OAuthRefusal(
            "invalid_client", UNKNOWN, status=401, reason="client_not_found"
        )
    _check_signature(client, token)
    _check_audience(claims.get("aud"), issuer)
    _check_time(claims, now)
    if not spent.spend(claims["jti"], claims["exp"], now):
        raise _refused("Token reuse detected")


def _check_signature(client: Client, token: str) -> None:
    header = jws.extract_compact(token.encode()).headers()
    if header.get("alg") not in _ALGORITHMS:
        raise _refused("Invalid signature algorithm")
    kid = header.get("kid")
    keys = [dict(one) for one in client.keys if kid in (None, one.get("kid"))]
    if not keys:
        raise _refused(
            "Unable to load public key", reason="client_credentials_setup_required"
        )
    # Of a key that names its algorithm, no other counts.
    allowed = [one["alg"] for one in keys if "alg" in one] or list(_ALGORITHMS)
    try:
        jwt.decode(token, KeySet.import_key_set({"keys": keys}), algorithms=allowed)
    except (JoseError, ValueError) as error:
        raise _refused(f"{_FAILED}Signature on JWT token failed validation") from error


def _check_audience(aud: object, issuer: str) -> None:
    named = aud if isinstance(aud, list) else [aud]
    accepted = (issuer, f"{issuer}/protocol/openid-connect/token")
    if not set(named) & set(accepted):
        raise _refused("Invalid token audience")
    if len(named) > 1:
        raise _refused("Multiple audiences not allowed")


def _check_time(claims: Claims, now: int) -> None:
    exp, iat = claims.get("exp"), claims.get("iat")
    if exp is None:
        raise _refused("Token exp claim is required")
    if exp <= now or claims.get("nbf", 0) > now + _SKEW:
        raise _refused("Token is not active")
    if iat is None and exp > now + _LONGEST:
        raise _refused(
            "Token expiration is too far in the future and iat claim not present "
            "in token"
        )
    if iat is not None and iat > now + _SKEW:
        raise _refused("Token was issued in the future")
    if iat is not None and iat + _LONGEST < now:
        raise _refused("Token was issued too far in the past to be used now")
    if "jti" not in claims:
        raise _refused("Token jti claim is required")


def _unverified(token: str) -> Claims | None:
    try:
        part = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def _refused(
    sentence: str, *, reason: str = "invalid_client_credentials"
) -> OAuthRefusal:
    return OAuthRefusal("invalid_client", sentence, reason=reason)
