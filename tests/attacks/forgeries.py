"""Tokens that a provider gone wrong, or somebody in its place, may answer with.

Each forger takes the claims of a good access token and returns a token that must not
count: other people's, other clients', of another kind, or not signed by the provider.
"""

from __future__ import annotations

import base64
import functools
import hmac
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.world import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.world import World

    Claims = dict[str, Any]
    Forger = Callable[[World, Claims], object]


@functools.cache
def strange_key() -> RSAKey:
    """Make the attacker's own key."""
    return RSAKey.generate_key(2048, parameters={"kid": "strange", "use": "sig"})


def fields(**changes: Any) -> Forger:
    """Sign with the provider's own key, some claims changed; None leaves one out."""

    def forge(world: World, claims: Claims) -> str:
        said = {**claims, **changes}
        return world.provider.keys.sign(
            {name: value for name, value in said.items() if value is not None}
        )

    return forge


def header(*, keep: bool = False, **changes: Any) -> Forger:
    """Change the header; keep the provider's signature, or leave it out."""

    def forge(world: World, claims: Claims) -> str:
        good = world.provider.keys.sign(claims).split(".")
        said = {**json.loads(_decoded(good[0])), **changes}
        said = {name: value for name, value in said.items() if value is not None}
        return f"{_encoded(said)}.{good[1]}.{good[2] if keep else ''}"

    return forge


def shared(secret: Callable[[World], bytes]) -> Forger:
    """Sign HS256 with something that is not secret, or not for this."""

    def forge(world: World, claims: Claims) -> str:
        # By hand: joserfc refuses to sign with a public key.
        said = {"alg": "HS256", "kid": _kid(world), "typ": "JWT"}
        signed = f"{_encoded(said)}.{_encoded(claims)}"
        mark = hmac.digest(secret(world), signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"

    return forge


def own_key(**more: Any) -> Forger:
    """Sign with the attacker's key under a header that says where to find it."""

    def forge(world: World, claims: Claims) -> str:
        key = strange_key()
        said = {"alg": "RS256", "kid": _kid(world), **more}
        if said.get("jwk") == "own":
            said["jwk"] = key.as_dict(private=False)
        return jwt.encode(said, claims, key, algorithms=["RS256"])

    return forge


def _swapped(world: World, claims: Claims) -> str:
    """Put other claims under a good signature."""
    good = world.provider.keys.sign(claims).split(".")
    return f"{good[0]}.{_encoded({**claims, 'email': 'root@acme.test'})}.{good[2]}"


def _public_pem(world: World) -> bytes:
    return world.provider.keys._current().as_pem(private=False)


def _public_json(world: World) -> bytes:
    return json.dumps(world.provider.keys.public()["keys"][1]).encode()


def _sealed(world: World, claims: Claims) -> str:
    return world.provider.keys.seal({**claims, "typ": "Refresh"})


EVENT: Claims = {"http://schemas.openid.net/event/backchannel-logout": {}}
ACCESS: dict[str, Forger] = {
    "alg none": header(alg="none"),
    "alg None": header(alg="nOnE"),
    "alg none with a signature": header(alg="none", keep=True),
    "no alg": header(alg=None, keep=True),
    "alg of another family": header(alg="ES256", keep=True),
    "alg of the same family": header(alg="RS512", keep=True),
    "alg PS256 over an RS256 signature": header(alg="PS256", keep=True),
    "no signature": header(),
    "HS256 with the public key": shared(_public_pem),
    "HS256 with the published key": shared(_public_json),
    "HS256 with the client's secret": shared(lambda _: SECRET.encode()),
    "HS256 with nothing": shared(lambda _: b"\0" * 32),
    "a strange key under a known id": own_key(),
    "a strange key under its own id": own_key(kid="strange"),
    "a key brought along": own_key(jwk="own"),
    "a key brought along under its own id": own_key(jwk="own", kid="strange"),
    "a key elsewhere": own_key(kid="strange", jku="http://127.0.0.1:9/keys"),
    "a certificate elsewhere": own_key(kid="strange", x5u="http://127.0.0.1:9/cert"),
    "no key id": header(kid=None, keep=True),
    "a key id that is a path": header(kid="../../../dev/null", keep=True),
    "a key id that is a query": header(kid="' OR 1=1 --", keep=True),
    "a key id that is a number": header(kid=1, keep=True),
    "a key id that is a list": header(kid=["x"], keep=True),
    "the id of the key for encryption": lambda world, claims: header(
        kid=world.provider.keys.public()["keys"][0]["kid"], keep=True
    )(world, claims),
    "an unknown critical field": header(crit=["x"], x=1, keep=True),
    "other claims under a good signature": _swapped,
    "an ID token": fields(typ="ID"),
    "an ID token for our audience": fields(typ="ID", azp=None),
    "a logout token": fields(typ="Logout", events=EVENT),
    "a token of no kind": fields(typ=None),
    "a refresh token": _sealed,
    "another audience": fields(aud="account"),
    "no audience": fields(aud=None),
    "a longer audience": fields(aud="nexius-api.evil.test"),
    "another client's token": fields(azp="other-client"),
    "another issuer": fields(iss="http://evil.test/realms/nexius"),
    "an issuer that begins like ours": fields(iss="http://127.0.0.1:1/realms/nexius2"),
    "no issuer": fields(iss=None),
    "no subject": fields(sub=None),
    "an empty subject": fields(sub=""),
    "a list of subjects": fields(sub=["a"]),
    "an old token": fields(exp=1_700_000_000),
    "a token without end": fields(exp=None),
    "an end in words": fields(exp="tomorrow"),
    "a token of tomorrow": fields(nbf=4_000_000_000),
    "a token made tomorrow": fields(iat=4_000_000_000),
    "nothing": lambda *_: "",
    "no text": lambda *_: 1,
    "words": lambda *_: "good token, honest",
    "dots": lambda *_: "..",
    "null": lambda *_: None,
}


class Impostor:
    """Answer the token endpoint with tokens of its own."""

    def __init__(self, world: World, access: object, **more: object) -> None:
        self.asked = 0
        self.answer = {
            "access_token": access,
            "refresh_token": "CANARY-refresh",
            "expires_in": 300,
            "refresh_expires_in": 1800,
            **more,
        }
        world.provider.intercept = self._intercept

    async def _intercept(self, request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith("/token"):
            return None
        self.asked += 1
        return web.json_response(self.answer)


def _kid(world: World) -> str:
    kid = world.provider.keys._current().kid
    assert kid is not None
    return kid


def _encoded(said: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
