"""Token endpoint: our provider answers what Keycloak answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.dev.test_provider_driver import claims, header
from tests.real.keycloak_realms import BFF, PASSWORD, PROVISIONER, secret

if TYPE_CHECKING:
    from tests.real.conformance import Side

STRANGER = "Invalid client or Invalid client credentials"
SCOPE = {"openid", "profile", "email"}


def scopes(text: str) -> set[str]:
    """Read a scope; Keycloak promises no order."""
    return set(text.split())


def lasts(seconds: int, promised: float) -> bool:
    """Compare lifetimes: Keycloak reads its clock twice, and a second may turn."""
    return promised - seconds in {0, 1}


def lifetime(said: dict[str, Any]) -> int:
    """Take the times out of a token and return how long it lives."""
    return int(said.pop("exp") - said.pop("iat"))


async def test_answer_has_these_keys_in_this_order(side: Side) -> None:
    answer = await side.password(scope="openid")

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert list(answer.json) == [
        "access_token",
        "expires_in",
        "refresh_expires_in",
        "refresh_token",
        "token_type",
        "id_token",
        "not-before-policy",
        "session_state",
        "scope",
    ]
    assert lasts(answer.json["expires_in"], side.realm.access_ttl)
    assert lasts(answer.json["refresh_expires_in"], side.realm.idle_ttl)
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["not-before-policy"] == 0
    assert scopes(answer.json["scope"]) == SCOPE
    plain = await side.password("bob@globex.test")
    assert "id_token" not in plain.json


ALICE = {
    "email_verified": True,
    "name": "Alice Test",
    "preferred_username": "alice@acme.test",
    "given_name": "Alice",
    "family_name": "Test",
    "email": "alice@acme.test",
    "tenant_id": "1001",
}


async def test_tokens_say_the_same(side: Side) -> None:
    answer = (await side.password(scope="openid")).json
    access, identity, refresh = (
        claims(answer[name]) for name in ("access_token", "id_token", "refresh_token")
    )

    assert len(answer["session_state"]) == 24
    common = {
        "iss": side.issuer,
        "azp": BFF,
        "sid": answer["session_state"],
        "sub": access["sub"],
    }
    assert lasts(lifetime(access), side.realm.access_ttl)
    assert lasts(lifetime(identity), side.realm.access_ttl)
    assert lasts(lifetime(refresh), side.realm.idle_ttl)
    assert access.pop("jti").startswith("onrtro:")
    assert scopes(access.pop("scope")) == SCOPE
    assert access == common | ALICE | {
        "aud": "nexius-api",
        "typ": "Bearer",
        "acr": "1",
        "realm_access": {"roles": ["admin"]},
    }
    assert identity.pop("jti")
    assert identity.pop("at_hash")
    assert identity == common | ALICE | {"aud": BFF, "typ": "ID", "acr": "1"}
    assert refresh.pop("jti")
    assert scopes(refresh.pop("scope")) == SCOPE | {"acr", "roles", "basic"}
    assert ("reuse_id" in refresh) is side.realm.rotate
    refresh.pop("reuse_id", None)
    assert refresh == common | {
        "aud": side.issuer,
        "aud_x": "nexius-api",
        "prov": "default",
        "typ": "Refresh",
    }


async def test_what_is_unknown_of_a_person_is_left_out(side: Side) -> None:
    user = await side.somebody()
    said = claims((await side.password(user["email"])).json["access_token"])

    absent = {"tenant_id", "realm_access", "name", "given_name", "family_name"}
    assert not (absent | {"resource_access", "auth_time", "nonce"}) & set(said)
    assert said["email_verified"] is True


async def test_published_keys_verify(side: Side) -> None:
    answer = (await side.password(scope="openid")).json
    published = await side.ask("GET", f"{side.oidc}/certs")
    keys = KeySet.import_key_set(
        {"keys": [one for one in published.json["keys"] if one["use"] == "sig"]}
    )

    assert published.headers["Cache-Control"] == "no-cache"
    kinds = {(one["use"], one["alg"], one["kty"]) for one in published.json["keys"]}
    assert kinds == {("sig", "RS256", "RSA"), ("enc", "RSA-OAEP", "RSA")}
    for name in ("access_token", "id_token"):
        assert header(answer[name])["typ"] == "JWT"
        assert jwt.decode(answer[name], keys).claims["sub"]
    assert header(answer["refresh_token"])["alg"] == "HS512"


MALFORMED: list[tuple[dict[str, str], tuple[int, str, str]]] = [
    ({}, (400, "invalid_request", "Missing form parameter: grant_type")),
    (
        {"grant_type": "magic"},
        (400, "unsupported_grant_type", "Unsupported grant_type"),
    ),
    (
        {"grant_type": "password", "password": "x"},
        (401, "invalid_request", "Missing parameter: username"),
    ),
    (
        {"grant_type": "password", "username": "a", "scope": "openid nonsense"},
        (400, "invalid_scope", "Invalid scopes: openid nonsense"),
    ),
    (
        {"grant_type": "password", "username": "a", "scope": "offline_access"},
        (400, "invalid_scope", "Invalid scopes: offline_access"),
    ),
    (
        {"grant_type": "password", "client_secret": "wrong"},
        (401, "unauthorized_client", STRANGER),
    ),
    (
        {"grant_type": "password", "client_secret": ""},
        (401, "unauthorized_client", STRANGER),
    ),
    (
        {"grant_type": "password", "client_id": "nobody"},
        (401, "invalid_client", STRANGER),
    ),
    (
        {"grant_type": "client_credentials"},
        (401, "unauthorized_client", "Client not enabled to retrieve service account"),
    ),
    ({"grant_type": "refresh_token"}, (400, "invalid_request", "No refresh token")),
    (
        {"grant_type": "authorization_code"},
        (400, "invalid_request", "Missing parameter: code"),
    ),
]


@pytest.mark.parametrize(("form", "refusal"), MALFORMED)
async def test_malformed_calls(
    side: Side, form: dict[str, str], refusal: tuple[int, str, str]
) -> None:
    assert (await side.post("token", **form)).refusal == refusal


async def test_client_without_direct_grant(side: Side) -> None:
    answer = await side.token("password", PROVISIONER, username="a", password="b")

    assert answer.refusal == (
        400,
        "unauthorized_client",
        "Client not allowed for direct access grants",
    )


async def test_repeated_parameter(side: Side) -> None:
    pairs = [("client_id", BFF), ("client_secret", secret(BFF))]
    pairs += [("grant_type", "password"), ("username", "a"), ("username", "b")]
    form = aiohttp.FormData(pairs)
    answer = await side.ask("POST", f"{side.oidc}/token", data=form)

    assert answer.refusal == (400, "invalid_request", "duplicated parameter")


async def test_client_in_the_header(side: Side) -> None:
    form = {"grant_type": "password", "username": "bob@globex.test"}
    form["password"] = PASSWORD

    async def status(header_: str) -> tuple[int, Any]:
        headers = {"Authorization": header_}
        url = f"{side.oidc}/token"
        answer = await side.ask("POST", url, data=form, headers=headers)
        return answer.status, answer.json.get("error")

    good = aiohttp.encode_basic_auth(BFF, secret(BFF))
    assert await status(good) == (200, None)
    wrong = aiohttp.encode_basic_auth(BFF, "wrong")
    assert await status(wrong) == (401, "unauthorized_client")
    assert await status("Basic %%%") == (401, "invalid_client")


async def test_service_account(side: Side) -> None:
    answer = (await side.token("client_credentials", PROVISIONER)).json

    assert list(answer) == [
        "access_token",
        "expires_in",
        "refresh_expires_in",
        "token_type",
        "not-before-policy",
        "scope",
    ]
    assert (answer["refresh_expires_in"], answer["scope"]) == (0, "")
    said = claims(answer["access_token"])
    assert said.pop("jti").startswith("trrtcc:")
    assert "manage-users" in said.pop("resource_access")["realm-management"]["roles"]
    assert lasts(lifetime(said), side.realm.access_ttl)
    assert said == {
        "iss": side.issuer,
        "aud": "realm-management",
        "sub": said["sub"],
        "typ": "Bearer",
        "azp": PROVISIONER,
        "scope": "",
    }


async def test_other_realms_and_methods(side: Side) -> None:
    elsewhere = side.oidc.replace(side.realm.name, "other")
    missing = await side.ask("GET", f"{elsewhere}/certs")
    assert (missing.status, missing.json) == (404, {"error": "Realm does not exist"})

    method = await side.ask("GET", f"{side.oidc}/token")
    assert method.status == 405
    assert method.json == {"error": "HTTP 405 Method Not Allowed"}
