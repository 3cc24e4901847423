"""Late refusals of a session that another replaced leave the other's cookies alone."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from bff.current_session import STORE
from bff.sessions.revocation import ENDED, REMEMBER
from bff.telemetry import METRICS
from tests.bff.members.inviting import invited, redeem
from tests.bff.sessions.refreshing import PAST, code, elsewhere, ticket
from tests.bff.sessions.test_ending import is_cut, open_stream
from tests.bff.waiting import until

if TYPE_CHECKING:
    from uuid import UUID

    from aiohttp import web

    from tests.world import Browser, World

OVER = (401, "session_ended")


async def known(app: web.Application, sid: UUID) -> None:
    async def look() -> bool:
        return not app[ENDED].surely_lives(sid)

    await until(look)


async def refused_and_kept(tab: Browser) -> None:
    """Check that a tab is refused and told to delete nothing, in all ways."""
    for answer in (
        await tab.get("/whoami"),
        await tab.get("/graph/threads/x"),
        await tab.post("/auth/refresh"),
    ):
        assert await code(answer) == OVER
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("again", ["sign in", "join"])
async def test_a_refusal_that_comes_last_does_not_delete_the_new_session(
    world: World, again: str
) -> None:
    async with (
        world.signed_in() as admin,
        world.signed_in("carol@initech.test") as browser,
        world.another_gateway() as other,
    ):
        token = await invited(admin)
        old = browser.cookies
        async with (
            elsewhere(world, world.url, old) as tab,
            elsewhere(world, other, old) as far,
        ):
            if again == "sign in":
                answer = await browser.login("carol@initech.test")
            else:
                answer = await redeem(browser, token)
            assert answer.status == 200

            await refused_and_kept(tab)

            async def heard() -> bool:
                return (await far.get("/whoami")).status == 401

            await until(heard)
            await refused_and_kept(far)
        assert (await browser.get("/whoami")).status == 200


async def test_the_stream_that_is_cut_asks_again_and_harms_nothing(
    world: World,
) -> None:
    async with world.signed_in() as browser:
        async with elsewhere(world, world.url, browser.cookies) as tab:
            stream = await open_stream(world, tab)
            assert (await browser.login("alice@acme.test")).status == 200
            await is_cut(stream, within=10)
            await refused_and_kept(tab)
        assert (await browser.get("/whoami")).status == 200


async def test_a_deaf_gateway_reads_it_in_the_table(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        world.signed_in() as replaced,
        world.signed_in() as signed_out,
    ):
        ended = world.app[ENDED]
        monkeypatch.setattr(ended, "_listener", SimpleNamespace(hears=False))
        for browser, kept in ((replaced, True), (signed_out, False)):
            mine = ticket(world, browser.cookies)
            # As another replica would, and unheard of here.
            await world.app[STORE].end(mine.user_id, mine.sid, "test", replaced=kept)
            monkeypatch.setattr(ended, "_ended", OrderedDict())
            monkeypatch.setattr(ended, "_replaced", set())
            answer = await browser.get("/whoami")
            assert await code(answer) == OVER
            assert ("Set-Cookie" not in answer.headers) is kept


async def test_a_renewal_reads_it_in_the_row(world: World) -> None:
    async with (
        world.signed_in() as browser,
        elsewhere(world, world.url, browser.cookies) as tab,
    ):
        assert (await browser.login("alice@acme.test")).status == 200
        mine = ticket(world, tab.cookies)
        await known(world.app, mine.sid)
        world.clock.ahead += REMEMBER + PAST
        world.app[ENDED].forget_old()
        assert not world.app[ENDED].was_replaced(mine.sid), "nobody remembers"

        await refused_and_kept(tab)

        assert world.app[METRICS].registry.get_sample_value(
            "bff_refreshes_total", {"outcome": "replaced"}
        )


async def test_what_is_heard_at_a_new_connection_is_heard_whole(world: World) -> None:
    async with world.signed_in() as browser:
        old = browser.cookies
        assert (await browser.login("alice@acme.test")).status == 200
        async with (
            world.another_gateway() as late,
            elsewhere(world, late, old) as tab,
        ):
            await refused_and_kept(tab)


async def test_a_session_that_was_signed_out_is_cleared_as_ever(world: World) -> None:
    async with (
        world.signed_in() as browser,
        elsewhere(world, world.url, browser.cookies) as tab,
    ):
        assert (await browser.post("/auth/logout")).status == 204
        answer = await tab.get("/whoami")
        assert await code(answer) == OVER
        assert "Set-Cookie" in answer.headers
