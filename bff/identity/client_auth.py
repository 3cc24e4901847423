"""Prove to the provider which client is calling: by a secret, or by a signed assertion.

An assertion (`private_key_jwt`: RFC 7523, OpenID Connect Core section 9) is made anew
for each call. Its audience is the issuer alone: Keycloak takes that at every endpoint,
and refuses an assertion of several audiences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Keycloak counts sixty seconds from `iat`, and lets fifteen of the future pass. Dated
# back by twenty, a clock may be half a minute wrong either way.
LIFE = 60
DATED_BACK = 20
SMALLEST_RSA = 2048


class ClientKeyError(ValueError):
    """Say what is wrong with the client's key; never a part of it."""


class ClientProof(Protocol):
    """How the client proves who it is."""

    def fields(self, client_id: str, issuer: str, now: float) -> dict[str, str]:
        """Return the form fields that go with one call."""


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """Send the secret itself (`client_secret_post`, RFC 6749 section 2.3.1)."""

    secret: str = field(repr=False)

    def fields(self, client_id: str, issuer: str, now: float) -> dict[str, str]:
        """Return the client's id and secret."""
        del issuer, now
        return {"client_id": client_id, "client_secret": self.secret}


@dataclass(frozen=True, slots=True)
class SignedAssertion:
    """Send a statement signed with *key*; *new_id* makes each one different."""

    key: RSAKey | ECKey = field(repr=False)
    key_id: str
    new_id: Callable[[], str] = field(repr=False)

    def fields(self, client_id: str, issuer: str, now: float) -> dict[str, str]:
        """Return the client's id and a fresh assertion."""
        algorithm = algorithm_of(self.key)
        header = {"alg": algorithm, "typ": "JWT"}
        if self.key_id:
            header["kid"] = self.key_id
        issued = int(now) - DATED_BACK
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": issuer,
            "jti": self.new_id(),
            "iat": issued,
            "exp": issued + LIFE,
        }
        return {
            "client_id": client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode(
                header, claims, self.key, algorithms=[algorithm]
            ),
        }


def read_key(pem: str) -> RSAKey | ECKey:
    """Read a private key: RSA of 2048 bits or more, or P-256.

    Raises:
        ClientKeyError: with what is wrong.
    """
    kinds: tuple[type[RSAKey], type[ECKey]] = (RSAKey, ECKey)
    for kind in kinds:
        try:
            key = kind.import_key(pem)
            is_private = key.is_private
        except (JoseError, ValueError, TypeError):
            continue
        if not is_private:
            raise ClientKeyError("is a public key; give the private one")
        _check(key)
        return key
    raise ClientKeyError("is no private key in PEM without a password, RSA or P-256")


def algorithm_of(key: RSAKey | ECKey) -> str:
    """Return what *key* signs with: PS256 for RSA, ES256 for P-256 (RFC 7518)."""
    return "PS256" if isinstance(key, RSAKey) else "ES256"


def public_jwk(key: RSAKey | ECKey) -> dict[str, Any]:
    """Return the public half as the provider is to know it (RFC 7517).

    Its `kid` is the thumbprint (RFC 7638).
    """
    return {
        **key.as_dict(private=False),
        "kid": key.thumbprint(),
        "use": "sig",
        "alg": algorithm_of(key),
    }


def _check(key: RSAKey | ECKey) -> None:
    if isinstance(key, ECKey):
        if key.curve_name != "P-256":
            raise ClientKeyError("is of another curve than P-256")
    elif key.raw_value.key_size < SMALLEST_RSA:
        raise ClientKeyError(f"is an RSA key of less than {SMALLEST_RSA} bits")
