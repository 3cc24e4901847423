"""People see where they are signed in, and end it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.world import World

PATH = "/auth/sessions"


async def test_one_sees_ones_own_sessions_and_no_others(world: World) -> None:
    async with (
        world.signed_in() as first,
        world.signed_in() as second,
        world.signed_in("bob@globex.test"),
    ):
        found = await (await second.get(PATH)).json()

        assert [line["current"] for line in found] == [True, False]
        assert {line["tenant_id"] for line in found} == {1001}
        assert len(await (await first.get(PATH)).json()) == 2


async def test_one_ends_another_of_ones_own_sessions(world: World) -> None:
    async with world.signed_in() as lost, world.signed_in() as here:
        (there,) = (
            line["id"]
            for line in await (await here.get(PATH)).json()
            if not line["current"]
        )

        assert (await here.request("DELETE", f"{PATH}/{there}")).status == 204

        assert (await lost.get("/whoami")).status == 401
        assert (await here.get("/whoami")).status == 200
        assert (await here.request("DELETE", f"{PATH}/{there}")).status == 404


async def test_ending_the_session_in_use_clears_its_cookies(world: World) -> None:
    async with world.signed_in() as browser:
        (line,) = await (await browser.get(PATH)).json()

        assert (await browser.request("DELETE", f"{PATH}/{line['id']}")).status == 204

        assert browser.cookies == {}


async def test_somebody_elses_session_is_not_there(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in("bob@globex.test") as bob:
        (line,) = await (await bob.get(PATH)).json()

        foreign = await alice.request("DELETE", f"{PATH}/{line['id']}")
        unknown = await alice.request("DELETE", f"{PATH}/nonsense")

        assert (foreign.status, unknown.status) == (404, 404)
        assert (await bob.get("/whoami")).status == 200
