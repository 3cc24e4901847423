"""A provider's keys and tokens, made to measure."""

from __future__ import annotations

import functools
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

ISSUER = "https://id.test/realms/nexius"
CLIENT = "nexius-bff"
AUDIENCE = "nexius-api"
NOW = 1_700_000_000.0
SUB = "6c1d8f8e-0000-4000-8000-000000000001"


@functools.cache
def rsa(kid: str = "k1") -> RSAKey:
    return RSAKey.generate_key(2048, parameters={"kid": kid, "use": "sig"})


@functools.cache
def ec(kid: str = "e1") -> ECKey:
    return ECKey.generate_key("P-256", parameters={"kid": kid, "use": "sig"})


def jwks(*keys: Key) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


def claims(**changes: Any) -> dict[str, Any]:
    """Return an access token's claims; a change to None leaves the claim out."""
    said = {
        "iss": ISSUER,
        "aud": [AUDIENCE, "account"],
        "azp": CLIENT,
        "sub": SUB,
        "typ": "Bearer",
        "exp": NOW + 300,
        "iat": NOW,
        "sid": "provider-session",
        "email": "alice@acme.test",
        "email_verified": True,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


def token(key: Key | None = None, alg: str = "RS256", **changes: Any) -> str:
    """Sign an access token."""
    return signed({"alg": alg, "kid": (key or rsa()).kid}, claims(**changes), key)


def signed(header: dict[str, Any], said: dict[str, Any], key: Key | None = None) -> str:
    """Sign these claims under this header."""
    return jwt.encode(header, said, key or rsa(), algorithms=[header["alg"]])
