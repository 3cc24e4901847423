"""T7: parts of cookies in any order, number or company open for nobody else.

Seen as CVE-2024-24814 (a huge count from the client), CVE-2023-28625 (stripping
cookies crashed), and as stale parts that were left behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attacks.outside import ask, hostile, set_cookies
from tests.bff.sessions.refreshing import NEAR, refreshes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.world import World

Jar = dict[str, str]
ALICE, BOB = "alice@acme.test", "bob@globex.test"


class Heavy:
    """Make the provider's access tokens as large as somebody with many groups has."""

    def __init__(self, world: World) -> None:
        self.world, self.size = world, 2000
        self._sign = world.provider.keys.sign
        world.provider.keys.sign = self._heavier  # type: ignore[method-assign] # larger tokens

    def _heavier(self, claims: dict[str, Any], *, typ: str = "JWT") -> str:
        more = {"groups": "g" * self.size} if claims["typ"] == "Bearer" else {}
        return self._sign({**claims, **more}, typ=typ)


class Two:
    """Two people whose sessions take several cookies each."""

    def __init__(self, world: World, alice: Jar, bob: Jar) -> None:
        self.world, self.alice, self.bob = world, alice, bob


@pytest.fixture
async def two(world: World) -> AsyncGenerator[Two]:
    Heavy(world)
    async with world.signed_in(ALICE) as alice, world.signed_in(BOB) as bob:
        assert {"nx_access", "nx_access.1", "nx_refresh"} <= alice.cookies.keys()
        yield Two(world, alice.cookies, bob.cookies)


async def who(world: World, jar: Jar) -> str | None:
    """Return as whom these cookies are taken."""
    answer = await ask(world, "GET /whoami", jar=jar)
    assert answer.status in {200, 401}, answer.raw
    return answer.json["email"] if answer.status == 200 else None


async def test_a_count_of_the_clients_is_only_a_claim(two: Two) -> None:
    first = two.alice["nx_access"]
    assert await who(two.world, two.alice) == ALICE
    for count in (
        "0",
        "1",
        "3",
        "4",
        "5",
        "9",
        "99",
        "-1",
        "+2",
        "1e9",
        "a",
        "\u00b2",
        "",
    ):
        jar = {**two.alice, "nx_access": count + first[1:]}
        assert await who(two.world, jar) is None, count
        extra = {f"nx_access.{number}": "A" * 50 for number in range(1, 200)}
        assert await who(two.world, {**extra, **jar}) is None, count


async def test_missing_reordered_and_foreign_parts_open_nothing(two: Two) -> None:
    mine, theirs = two.alice, two.bob
    first, second = mine["nx_access"], mine["nx_access.1"]
    for name, jar in {
        "the second is missing": {"nx_access": first},
        "the first is missing": {"nx_access.1": second},
        "the second is empty": {"nx_access": first, "nx_access.1": ""},
        "the other way round": {"nx_access": second, "nx_access.1": first},
        "the same twice": {"nx_access": first, "nx_access.1": first},
        "shifted by one": {"nx_access": first, "nx_access.2": second},
        "Bob's second": {"nx_access": first, "nx_access.1": theirs["nx_access.1"]},
        "Bob's first": {"nx_access": theirs["nx_access"], "nx_access.1": second},
        "all in one": {"nx_access": f"1{first[1:]}{second}"[:4000]},
        "the refresh cookie": {"nx_access": mine["nx_refresh"]},
        "the refresh cookie as both": {
            "nx_access": mine["nx_refresh"],
            "nx_access.1": mine["nx_refresh"],
        },
        "only the refresh cookie": {"nx_refresh": mine["nx_refresh"]},
        "another case": {"NX_ACCESS": first, "NX_ACCESS.1": second},
        "a prefix": {"__Host-nx_access": first, "__Host-nx_access.1": second},
    }.items():
        assert await who(two.world, jar) is None, name
        assert await who(two.world, {"nx_refresh": mine["nx_refresh"], **jar}) is None
    extra = {**mine, "nx_access.2": theirs["nx_access.1"], "nx_access.3": "x"}
    assert await who(two.world, extra) == ALICE, "what is not counted does not count"


async def test_two_peoples_cookies_renew_nobody(two: Two) -> None:
    world, mine, theirs = two.world, two.alice, two.bob
    for jar in (
        {**mine, "nx_refresh": theirs["nx_refresh"]},
        {**theirs, "nx_refresh": mine["nx_refresh"]},
        {**mine, "nx_refresh": mine["nx_access"]},
        {name: one for name, one in mine.items() if name != "nx_refresh"},
    ):
        answer = await ask(world, "POST /auth/refresh", jar=jar)
        assert answer.status == 401
        assert all("Max-Age=0" in one for one in set_cookies(answer))
    world.clock.ahead += NEAR
    mixed = {**mine, "nx_refresh": theirs["nx_refresh"]}
    assert (await ask(world, "GET /graph/threads/x", jar=mixed)).status == 401
    assert refreshes(world) == 0
    assert world.graph.seen == []


@hostile(150)
@given(data=st.data())
async def test_no_mixture_is_anybody_else(two: Two, data: st.DataObject) -> None:
    parts = [*two.alice.values(), *two.bob.values(), "", "1", "4", "\u00ff", "A" * 60]
    names = ["nx_access", "nx_access.1", "nx_access.2", "nx_access.3", "nx_refresh"]
    piece = st.sampled_from(parts).flatmap(
        lambda one: (
            st.tuples(st.integers(0, len(one)), st.sampled_from(["", *parts]))
            .map(lambda cut: one[: cut[0]] + cut[1][:3900])
            .flatmap(lambda changed: st.sampled_from([one, changed]))
        )
    )
    jar = data.draw(st.dictionaries(st.sampled_from(names), piece))
    expected = None
    for email, whole in ((ALICE, two.alice), (BOB, two.bob)):
        if all(jar.get(name) == whole[name] for name in ("nx_access", "nx_access.1")):
            expected = email

    assert await who(two.world, jar) == expected


async def test_hundreds_of_cookies_and_huge_ones_do_no_harm(two: Two) -> None:
    world, mine = two.world, two.alice
    others = {f"c{number}": "x" * 20 for number in range(500)}
    assert await who(world, {**others, **mine}) == ALICE
    tossed = {f"nx_access.{number}": "x" for number in range(4, 504)}
    tossed |= {f"nx_refresh.{number}": "x" for number in range(4, 504)}
    assert await who(world, {**tossed, **mine}) == ALICE
    tries = {f"nx_signin.{number}": "x" * 20 for number in range(500)}
    assert await who(world, {**tries, **mine}) == ALICE
    for line in ("GET /auth/sso", "GET /auth/callback?state=1&code=x", "GET /login"):
        answer = await ask(world, line, "Sec-Fetch-Mode: navigate", jar=tries)
        assert answer.status < 500, line
    for size in (4_000, 12_000, 30_000):
        assert await who(world, {"nx_access": "1" + "A" * size}) is None
        assert await who(world, {"nx_access": "4", "nx_access.1": "A" * size}) is None
    for size in (40_000, 200_000):
        answer = await ask(world, "GET /whoami", jar={"nx_access": "1" + "A" * size})
        assert answer.status == 431
    assert await who(world, mine) == ALICE


async def test_a_session_that_shrinks_leaves_nothing_behind(world: World) -> None:
    heavy = Heavy(world)
    async with world.signed_in(ALICE) as browser:
        heavy.size = 0
        before = set(browser.cookies)
        answer = await browser.post("/auth/refresh")
        assert answer.status == 200
        gone = {
            one.partition("=")[0]
            for one in answer.headers.getall("Set-Cookie")
            if "Max-Age=0" in one
        }
        assert gone == {"nx_access.1"} == before - {"nx_access", "nx_refresh"}
        assert set(browser.cookies) == {"nx_access", "nx_refresh"}
        assert (await browser.get("/whoami")).status == 200
        heavy.size = 2000
        await browser.post("/auth/refresh")
        assert set(browser.cookies) == before
        assert (await browser.get("/whoami")).status == 200
