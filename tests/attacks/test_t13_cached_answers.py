"""T13: a cache in front serves nobody's data and nobody's cookies to anybody else.

Seen as CVE-2025-48947 and CVE-2025-64762: a renewed session's Set-Cookie was kept by
a CDN and handed to the next visitor.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.attacks.caching import cache_before
from tests.attacks.outside import ask
from tests.bff.proxied import with_proxy
from tests.bff.sessions.refreshing import NEAR
from tests.fakes.upstream import Peer, fake_upstream

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.world import Browser, World

ALICE, BOB = "alice@acme.test", "bob@globex.test"
PATHS = (
    *(
        "/whoami",
        "/auth/session",
        "/auth/sessions",
        "/onboarding/status",
        "/tenants/1001",
    ),
    *("/export/latest_scores.json", "/export/latest_scores.csv", "/", "/onboarding"),
    *("/graph/threads/x", "/login", "/nowhere", "/info", "/static/style.css"),
)

VARIES = re.compile(r'"(?:request_id|x-request-id|host|user-agent)": "[^"]*"')


async def looks(browser: Browser) -> dict[str, str]:
    """Read everything as this person."""
    seen = {}
    for path in PATHS:
        answer = await browser.get(path, headers={"Accept-Encoding": "identity"})
        text = VARIES.sub("", await answer.text())
        seen[path] = f"{answer.status} {text}"
    return seen


async def test_two_people_behind_one_cache_see_their_own(world: World) -> None:
    async with (
        cache_before(world.url) as cache,
        world.browser(cache.url) as alice,
        world.browser(cache.url) as bob,
        world.browser(cache.url) as stranger,
        world.browser() as direct,
    ):
        for browser, email in ((alice, ALICE), (bob, BOB)):
            assert (await browser.login(email)).status == 200
        first = await looks(alice)
        assert ALICE in first["/whoami"]
        jars = [alice.cookies, bob.cookies]

        for browser, email in ((bob, BOB), (alice, ALICE)):
            again = await looks(browser)
            assert email in again["/whoami"]
            assert email in again["/auth/session"]
        others = await looks(stranger)
        assert "alice" not in str(others)
        assert others["/whoami"].startswith("401")
        assert stranger.cookies == {}
        assert [alice.cookies, bob.cookies] == jars, "nobody got anybody else's"
        direct.set_cookies(bob.cookies)
        through, plain = await looks(bob), await looks(direct)
        for path in set(PATHS) - {"/graph/threads/x"}:
            assert through[path] == plain[path], "the cache changes nothing"
        assert set(cache.hits) <= {"/static/style.css", "/login", "/", "/onboarding"}
        assert "/static/style.css" in cache.hits, "the cache does cache"


async def test_renewed_cookies_stay_with_their_owner(world: World) -> None:
    """Each path in turn is the one whose answer brings Alice's new cookies."""
    async with (
        cache_before(world.url) as cache,
        world.browser(cache.url) as alice,
        world.browser(cache.url) as bob,
        world.browser(cache.url) as stranger,
    ):
        await alice.login(ALICE)
        await bob.login(BOB)
        for path in PATHS:
            world.clock.ahead += NEAR
            for browser in (alice, stranger, bob):
                await (await browser.get(path)).read()
                await (await browser.navigate(path)).read()
            hers = set(alice.cookies.values())
            assert not hers & set(bob.cookies.values()), path
            assert stranger.cookies == {}, path
            for stored in cache.kept.values():
                names = [name.lower() for name, _ in stored.headers]
                assert "set-cookie" not in names, path
        assert BOB in await (await bob.get("/whoami")).text()


SAID = (
    "public, max-age=600",
    "max-age=600",
    "s-maxage=600",
    "immutable",
    "no-cache",
    "private, max-age=60",
    "",
)


async def test_an_agent_that_allows_caching_is_not_believed(
    databases: Databases,
) -> None:
    """What comes from the agent's server is somebody's, whatever that server says."""
    asked, said = 0, ""

    async def permissive(peer: Peer) -> None:
        nonlocal asked
        while True:
            await peer.request()
            asked += 1
            mine = f'{{"secret": "number {asked}"}}'.encode()
            headers = ["Content-Type: application/json", 'ETag: "same"']
            headers += [f"Cache-Control: {said}"] if said else []
            headers += ["CDN-Cache-Control: max-age=600", "Expires: Fri, 01 Jan 2100"]
            await peer.answer(mine, *headers)

    async with fake_upstream(permissive) as upstream:
        world = with_proxy(databases, upstreams=[upstream.url])
        async with (
            world.running(),
            cache_before(world.url) as cache,
            world.browser(cache.url) as alice,
            world.browser(cache.url) as bob,
        ):
            await alice.login(ALICE)
            await bob.login(BOB)
            for number, said in enumerate(SAID):
                # At first as it is; then with an answer that brings new cookies.
                for ahead in (0, NEAR):
                    world.clock.ahead += ahead
                    path = f"/graph/threads/{number}-{ahead}"
                    hers = await (await alice.get(path)).text()
                    his = await (await bob.get(path)).text()

                    assert hers != his, said
                    assert path not in cache.hits, said
                    mine = set(alice.cookies.values())
                    assert not mine & set(bob.cookies.values()), said
            assert asked == 4 * len(SAID)


async def test_every_answer_with_somebody_in_it_forbids_keeping(world: World) -> None:
    async with world.signed_in(ALICE) as browser:
        jar = browser.cookies
        for path in PATHS:
            world.clock.ahead += 1
            answer = await ask(world, f"GET {path}", jar=jar)
            said = answer.headers["cache-control"]
            shared = path in {"/", "/login", "/onboarding"} or path.startswith(
                "/static"
            )
            assert "no-store" in said or (shared and "no-cache" in said), path
            assert "cookie" in answer.headers["vary"].lower(), path
            if "no-store" not in said:
                assert b"alice" not in answer.body
                assert "set-cookie" not in answer.headers
