"""The token endpoint answers what Keycloak answers, byte for byte where it matters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from bff.dev.provider import Realm
from bff.dev.provider.otp import code_at
from tests.dev.test_provider_driver import PASSWORD, World, claims, header, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

WRONG = (400, "invalid_grant", "Invalid user credentials")


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with running() as one:
        yield one


async def test_password_answer_has_keycloaks_keys_in_their_order(world: World) -> None:
    answer = await world.password(scope="openid")

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
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
    assert answer.json["expires_in"] == 300
    assert answer.json["refresh_expires_in"] == 1800
    assert answer.json["scope"] == "openid profile email"


async def test_id_token_comes_only_with_openid(world: World) -> None:
    assert "id_token" not in (await world.password()).json


async def test_access_token_says_what_keycloaks_says(world: World) -> None:
    said = claims((await world.password()).json["access_token"])

    assert said.pop("jti").startswith("onrtro:")
    assert len(said["sid"]) == 24
    assert said == {
        "exp": 1_700_000_300,
        "iat": 1_700_000_000,
        "iss": world.issuer,
        "aud": "nexius-api",
        "sub": world.provider.people[0].sub,
        "typ": "Bearer",
        "azp": "app",
        "sid": said["sid"],
        "acr": "1",
        "realm_access": {"roles": ["admin"]},
        "scope": "profile email",
        "email_verified": True,
        "name": "Alice Test",
        "preferred_username": "alice@acme.test",
        "given_name": "Alice",
        "family_name": "Test",
        "email": "alice@acme.test",
        "tenant_id": "1001",
    }


async def test_tokens_verify_with_the_published_keys(world: World) -> None:
    tokens = (await world.password(scope="openid")).json
    published = (await world.ask("GET", f"{world.oidc}/certs")).json
    keys = KeySet.import_key_set(
        {"keys": [one for one in published["keys"] if one["use"] == "sig"]}
    )

    for name, typ in (("access_token", "Bearer"), ("id_token", "ID")):
        assert jwt.decode(tokens[name], keys).claims["typ"] == typ
    assert header(tokens["refresh_token"])["alg"] == "HS512"
    assert claims(tokens["refresh_token"])["typ"] == "Refresh"
    assert {(one["use"], one["alg"]) for one in published["keys"]} == {
        ("sig", "RS256"),
        ("enc", "RSA-OAEP"),
    }
    assert all("d" not in one for one in published["keys"])


async def test_keys_rotate_and_old_tokens_still_verify(world: World) -> None:
    old = (await world.password(scope="openid")).json["access_token"]
    world.provider.rotate_keys()
    new = (await world.password(scope="openid")).json["access_token"]

    assert header(old)["kid"] != header(new)["kid"]
    published = (await world.ask("GET", f"{world.oidc}/certs")).json["keys"]
    assert {header(old)["kid"], header(new)["kid"]} < {one["kid"] for one in published}
    for token in (old, new):
        asked = await world.ask(
            "GET",
            f"{world.oidc}/userinfo",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert asked.json["email"] == "alice@acme.test"


@pytest.mark.parametrize(
    ("email", "password", "refusal", "reason"),
    [
        ("alice@acme.test", "nope", WRONG, "invalid_user_credentials"),
        ("nobody@acme.test", PASSWORD, WRONG, "user_not_found"),
        ("service-account-provisioner", PASSWORD, WRONG, "user_not_found"),
        ("totp@acme.test", PASSWORD, WRONG, "invalid_user_credentials"),
        ("disabled@acme.test", "nope", WRONG, "invalid_user_credentials"),
        (
            "disabled@acme.test",
            PASSWORD,
            (400, "invalid_grant", "Account disabled"),
            "user_disabled",
        ),
        (
            "pending@acme.test",
            PASSWORD,
            (400, "invalid_grant", "Account is not fully set up"),
            "resolve_required_actions",
        ),
    ],
)
async def test_password_refusals(
    world: World,
    email: str,
    password: str,
    refusal: tuple[int, str, str],
    reason: str,
) -> None:
    answer = await world.password(email, password)

    assert answer.refusal == refusal
    assert world.reasons("LOGIN_ERROR") == [reason]


@pytest.mark.parametrize("name", ["totp", "otp"])
async def test_one_time_code_is_accepted_under_both_names(
    world: World, name: str
) -> None:
    code = code_at("NEXIUSTOTPSECRET0001", world.clock.time)

    assert (await world.password("totp@acme.test", **{name: code})).status == 200
    assert (await world.password("totp@acme.test", **{name: code})).refusal == WRONG
    assert (await world.password("totp@acme.test", **{name: "1"})).refusal == WRONG


async def test_one_time_code_serves_twice_where_the_realm_allows_it() -> None:
    async with running(Realm(otp_reusable=True)) as world:
        code = code_at("NEXIUSTOTPSECRET0001", world.clock.time)

        assert (await world.password("totp@acme.test", otp=code)).status == 200
        assert (await world.password("totp@acme.test", otp=code)).status == 200


def test_one_time_codes_are_those_of_the_rfc() -> None:
    """RFC 6238 appendix B, cut to six digits."""
    assert code_at("12345678901234567890", 59) == "287082"
    assert code_at("12345678901234567890", 1111111109) == "081804"


async def test_lockout_is_invisible_and_passes() -> None:
    async with running(Realm(failure_factor=2, wait_increment=60)) as world:
        for _ in range(2):
            assert (await world.password(password="nope")).refusal == WRONG

        assert (await world.password()).refusal == WRONG
        assert world.reasons("LOGIN_ERROR")[-1] == "user_temporarily_disabled"
        world.clock.time += 61
        assert (await world.password()).status == 200


@pytest.mark.parametrize(
    ("form", "refusal"),
    [
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
            (
                401,
                "unauthorized_client",
                "Invalid client or Invalid client credentials",
            ),
        ),
        (
            {"grant_type": "password", "client_id": "nobody"},
            (401, "invalid_client", "Invalid client or Invalid client credentials"),
        ),
        (
            {"grant_type": "client_credentials"},
            (
                401,
                "unauthorized_client",
                "Client not enabled to retrieve service account",
            ),
        ),
        (
            {"grant_type": "refresh_token"},
            (400, "invalid_request", "No refresh token"),
        ),
        (
            {"grant_type": "authorization_code"},
            (400, "invalid_request", "Missing parameter: code"),
        ),
    ],
)
async def test_malformed_calls(
    world: World, form: dict[str, str], refusal: tuple[int, str, str]
) -> None:
    assert (await world.post("token", **form)).refusal == refusal


async def test_direct_grant_can_be_off(world: World) -> None:
    answer = await world.token("password", "provisioner", username="a", password="b")

    assert answer.refusal == (
        400,
        "unauthorized_client",
        "Client not allowed for direct access grants",
    )


async def test_repeated_parameter_is_refused(world: World) -> None:
    form = aiohttp.FormData(
        [
            ("client_id", "app"),
            ("client_secret", "app-secret"),
            ("grant_type", "password"),
            ("username", "a"),
            ("username", "b"),
        ]
    )
    answer = await world.ask("POST", f"{world.oidc}/token", data=form)

    assert answer.refusal == (400, "invalid_request", "duplicated parameter")


async def test_client_may_prove_itself_in_the_header(world: World) -> None:
    form = {
        "grant_type": "password",
        "username": "alice@acme.test",
        "password": PASSWORD,
    }
    for secret, status in (("app-secret", 200), ("wrong", 401)):
        answer = await world.ask(
            "POST",
            f"{world.oidc}/token",
            data=form,
            headers={"Authorization": aiohttp.encode_basic_auth("app", secret)},
        )
        assert answer.status == status
    broken = await world.ask(
        "POST",
        f"{world.oidc}/token",
        data=form,
        headers={"Authorization": "Basic %%%"},
    )
    assert broken.refusal[1] == "invalid_client"


async def test_service_account_gets_a_token_and_no_session(world: World) -> None:
    answer = await world.token("client_credentials", "provisioner")

    assert answer.json["refresh_expires_in"] == 0
    assert "refresh_token" not in answer.json
    assert "session_state" not in answer.json
    said = claims(answer.json["access_token"])
    assert (said["azp"], said["scope"]) == ("provisioner", "")
    assert said["resource_access"] == {"realm-management": {"roles": ["manage-users"]}}


async def test_without_rotation_a_token_serves_many_times(world: World) -> None:
    first = (await world.password(scope="openid")).json
    world.clock.time += 1000

    answers = await asyncio.gather(
        *(world.refresh(first["refresh_token"]) for _ in range(4))
    )

    assert [one.status for one in answers] == [200] * 4
    assert len({one.json["refresh_token"] for one in answers}) == 4
    assert {one.json["session_state"] for one in answers} == {first["session_state"]}
    assert {one.json["scope"] for one in answers} == {"openid profile email"}
    assert all("id_token" in one.json for one in answers)


async def test_refreshing_keeps_the_session_from_idling(world: World) -> None:
    token = (await world.password()).json["refresh_token"]
    for _ in range(3):
        world.clock.time += 1500
        answer = await world.refresh(token)
        assert answer.status == 200
        token = answer.json["refresh_token"]

    world.clock.time += 1800
    assert (await world.refresh(token)).refusal == (
        400,
        "invalid_grant",
        "Token is not active",
    )


async def test_no_token_outlives_the_session() -> None:
    async with running(Realm(max_ttl=2000)) as world:
        token = (await world.password()).json["refresh_token"]
        world.clock.time += 1790
        answer = (await world.refresh(token)).json
        assert (answer["expires_in"], answer["refresh_expires_in"]) == (210, 210)
        world.clock.time += 210

        assert (await world.refresh(answer["refresh_token"])).status == 400


async def test_with_rotation_one_of_many_wins_and_then_loses_too() -> None:
    async with running(Realm(rotate=True)) as world:
        token = (await world.password()).json["refresh_token"]
        answers = await asyncio.gather(*(world.refresh(token) for _ in range(4)))

        winners = [one for one in answers if one.status == 200]
        assert len(winners) == 1
        refused = sorted(str(one.refusal[2]) for one in answers if one.status != 200)
        assert refused == [
            "Maximum allowed refresh token reuse exceeded",
            "Session doesn't have required client",
            "Session doesn't have required client",
        ]
        after = await world.refresh(winners[0].json["refresh_token"])
        assert after.refusal == (
            400,
            "invalid_grant",
            "Session doesn't have required client",
        )


async def test_with_rotation_a_chain_goes_on_and_an_older_token_is_stale() -> None:
    async with running(Realm(rotate=True)) as world:
        tokens = [(await world.password()).json["refresh_token"]]
        for _ in range(3):
            answer = await world.refresh(tokens[-1])
            tokens.append(answer.json["refresh_token"])

        assert (await world.refresh(tokens[0])).refusal[2] == "Stale token"
        assert (await world.refresh(tokens[-1])).status == 400


async def _logged_out(world: World, tokens: dict[str, Any]) -> None:
    await world.provider.end_sessions(world.provider.people[0].sub)


async def _disabled(world: World, tokens: dict[str, Any]) -> None:
    world.provider.disable("alice@acme.test")


async def _revoked(world: World, tokens: dict[str, Any]) -> None:
    await world.post("revoke", token=tokens["refresh_token"])


async def _made_stale(world: World, tokens: dict[str, Any]) -> None:
    world.clock.time += 1
    world.provider.push_not_before()


@pytest.mark.parametrize(
    ("happening", "sentence"),
    [
        (_logged_out, "Session not active"),
        (_disabled, "User disabled"),
        (_revoked, "Session not active"),
        (_made_stale, "Stale token"),
    ],
)
async def test_refresh_refusals(world: World, happening: Any, sentence: str) -> None:
    tokens = (await world.password()).json
    await happening(world, tokens)

    answer = await world.refresh(tokens["refresh_token"])
    assert answer.refusal == (400, "invalid_grant", sentence)


async def test_refresh_refuses_what_is_no_refresh_token_of_this_client(
    world: World,
) -> None:
    tokens = (await world.password()).json
    garbage = (400, "invalid_grant", "Invalid refresh token")

    assert (await world.refresh("garbage")).refusal == garbage
    assert (await world.refresh(tokens["access_token"])).refusal == garbage
    foreign = await world.refresh(tokens["refresh_token"], "erp")
    assert foreign.refusal[:2] == garbage[:2]
    assert world.reasons("REFRESH_TOKEN_ERROR") == ["invalid_token"] * 3


async def test_a_person_enabled_again_goes_on(world: World) -> None:
    token = (await world.password()).json["refresh_token"]
    world.provider.disable("alice@acme.test")
    world.provider.enable("alice@acme.test")

    assert (await world.refresh(token)).status == 200


async def test_disabling_nobody_is_an_error(world: World) -> None:
    with pytest.raises(LookupError, match="nobody has the address"):
        world.provider.disable("nobody@acme.test")


async def test_userinfo_describes_and_refuses(world: World) -> None:
    tokens = (await world.password(scope="openid")).json
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    url = f"{world.oidc}/userinfo"

    described = await world.ask("GET", url, headers=bearer)
    assert described.json["tenant_id"] == "1001"
    posted = await world.ask("POST", url, data={"access_token": tokens["access_token"]})
    assert posted.json == described.json
    assert (await world.ask("GET", url)).status == 401
    plain = (await world.password()).json["access_token"]
    narrow = await world.ask("GET", url, headers={"Authorization": f"Bearer {plain}"})
    assert (narrow.status, narrow.text) == (403, "")
    assert 'error="insufficient_scope"' in narrow.headers["WWW-Authenticate"]
    await world.post("logout", refresh_token=tokens["refresh_token"])
    ended = await world.ask("GET", url, headers=bearer)
    assert ended.status == 401
    assert 'error="invalid_token"' in ended.headers["WWW-Authenticate"]
    world.clock.time += 300
    late = await world.ask("GET", url, headers=bearer)
    assert "Token verification failed" in late.headers["WWW-Authenticate"]


async def test_userinfo_refuses_a_disabled_person(world: World) -> None:
    token = (await world.password(scope="openid")).json["access_token"]
    world.provider.disable("alice@acme.test")

    headers = {"Authorization": f"Bearer {token}"}
    answer = await world.ask("GET", f"{world.oidc}/userinfo", headers=headers)
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


async def test_revoke_answers_as_keycloak_does(world: World) -> None:
    tokens = (await world.password(scope="openid")).json

    unknown = await world.post("revoke", token="garbage")
    assert (unknown.status, unknown.json["error"]) == (200, "invalid_token")
    assert (await world.post("revoke")).refusal[2] == "Token not provided"
    foreign = await world.post("revoke", "erp", token=tokens["refresh_token"])
    assert foreign.status == 400
    access = await world.post("revoke", token=tokens["access_token"])
    assert (access.status, access.text) == (200, "")
    info = await world.ask(
        "GET",
        f"{world.oidc}/userinfo",
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
    )
    assert info.status == 401
    assert (await world.refresh(tokens["refresh_token"])).status == 200
    revoked = await world.post("revoke", token=tokens["refresh_token"])
    assert (revoked.status, revoked.text) == (200, "")
    again = await world.post("revoke", token=tokens["refresh_token"])
    assert again.json["error"] == "invalid_token"
    of_id = await world.post("revoke", token=tokens["id_token"])
    assert of_id.refusal[1] == "unsupported_token_type"
    assert world.logout_tokens == []


async def test_revoke_refuses_repeated_and_forgives_ended(world: World) -> None:
    token = (await world.password()).json["refresh_token"]
    pairs = [
        ("client_id", "app"),
        ("client_secret", "app-secret"),
        ("token", token),
        ("token", token),
    ]
    form = aiohttp.FormData(pairs)
    doubled = await world.ask("POST", f"{world.oidc}/revoke", data=form)
    assert doubled.refusal[2] == "duplicated parameter"

    await world.post("logout", refresh_token=token)
    assert (await world.post("revoke", token=token)).status == 200


async def test_files_in_a_form_do_not_count(world: World) -> None:
    form = aiohttp.FormData()
    form.add_field("grant_type", b"password", filename="grant.txt")
    answer = await world.ask("POST", f"{world.oidc}/token", data=form)

    assert answer.refusal[2] == "Missing form parameter: grant_type"


async def test_idle_session_is_forgotten_after_a_grace(world: World) -> None:
    sid = (await world.password()).json["session_state"]
    begun = world.clock.time

    assert world.provider.sessions.live(sid, begun + 1800 + 119)
    assert world.provider.sessions.live(sid, begun + 1800 + 120) is None
    assert world.provider.sessions.live(sid, begun) is None


async def test_keys_rotate_before_their_first_use(world: World) -> None:
    world.provider.rotate_keys()

    published = (await world.ask("GET", f"{world.oidc}/certs")).json["keys"]
    assert [one["use"] for one in published].count("sig") == 2
