"""The keys of the realm: made at first use, kept for as long as tokens live."""

from __future__ import annotations

import functools
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey, RSAKey

if TYPE_CHECKING:
    from joserfc.jwk import KeyParameters

Claims = dict[str, Any]

_RSA_BITS = 2048
_SECRET_BYTES = 64


class Keys:
    """RS256 for what others verify, HS512 for what comes back to us."""

    def __init__(self) -> None:
        self._signing: list[RSAKey] = []
        self._secret = secrets.token_bytes(_SECRET_BYTES)

    def rotate(self) -> None:
        """Sign with a new key from now on; the old ones still verify."""
        if not self._signing:
            self._signing.append(_rsa_key("sig", "RS256"))
        self._signing.insert(0, _rsa_key("sig", "RS256"))

    def sign(self, claims: Claims, *, typ: str = "JWT") -> str:
        """Sign for the world, with RS256."""
        key = self._current()
        header = {"alg": "RS256", "typ": typ, "kid": key.kid}
        return jwt.encode(header, claims, key, algorithms=["RS256"])

    def verified(self, token: str) -> Claims | None:
        """Return the claims of a token signed by any of our keys, else None."""
        try:
            keys = KeySet([self._current(), *self._signing[1:]])
            return jwt.decode(token, keys, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return None

    def seal(self, claims: Claims) -> str:
        """Sign for ourselves, with HS512: opaque to everyone else."""
        key = OctKey.import_key(self._secret)
        return jwt.encode({"alg": "HS512"}, claims, key, algorithms=["HS512"])

    def unsealed(self, token: str) -> Claims | None:
        """Return the claims of a token that we sealed, else None."""
        try:
            key = OctKey.import_key(self._secret)
            return jwt.decode(token, key, algorithms=["HS512"]).claims
        except (JoseError, ValueError):
            return None

    def public(self) -> Claims:
        """Build the JWKS; like Keycloak's it also lists an encryption key."""
        listed = [_encryption_key(), self._current(), *self._signing[1:]]
        return {"keys": [key.as_dict(private=False) for key in listed]}

    def dump(self) -> Claims:
        """Export everything, private parts included."""
        return {
            "signing": [key.as_dict(private=True) for key in self._signing],
            "secret": urlsafe_b64encode(self._secret).decode(),
        }

    def load(self, saved: Claims) -> None:
        """Continue with exported keys."""
        self._signing = [RSAKey.import_key(one) for one in saved["signing"]]
        self._secret = urlsafe_b64decode(saved["secret"])

    def _current(self) -> RSAKey:
        if not self._signing:
            self._signing.append(_rsa_key("sig", "RS256"))
        return self._signing[0]


def _rsa_key(use: Literal["sig", "enc"], alg: str) -> RSAKey:
    parameters: KeyParameters = {
        "use": use,
        "alg": alg,
        "kid": secrets.token_urlsafe(32),
    }
    return RSAKey.generate_key(_RSA_BITS, parameters=parameters)


@functools.cache
def _encryption_key() -> RSAKey:
    # Nobody ever decrypts with it: one for the process is enough.
    return _rsa_key("enc", "RSA-OAEP")
