"""Signing out, and who hears of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.dev.test_provider_driver import World, claims, header, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HOME = "http://127.0.0.1:8080/"


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with running() as one:
        yield one


async def _both_clients(world: World) -> dict[str, str]:
    """Sign in at both clients with one session; return the first one's tokens."""
    first = await world.sign_in()
    tokens: dict[str, str] = (await world.exchange(first.query["code"])).json
    second = await world.authorize("erp")
    await world.exchange(second.query["code"], "erp")
    return tokens


async def test_client_logout_ends_the_session_and_may_be_repeated(world: World) -> None:
    token = (await world.password()).json["refresh_token"]

    for _ in range(2):
        answer = await world.post("logout", refresh_token=token)
        assert (answer.status, answer.text) == (204, "")
    assert (await world.refresh(token)).refusal[2] == "Session not active"
    assert world.reasons("LOGOUT") == [None]


async def test_client_logout_refuses_garbage_and_strangers(world: World) -> None:
    token = (await world.password()).json["refresh_token"]

    garbage = await world.post("logout", refresh_token="garbage")
    assert garbage.refusal == (400, "invalid_grant", "Invalid refresh token")
    stranger = await world.post("logout", refresh_token=token, client_secret="wrong")
    assert stranger.status == 401
    assert (await world.refresh(token)).status == 200


async def test_client_logout_accepts_an_expired_token(world: World) -> None:
    token = (await world.password()).json["refresh_token"]
    world.clock.time += 1800

    assert (await world.post("logout", refresh_token=token)).status == 204


async def test_every_client_hears_of_a_client_logout(world: World) -> None:
    tokens = await _both_clients(world)
    await world.post("logout", refresh_token=tokens["refresh_token"])

    heard = dict(world.logout_tokens)
    assert sorted(heard) == ["app", "erp"]
    token = heard["erp"]
    assert header(token)["typ"] == "logout+jwt"
    assert header(token)["alg"] == "RS256"
    said = claims(token)
    assert said.pop("jti")
    assert said == {
        "exp": 1_700_000_120,
        "iat": 1_700_000_000,
        "iss": world.issuer,
        "aud": "erp",
        "sub": world.provider.people[0].sub,
        "typ": "Logout",
        "sid": tokens["session_state"],
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }
    published = (await world.ask("GET", f"{world.oidc}/certs")).json["keys"]
    keys = KeySet.import_key_set(
        {"keys": [one for one in published if one["use"] == "sig"]}
    )
    assert jwt.decode(token, keys).claims["aud"] == "erp"


async def test_administrator_ends_sessions_and_everybody_hears(world: World) -> None:
    tokens = await _both_clients(world)
    alice = world.provider.people[0]

    assert await world.provider.end_sessions(alice.sub) == 1
    assert sorted(client for client, _ in world.logout_tokens) == ["app", "erp"]
    refused = await world.refresh(tokens["refresh_token"])
    assert refused.refusal[2] == "Session not active"
    assert await world.provider.end_sessions(alice.sub) == 0
    assert (await world.authorize(prompt="none")).query["error"] == "login_required"


async def test_logout_goes_on_when_a_client_does_not_answer(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    urls = {
        "app": "http://127.0.0.1:1/gone",
        "erp": world.issuer + "/nothing-here",
    }
    for name, url in urls.items():
        client = world.provider.clients[name]
        world.provider.clients[name] = replace(client, backchannel_logout_url=url)
    await _both_clients(world)

    assert await world.provider.end_sessions(world.provider.people[0].sub) == 1
    assert len(caplog.records) == 2


async def test_session_lives_until_the_clients_have_been_told(world: World) -> None:
    tokens = await _both_clients(world)
    during: list[int] = []

    async def slow(request: web.Request) -> web.Response:
        answer = await world.refresh(tokens["refresh_token"])
        during.append(answer.status)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", slow)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    erp = world.provider.clients["erp"]
    world.provider.clients["erp"] = replace(erp, backchannel_logout_url=url)
    answers = await asyncio.gather(
        *(world.post("logout", refresh_token=tokens["refresh_token"]) for _ in range(2))
    )
    await runner.cleanup()

    assert [one.status for one in answers] == [204, 204]
    assert during == [200]
    assert (await world.refresh(tokens["refresh_token"])).status == 400


async def _end_session(world: World, **params: str) -> tuple[int, str, str]:
    answer = await world.ask("GET", f"{world.oidc}/logout", params=params)
    return answer.status, answer.headers.get("Location", ""), answer.text


async def test_browser_logout_with_a_hint_returns_at_once(world: World) -> None:
    tokens = await _both_clients(world)
    world.clock.time += 1000

    status, location, _ = await _end_session(
        world,
        id_token_hint=tokens["id_token"],
        post_logout_redirect_uri=HOME,
        state="x y",
    )
    assert (status, location) == (302, f"{HOME}?state=x+y")
    assert sorted(client for client, _ in world.logout_tokens) == ["app", "erp"]
    assert (await world.authorize(prompt="none")).query["error"] == "login_required"


async def test_browser_logout_without_a_hint_asks_first(world: World) -> None:
    tokens = await _both_clients(world)
    params = {"client_id": "app", "post_logout_redirect_uri": HOME}
    page = await world.ask("GET", f"{world.oidc}/logout", params=params)
    assert (page.status, "Do you want to log out?" in page.text) == (200, True)
    assert (await world.refresh(tokens["refresh_token"])).status == 200

    done = await world.ask("POST", page.action)
    assert (done.status, done.headers["Location"]) == (302, HOME)
    assert (await world.refresh(tokens["refresh_token"])).status == 400


async def test_browser_logout_without_a_session_just_returns(world: World) -> None:
    status, location, _ = await _end_session(
        world, client_id="app", post_logout_redirect_uri=HOME
    )
    assert (status, location) == (302, HOME)

    status, _, text = await _end_session(world)
    assert (status, "You are logged out" in text) == (200, True)


async def test_confirmation_serves_only_its_own_session(world: World) -> None:
    await world.sign_in()
    page = await world.ask("GET", f"{world.oidc}/logout")
    forged = page.action.replace("session_code=", "session_code=x")
    assert (await world.ask("POST", forged)).status == 400

    await world.sign_in("bob@globex.test", prompt="login")
    assert (await world.ask("POST", page.action)).status == 400


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"id_token_hint": "garbage"}, "Invalid parameter: id_token_hint"),
        ({"post_logout_redirect_uri": HOME}, "Missing parameters: id_token_hint"),
        (
            {"client_id": "app", "post_logout_redirect_uri": "http://evil.test/"},
            "Invalid redirect uri",
        ),
    ],
)
async def test_browser_logout_refusals(
    world: World, params: dict[str, str], message: str
) -> None:
    status, location, text = await _end_session(world, **params)

    assert (status, location) == (400, "")
    assert message in text


async def test_end_of_the_provider_drops_what_is_under_way() -> None:
    async def silent(request: web.Request) -> web.Response:
        entered.set()
        await asyncio.sleep(60)
        return web.Response()

    entered = asyncio.Event()
    app = web.Application()
    app.router.add_post("/", silent)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    async with running() as world:
        client = world.provider.clients["app"]
        world.provider.clients["app"] = replace(client, backchannel_logout_url=url)
        await world.password()
        sub = world.provider.people[0].sub
        ending = asyncio.create_task(world.provider.end_sessions(sub))
        await entered.wait()
    with pytest.raises(asyncio.CancelledError):
        await ending
    await runner.cleanup()

    assert world.provider.sessions.of(sub) == []
