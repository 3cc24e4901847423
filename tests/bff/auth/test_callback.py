"""Every way in which coming back from the provider can go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from aiohttp import web

from bff.database import DatabaseUnavailable
from bff.sessions.store import SessionStore
from tests.bff.auth.redirects import begin, come_back, prove, query_of
from tests.bff.raw import exchange, head

if TYPE_CHECKING:
    import aiohttp

    from tests.world import Browser, World


async def is_plain_page(
    answer: aiohttp.ClientResponse, status: int = 400, *shown: str
) -> None:
    """Check that nothing leads on by itself and nothing of the request is shown."""
    text = await answer.text()
    assert answer.status == status, text
    assert answer.content_type == "text/html"
    assert "Location" not in answer.headers
    assert "http-equiv" not in text
    assert "<script" not in text
    assert "CANARY" not in text
    for one in shown:
        assert one not in text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


async def is_stranger(browser: Browser) -> None:
    assert (await browser.get("/whoami")).status == 401


async def test_a_code_of_another_browser_signs_nobody_in(world: World) -> None:
    async with world.browser() as attacker, world.browser() as victim:
        back = await prove(attacker, await begin(attacker))
        await begin(victim)

        await is_plain_page(await come_back(victim, back))
        await is_stranger(victim)


async def test_a_callback_works_once(world: World) -> None:
    async with world.browser() as browser:
        attempt = await begin(browser)
        before = browser.cookies
        back = await prove(browser, attempt)
        assert (await come_back(browser, back)).status == 303
        ours = browser.cookies

        await is_plain_page(await come_back(browser, back))
        assert browser.cookies == ours
        assert (await browser.get("/whoami")).status == 200
        # Not even with the try's cookie kept: the code is spent.
        browser.set_cookies(before)
        await is_plain_page(await come_back(browser, back))
        await is_stranger(browser)


@pytest.mark.parametrize("iss", [None, "", "https://evil.test/realms/nexius", "CANARY"])
async def test_an_answer_of_another_issuer_is_refused(
    world: World, iss: str | None
) -> None:
    async with world.browser() as browser:
        said = query_of(await prove(browser, await begin(browser)))
        del said["iss"]
        changed = said if iss is None else {**said, "iss": iss}

        answer = await come_back(browser, f"/auth/callback?{urlencode(changed)}")

        await is_plain_page(answer)
        await is_stranger(browser)
        assert "CODE_TO_TOKEN" not in {one.type for one in world.provider.events}


@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "session_state"])
async def test_a_parameter_given_twice_is_refused(world: World, name: str) -> None:
    async with world.browser() as browser:
        back = await prove(browser, await begin(browser))
        value = query_of(back).get(name, "x")

        for twice in (f"&{name}={value}", f"&{name}=CANARY"):
            extra = twice * 2 if name == "error" else twice
            await is_plain_page(await come_back(browser, back + extra))
        await is_stranger(browser)


async def test_an_id_token_for_another_try_is_refused(world: World) -> None:
    async with world.browser() as browser:
        first, second = await begin(browser), await begin(browser)
        # The code of one try with the state of another: verifier and nonce differ.
        back = query_of(await prove(browser, first))
        mixed = urlencode({**back, "state": second.query["state"]})
        await is_plain_page(await come_back(browser, f"/auth/callback?{mixed}"))

        sign = world.provider.keys.sign
        world.provider.keys.sign = lambda claims, **more: sign(  # type: ignore[method-assign] # another nonce
            {**claims, "nonce": "CANARY"}, **more
        )
        third = await prove(browser, await begin(browser))
        await is_plain_page(await come_back(browser, third))
        await is_stranger(browser)


@pytest.mark.parametrize(
    "said",
    [
        {"error": "access_denied", "error_description": "<script>CANARY</script>"},
        {"error": "CANARY"},
        {"error": ""},
        {},
        {"code": ""},
        {"code": "CANARY"},
        {"code": "CANARY" * 1000},
    ],
    ids=lambda said: repr(said)[:40],
)
async def test_a_refusal_ends_on_a_plain_page_and_uses_the_try_up(
    world: World, said: dict[str, str]
) -> None:
    async with world.browser() as browser:
        state = (await begin(browser)).query["state"]
        query = urlencode({**said, "state": state, "iss": world.issuer})

        await is_plain_page(await come_back(browser, f"/auth/callback?{query}"))

        await is_stranger(browser)
        assert f"nx_signin.{state}" not in browser.cookies


async def test_a_callback_out_of_nowhere_is_a_plain_page(world: World) -> None:
    async with world.browser() as browser:
        for path in (
            "/auth/callback",
            "/auth/callback?state=CANARY&code=x&iss=y",
            "/auth/callback?state=&code=x",
            "/auth/callback?%00=%ff&state=%ff%00",
            "/auth/callback?state=" + "CANARY" * 500,
        ):
            await is_plain_page(await come_back(browser, path))


async def test_a_try_expires(world: World) -> None:
    async with world.browser() as browser:
        back = await prove(browser, await begin(browser))
        jar = browser.cookies
        world.clock.ahead += 601
        browser.set_cookies(jar)

        await is_plain_page(await come_back(browser, back))
        await is_stranger(browser)


async def test_a_try_of_another_state_does_not_open(world: World) -> None:
    async with world.browser() as browser:
        first, second = await begin(browser), await begin(browser)
        names = [f"nx_signin.{one.query['state']}" for one in (first, second)]
        jar = browser.cookies
        browser.set_cookies({names[0]: jar[names[1]], names[1]: jar[names[0]]})

        back = await prove(browser, first)

        await is_plain_page(await come_back(browser, back))


async def test_damaged_tries_are_no_tries(world: World) -> None:
    state = "s" * 43
    for value in ("", "x", "A" * 100, "ä", "=", "1", "A" * 3000):
        answer = await exchange(
            world.url,
            head(
                world.url,
                f"GET /auth/callback?state={state}&code=c&iss={world.issuer}",
                f"Cookie: nx_signin.{state}={value}",
            ),
        )
        assert answer.status == 400
        assert answer.headers["content-type"].startswith("text/html")


async def test_a_provider_that_is_away_is_said_on_the_way_there_and_back(
    world: World,
) -> None:
    async def down(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503, text="CANARY")

    async with world.browser() as browser:
        back = await prove(browser, await begin(browser))
        world.provider.intercept = down
        await is_plain_page(await come_back(browser, back), 503)
        world.clock.ahead += 3601
        # Known endpoints serve on: the provider itself will say that it is away.
        assert (await browser.navigate("/auth/sso")).status == 302
        await is_stranger(browser)


async def test_a_database_that_is_away_is_said_on_a_plain_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("CANARY")

    async with world.browser() as browser:
        back = await prove(browser, await begin(browser))
        monkeypatch.setattr(SessionStore, "create", away)

        await is_plain_page(await come_back(browser, back), 503)
        assert "nx_access" not in browser.cookies
