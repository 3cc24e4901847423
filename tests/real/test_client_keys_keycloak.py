"""A client that signs: both providers judge it alike, and a gateway lives on it."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from bff.dev.provider import Client
from bff.identity.client_auth import ASSERTION_TYPE, algorithm_of, public_jwk
from bff.sessions.browser import COOKIES
from tests.bff.auth.redirects import begin, come_back
from tests.real.keycloak_realms import BFF, PASSWORD, secret
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases
    from tests.dev.test_provider_driver import Answer
    from tests.real.conformance import Side

Key = ECKey | RSAKey
KEY = ECKey.generate_key("P-256")
STRANGE = ECKey.generate_key("P-256")
UNKNOWN = (401, "invalid_client", "Invalid client or Invalid client credentials")
TOO_FAR = "Token expiration is too far in the future and iat claim not present in token"
FAILED = "Client authentication with signed JWT failed: "
# An assertion that is taken gets to the grant, which refuses what it brings.
TAKEN = (400, "invalid_grant", "Invalid refresh token")


async def register(side: Side, name: str, key: Key, callback: str) -> None:
    """Make a client whose public key is known."""
    public = public_jwk(key)
    if side.ours is not None:
        side.ours.clients[name] = Client(
            client_id=name, keys=(public,), redirect_uris=(callback,)
        )
        return
    (pattern,) = (await side.administrate("GET", f"/clients?clientId={BFF}")).json
    mappers = [
        {field: value for field, value in one.items() if field != "id"}
        for one in pattern["protocolMappers"]
    ]
    copied = (
        "defaultClientScopes",
        "optionalClientScopes",
        "directAccessGrantsEnabled",
    )
    attributes = {
        "use.jwks.string": "true",
        "jwks.string": json.dumps({"keys": [public]}),
        "pkce.code.challenge.method": "S256",
    }
    body = {
        **{field: pattern[field] for field in copied},
        "clientId": name,
        "clientAuthenticatorType": "client-jwt",
        "redirectUris": [callback],
        "protocolMappers": mappers,
        "attributes": attributes,
    }
    await side.administrate("POST", "/clients", json=body)


@dataclass
class Signer:
    """A client with a key, at one provider."""

    side: Side
    name: str

    def form(
        self, *, key: Key = KEY, header: dict[str, Any] | None = None, **changes: Any
    ) -> dict[str, str]:
        """Return the fields that prove the client, with mistakes; None leaves out."""
        now = int(time.time())
        given = {
            "iss": self.name,
            "sub": self.name,
            "aud": self.side.issuer,
            "jti": str(uuid.uuid4()),
            "iat": now - 20,
            "exp": now + 40,
            **changes,
        }
        said = {name: value for name, value in given.items() if value is not None}
        full = {"alg": algorithm_of(key), "kid": KEY.thumbprint(), **(header or {})}
        full = {name: value for name, value in full.items() if value is not None}
        token = jwt.encode(full, said, key, algorithms=[full["alg"]])
        return {
            "client_id": self.name,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": token,
        }

    async def send(self, path: str = "token", /, **form: str | None) -> Answer:
        """Send a refresh that must fail, or a logout, with this proof."""
        grant = {"grant_type": "refresh_token", "refresh_token": "x"}
        fields = {
            name: one for name, one in {**grant, **form}.items() if one is not None
        }
        return await self.side.ask("POST", f"{self.side.oidc}/{path}", data=fields)


@pytest.fixture
async def signer(side: Side) -> Signer:
    name = f"signed-{uuid.uuid4().hex[:8]}"
    await register(side, name, KEY, "http://127.0.0.1:8080/auth/callback")
    return Signer(side, name)


async def test_issuer_and_token_endpoint_are_good_audiences(signer: Signer) -> None:
    endpoint = f"{signer.side.oidc}/token"

    for aud in (signer.side.issuer, [signer.side.issuer], endpoint):
        assert (await signer.send(**signer.form(aud=aud))).refusal == TAKEN
    # What we send is good at the logout endpoint too; that endpoint itself is not.
    for path in ("token", "logout"):
        assert (await signer.send(path, **signer.form())).refusal == TAKEN
    refused = await signer.send(
        "logout", **signer.form(aud=f"{signer.side.oidc}/logout")
    )
    assert refused.refusal == (400, "invalid_client", "Invalid token audience")


async def test_the_client_s_id_and_the_key_s_may_be_left_out(signer: Signer) -> None:
    without_id = {**signer.form(), "client_id": None}

    assert (await signer.send(**without_id)).refusal == TAKEN
    assert (await signer.send(**signer.form(header={"kid": None}))).refusal == TAKEN


async def test_an_assertion_counts_once(signer: Signer) -> None:
    form = signer.form()

    assert (await signer.send(**form)).refusal == TAKEN
    assert (await signer.send(**form)).refusal == (
        400,
        "invalid_client",
        "Token reuse detected",
    )


def told(one: str | dict[str, object]) -> str:
    """Name a case alike in every process: keys are new in each."""
    if isinstance(one, str):
        return one
    return str({**one, "key": "strange"} if "key" in one else one)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"aud": "https://elsewhere.test"}, "Invalid token audience"),
        ({"aud": None}, "Invalid token audience"),
        ({"aud": "both"}, "Multiple audiences not allowed"),
        ({"exp": None}, "Token exp claim is required"),
        ({"jti": None}, "Token jti claim is required"),
        ({"exp": -5}, "Token is not active"),
        ({"iat": -70}, "Token was issued too far in the past to be used now"),
        ({"nbf": 100}, "Token is not active"),
        ({"iat": 30}, "Token was issued in the future"),
        (
            {"iat": None, "exp": 100},
            TOO_FAR,
        ),
        ({"header": {"kid": "another"}}, "Unable to load public key"),
        ({"key": STRANGE}, f"{FAILED}Signature on JWT token failed validation"),
        # The signature is judged first, the audience before the time.
        (
            {"key": STRANGE, "aud": "x"},
            f"{FAILED}Signature on JWT token failed validation",
        ),
        ({"exp": -5, "aud": "x"}, "Invalid token audience"),
    ],
    ids=told,
)
async def test_what_is_wrong_with_an_assertion_is_told(
    signer: Signer, changes: dict[str, Any], sentence: str
) -> None:
    issuer = signer.side.issuer
    given: dict[str, Any] = {
        name: value + int(time.time()) if isinstance(value, int) else value
        for name, value in changes.items()
    }
    if given.get("aud") == "both":
        given["aud"] = [issuer, f"{signer.side.oidc}/token"]

    answer = await signer.send(**signer.form(**given))

    assert answer.refusal == (400, "invalid_client", sentence)


@pytest.mark.parametrize("changes", [{"iss": "other"}, {"sub": "other"}, {"iss": None}])
async def test_an_assertion_of_nobody_known_is_an_unknown_client(
    signer: Signer, changes: dict[str, Any]
) -> None:
    form = signer.form(**changes)

    assert (await signer.send(**form)).refusal == UNKNOWN
    assert (await signer.send(**{**form, "client_id": None})).refusal == UNKNOWN


async def test_one_client_cannot_be_proven_by_another_s_assertion(
    signer: Signer,
) -> None:
    other = f"{signer.name}-b"
    await register(signer.side, other, KEY, "http://127.0.0.1:8080/auth/callback")
    form = signer.form()

    assert (await signer.send(**{**form, "client_id": other})).refusal == (
        400,
        "invalid_client",
        "client_id parameter does not match authenticated client",
    )
    assert (await signer.send(**{**form, "client_id": BFF})).refusal == (
        401,
        "unauthorized_client",
        UNKNOWN[2],
    )
    as_bff = signer.form(iss=BFF, sub=BFF)
    assert (await signer.send(**{**as_bff, "client_id": None})).refusal == UNKNOWN


async def test_a_client_with_a_key_has_no_other_way_in(signer: Signer) -> None:
    form = signer.form()
    missing = (400, "invalid_client", "Parameter client_assertion_type is missing")
    by_id = {"client_id": signer.name}

    assert (await signer.send(**by_id)).refusal == missing
    assert (await signer.send(**by_id, client_secret="")).refusal == missing
    assert (await signer.send(**by_id, client_secret=secret(BFF))).refusal == missing
    assert (await signer.send(**{**form, "client_assertion": None})).refusal == (
        400,
        "invalid_client",
        "client_assertion parameter missing",
    )
    status, error, said = (
        await signer.send(**{**form, "client_assertion_type": "x"})
    ).refusal
    assert (status, error) == (400, "invalid_client")
    assert str(said).startswith("Parameter client_assertion_type has value 'x'")
    for garbage in ("garbage", "a.b.c"):
        answer = await signer.send(**{**form, "client_assertion": garbage})
        assert answer.refusal[:2] == (400, "invalid_client")
        assert str(answer.refusal[2]).startswith(FAILED)


async def test_discovery_offers_it(side: Side) -> None:
    found = await side.ask("GET", f"{side.issuer}/.well-known/openid-configuration")

    assert "private_key_jwt" in found.json["token_endpoint_auth_methods_supported"]
    algorithms = found.json["token_endpoint_auth_signing_alg_values_supported"]
    assert {"PS256", "RS256", "ES256"} <= set(algorithms)


# The gateway ------------------------------------------------------------------


@asynccontextmanager
async def gateway(
    databases: Databases, side: Side, key: Key, folder: Path
) -> AsyncGenerator[World]:
    """Run a gateway that has no secret, only a key."""
    file, name = folder / "client.pem", f"gateway-{uuid.uuid4().hex[:8]}"
    file.write_bytes(key.as_pem(private=True))
    auth = {
        "client_id": name,
        "client_key_file": file,
        "client_secret": None,
        "timeout": 20,
    }
    world = World(databases, {"auth": auth}, real_issuer=side.issuer)
    async with world.running():
        await register(side, name, key, f"{world.url}/auth/callback")
        yield world


@pytest.mark.parametrize("kind", ["p256", "rsa"])
async def test_a_gateway_with_a_key_signs_in_renews_and_signs_out(
    databases: Databases, side: Side, tmp_path: Path, kind: str
) -> None:
    key: Key = KEY if kind == "p256" else RSAKey.generate_key(2048)
    user = await side.somebody(attributes={"tenant_id": ["1001"]})
    async with (
        gateway(databases, side, key, tmp_path) as world,
        world.browser() as browser,
    ):
        answer = await browser.login(user["email"], PASSWORD)
        assert answer.status == 200, await answer.text()
        assert (await browser.post("/auth/refresh")).status == 200
        assert (await (await browser.get("/whoami")).json())["tenant_id"] == 1001
        held = world.app[COOKIES].open_refresh(browser.cookies)
        assert (await browser.post("/auth/logout")).status == 204

        assert held is not None
        assert held.gen == 2
        # The logout call was proven by the key too.
        signer = Signer(side, world.config.auth.client_id)
        proof = signer.form(key=key, header={"kid": key.thumbprint()})
        over = await signer.send(**proof, refresh_token=held.refresh_token)
        assert over.refusal == (400, "invalid_grant", "Session not active")


async def test_a_gateway_with_a_key_signs_in_by_redirect(
    databases: Databases, side: Side, tmp_path: Path
) -> None:
    async with (
        gateway(databases, side, KEY, tmp_path) as world,
        world.browser() as browser,
    ):
        attempt = await begin(browser, return_to="/onboarding")
        page = await side.ask("GET", attempt.location)
        back = await side.fill_in(page, username="alice@acme.test", password=PASSWORD)
        path = back.headers["Location"].removeprefix(world.url)
        answer = await come_back(browser, path)
        assert answer.status == 303, await answer.text()
        who = await (await browser.get("/whoami")).json()
        assert (await browser.post("/auth/refresh")).status == 200

    assert (who["email"], who["tenant_id"]) == ("alice@acme.test", 1001)


async def test_a_gateway_with_the_wrong_key_blames_the_set_up(
    databases: Databases, side: Side, tmp_path: Path
) -> None:
    async with (
        gateway(databases, side, KEY, tmp_path) as world,
        world.browser() as browser,
    ):
        (tmp_path / "client.pem").write_bytes(STRANGE.as_pem(private=True))
        async with world.another_gateway() as url, world.browser(url) as other:
            refused = await other.login("bob@globex.test", PASSWORD)
            assert refused.status == 503
            assert (await refused.json())["code"] == "auth_unavailable"
        assert (await browser.login("bob@globex.test", PASSWORD)).status == 200
