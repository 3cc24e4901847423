"""Ways of harm that were once open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import aiohttp

from bff.listener import LISTENER
from bff.sessions.revocation import ENDED

if TYPE_CHECKING:
    from tests.world import World


async def test_a_dead_cookie_does_not_sign_its_owner_out_everywhere(
    world: World,
) -> None:
    async with world.signed_in() as thief:
        stolen = thief.cookies
        await thief.post("/auth/logout")
        thief.set_cookies(stolen)
        async with world.signed_in() as owner:
            answer = await thief.post("/auth/logout", json={"everywhere": True})

            assert answer.status == 204
            assert (await owner.get("/whoami")).status == 200


async def test_who_signs_out_everywhere_has_done_so_once_the_answer_is_here(
    world: World,
) -> None:
    async with world.signed_in() as one, world.signed_in() as other:
        world.app[LISTENER]._callbacks.clear()

        await one.post("/auth/logout", json={"everywhere": True})

        assert (await other.get("/whoami")).status == 401


async def test_a_body_that_is_not_encoded_as_it_says_is_the_senders_fault(
    world: World,
) -> None:
    async with world.browser() as browser:
        for path in ("/auth/login", "/auth/logout"):
            answer = await browser.post(
                path,
                data=b"not gzip at all",
                headers={
                    "Content-Type": "application/json",
                    "Content-Encoding": "gzip",
                    "Connection": "close",
                },
            )
            assert answer.status == 400


async def test_a_form_that_cannot_be_read_is_the_senders_fault(world: World) -> None:
    kinds = {
        "multipart/form-data": 415,
        "application/x-www-form-urlencoded; charset=bogus": 400,
        "application/x-www-form-urlencoded": 400,
    }
    async with aiohttp.ClientSession() as session:
        for kind, status in kinds.items():
            async with session.post(
                f"{world.url}/auth/backchannel-logout",
                data=b"logout_token=\xff",
                headers={"Content-Type": kind},
            ) as answer:
                assert answer.status == status


async def test_a_request_that_waits_for_the_graph_ends_with_its_session(
    world: World,
) -> None:
    async with world.signed_in() as browser:
        ticket = (await (await browser.get("/auth/sessions")).json())[0]["id"]
        waiting = asyncio.create_task(browser.get("/graph/threads/slow/state"))
        await world.graph.asked.wait()
        assert world.app[ENDED].count(UUID(ticket))

        await browser.request("DELETE", f"/auth/sessions/{ticket}")

        async with asyncio.timeout(5):
            await asyncio.wait([waiting])
        # Broken; aiohttp's client then asks again by itself, as the stranger it is now.
        assert waiting.exception() or waiting.result().status == 401
        assert [one["path"] for one in world.graph.seen] == ["/threads/slow/state"]


async def test_the_role_of_a_claim_goes_when_the_claim_loses_it(world: World) -> None:
    async with world.signed_in() as browser:
        assert "admin" in (await (await browser.get("/whoami")).json())["roles"]
    async with world.databases.superuser() as database:
        stored = await database.fetchval("SELECT roles FROM tenant_users")

    assert stored == ["viewer"]
