"""T14: a session that is over opens nothing, anywhere, however it ended.

Seen as CVE-2021-41230 (claims of yesterday), CVE-2025-55162 (a cookie deleted without
`Secure` stays), and cookies deleted under another path.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.outside import ask, set_cookies
from tests.bff.auth.redirects import begin, come_back, prove
from tests.bff.sessions.refreshing import NEAR, PAST, elsewhere, refreshes
from tests.bff.waiting import until
from tests.world import PASSWORD, World

if TYPE_CHECKING:
    import aiohttp

    from tests.bff.raw import RawAnswer
    from tests.databases import Databases
    from tests.world import Browser

ALICE, BOB = "alice@acme.test", "bob@globex.test"
CLOSED = (
    *("GET /whoami", "GET /auth/sessions", "GET /onboarding/status", "GET /"),
    *("GET /export/latest_scores.json", "GET /graph/threads/x", "GET /tenants/1001"),
    *("POST /auth/refresh", "POST /onboarding/first_login"),
    "POST /graph/threads/search",
)


async def opens_nothing(world: World, jar: dict[str, str], *hosts: str) -> None:
    """Check that these cookies are worth nothing, on each replica."""
    before = refreshes(world)
    seen = len(world.graph.seen)
    for url in (world.url, *hosts):
        for line in CLOSED:
            answer = await replay(world, url, line, jar)
            assert answer.status == 401, (url, line, answer.raw)
        session = await replay(world, url, "GET /auth/session", jar)
        assert session.json == {"authenticated": False}
    assert len(world.graph.seen) == seen
    assert refreshes(world) == before, "the provider is not asked for a dead session"


async def replay(world: World, url: str, line: str, jar: dict[str, str]) -> RawAnswer:
    host = world.url.removeprefix("http://")
    there = World(world.databases)
    there.url = url
    return await ask(there, line, jar=jar, host=host)


@pytest.mark.parametrize(
    "end", ["logout", "everywhere", "own list", "provider", "again"]
)
async def test_stolen_cookies_die_with_their_session(world: World, end: str) -> None:
    async with (
        world.another_gateway() as other,
        world.signed_in(ALICE) as browser,
        world.signed_in(ALICE) as second,
        elsewhere(world, other, browser.cookies) as there,
    ):
        stolen = browser.cookies
        stream = await there.get("/graph/threads/x/stream")
        assert stream.status == 200
        await finish(world, browser, second, end)

        async def dead() -> bool:
            answer = await replay(world, other, "GET /whoami", stolen)
            return answer.status == 401

        await until(dead)
        await opens_nothing(world, stolen, other)
        await is_cut(stream)
        world.clock.ahead += NEAR
        await opens_nothing(world, stolen, other)
        world.clock.ahead += PAST
        await opens_nothing(world, stolen, other)


async def finish(world: World, browser: Browser, second: Browser, end: str) -> None:
    if end == "logout":
        assert (await browser.post("/auth/logout")).status == 204
    elif end == "everywhere":
        answer = await second.post("/auth/logout", json={"everywhere": True})
        assert answer.status == 204
    elif end == "own list":
        listed = await (await second.get("/auth/sessions")).json()
        (other,) = [one["id"] for one in listed if not one["current"]]
        answer = await second.request("DELETE", f"/auth/sessions/{other}")
        assert answer.status == 204
    elif end == "provider":
        account = world.provider.accounts.find(ALICE)
        assert account is not None
        assert await world.provider.end_sessions(account.id) == 2
    else:
        assert (await browser.login(BOB)).status == 200


async def is_cut(stream: aiohttp.ClientResponse) -> None:
    async def read() -> None:
        while await stream.content.readany():
            pass

    with pytest.raises(Exception, match=r"(?i)payload|closed|closing|reset"):
        await asyncio.wait_for(read(), 5)
    stream.close()


async def test_what_was_stolen_before_a_renewal_dies_as_well(world: World) -> None:
    async with world.signed_in(ALICE) as browser:
        stolen = [browser.cookies]
        for _ in range(2):
            await browser.post("/auth/refresh")
            stolen.append(browser.cookies)
        await browser.post("/auth/logout")

    for jar in stolen:
        await opens_nothing(world, jar)


async def test_what_was_granted_yesterday_is_gone_with_the_next_renewal(
    world: World,
) -> None:
    async with world.signed_in(BOB) as browser:
        assert (await browser.get("/graph/threads/x")).status == 200
        async with world.databases.superuser() as connection:
            changed = await connection.execute(
                "UPDATE tenant_users SET removed_at = now() WHERE tenant_id = 1002"
            )
        assert changed == "UPDATE 1"
        world.clock.ahead += NEAR

        for path in ("/graph/threads/x", "/export/latest_scores.json"):
            answer = await browser.get(path)
            assert answer.status == 403, path
        who = await (await browser.get("/whoami")).json()
        assert (who["tenant_id"], who["roles"]) == (None, [])
        # Nor does a new sign-in bring it back, whatever the token claims.
        await browser.login(BOB)
        assert (await browser.get("/graph/threads/x")).status == 403


async def test_a_person_who_is_locked_out_is_out_within_the_tokens_life(
    world: World,
) -> None:
    async with world.signed_in(ALICE) as browser:
        stolen = browser.cookies
        world.provider.disable(ALICE)
        world.clock.ahead += PAST
        assert (await browser.get("/graph/threads/x")).status == 401
        world.provider.enable(ALICE)
        await opens_nothing(world, stolen)


HTTPS: dict[str, dict[str, Any]] = {"server": {"public_origins": ("https://app.test",)}}


@pytest.mark.parametrize("samesite", ["Lax", "Strict"])
async def test_each_cookie_is_deleted_exactly_as_it_was_set(
    databases: Databases, samesite: str
) -> None:
    """With `__Host-` a browser ignores a deletion without Secure and `Path=/`."""
    settings = {**HTTPS, "session": {"samesite": samesite}}
    async with World(databases, settings=settings).running() as world:
        body = json.dumps({"email": ALICE, "password": PASSWORD}).encode()
        login = await ask(world, "POST /auth/login", body=body, host="app.test")
        assert login.status == 200
        sso = await ask(world, "GET /auth/sso", host="app.test")
        written = attributes(set_cookies(login) + set_cookies(sso))
        jar = {name: value for name, (value, _) in written.items()}
        assert all(name.startswith("__Host-nx_") for name in jar)
        for _, said in written.values():
            assert {"Secure", "HttpOnly", "Path=/"} <= said
            assert not [one for one in said if one.startswith("Domain")]

        out = await ask(world, "POST /auth/logout", jar=jar, host="app.test")
        assert out.status == 204
        deleted = attributes(set_cookies(out))
        assert deleted.keys() == jar.keys() - {"__Host-nx_device"}
        for name, (value, said) in deleted.items():
            assert value == ""
            assert said == written[name][1], name
        for line in ("GET /whoami", "POST /auth/refresh"):
            late = await ask(world, line, jar=jar, host="app.test")
            cleared = attributes(set_cookies(late))
            assert late.status == 401
            assert cleared
            assert all(said == written[name][1] for name, (_, said) in cleared.items())


def attributes(headers: list[str]) -> dict[str, tuple[str, set[str]]]:
    """Return value and attributes of each cookie, but for how long it lasts."""
    found = {}
    for one in headers:
        first, *rest = one.split("; ")
        name, _, value = first.partition("=")
        said = {part for part in rest if not part.startswith("Max-Age")}
        assert any(part.startswith("Max-Age") for part in rest)
        found[name] = (value, said)
    return found


async def test_a_new_sign_in_by_redirect_ends_the_one_before(world: World) -> None:
    async with world.signed_in(ALICE) as browser:
        stolen = browser.cookies
        back = await prove(browser, await begin(browser), BOB)
        assert (await come_back(browser, back)).status == 303
        assert (await browser.get("/whoami")).status == 200

    await opens_nothing(world, stolen)
