"""/export/odoo/sync as a tenant's people use it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.bff.odoo_world import TENANT, OdooWorld, odoo_world
from tests.bff.sessions.refreshing import code
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import Browser, World

SYNC = "/export/odoo/sync"
NONE = {
    "state": "none",
    "exported": 0,
    "created": 0,
    "updated": 0,
    "skipped": 0,
    "refused": 0,
    "count": None,
    "min_score": None,
    "limit": None,
    "errors": [],
    "error": None,
    "started_at": None,
    "finished_at": None,
}


@pytest.fixture
async def place(databases: Databases) -> AsyncGenerator[OdooWorld]:
    async with odoo_world(databases) as running:
        yield running


async def progress(browser: Browser) -> dict[str, Any]:
    answer = await browser.get(SYNC)
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def over(browser: Browser) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found = await progress(browser)
        return found if found["finished_at"] else None

    return await until(look, seconds=20)


async def test_the_demo_s_companies_arrive_in_odoo(place: OdooWorld) -> None:
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)
        assert await progress(alice) == NONE

        answer = await alice.post(SYNC, json={"limit": 3})

        assert answer.status == 202
        assert answer.headers["Location"] == SYNC
        assert (await answer.json())["state"] == "queued"
        found = await over(alice)
        assert found.pop("started_at") <= found.pop("finished_at")
        assert found == {
            "state": "done",
            "exported": 3,
            "created": 3,
            "updated": 0,
            "skipped": 0,
            "refused": 0,
            "count": 3,
            "min_score": None,
            "limit": 3,
            "errors": [],
            "error": None,
        }
        rows = place.odoo.records["crm.lead"].values()
        exported = await (await alice.get("/export/latest_scores.json?limit=3")).json()
        assert [row["name"] for row in rows] == [one["name"] for one in exported]
        log = await (await alice.get(f"/tenants/{TENANT}/audit?action=odoo.")).json()
        (entry,) = log["entries"]
        assert entry["action"] == "odoo.sync_asked"
        assert entry["detail"] == {"min_score": None, "limit": 3}


async def test_a_second_one_is_the_first_while_that_is_under_way(
    place: OdooWorld,
) -> None:
    async with (
        place.admin() as alice,
        place.world.another_gateway() as url,
        place.world.browser(url) as there,
    ):
        async with place.worker():
            await place.ready(alice)
        there.set_cookies(alice.cookies)

        answers = await asyncio.gather(
            *(
                one.post(SYNC, json={"limit": limit})
                for limit, one in enumerate((alice, there, alice, there), 1)
            )
        )

        assert sorted(one.status for one in answers) == [200, 200, 200, 202]
        bodies = [await one.json() for one in answers]
        assert all(one == bodies[0] for one in bodies)
        assert await place.actions() == ["odoo.sync_asked"]
        async with place.worker(), place.worker():
            found = await over(there)
        assert found["exported"] == bodies[0]["limit"]
        assert len(place.odoo.records["crm.lead"]) == bodies[0]["limit"]
        assert (await alice.post(SYNC)).status == 202, "a next one, once that is over"


async def test_a_failure_says_why_in_a_sentence(place: OdooWorld) -> None:
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)
        place.odoo.set_parameter("bff.tenant_id", "1002")

        assert (await alice.post(SYNC)).status == 202

        found = await over(alice)
        assert (found["state"], found["exported"]) == ("failed", 0)
        assert found["error"].startswith("A database has the name of yours")


async def test_without_an_odoo_there_is_nowhere_to_send_them(
    place: OdooWorld,
) -> None:
    async with place.admin() as alice:
        refused = await alice.post(SYNC)
        assert await code(refused) == (409, "odoo_missing")
        assert await progress(alice) == NONE
        async with place.worker():
            await place.ready(alice)
        await place.execute("UPDATE odoo_connections SET active = false")
        assert await code(await alice.post(SYNC)) == (409, "odoo_suspended")
        assert await place.actions() == []


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 0},
        {"limit": 10_001},
        {"limit": "5"},
        {"limit": True},
        {"limit": 1.5},
        {"limit": None},
        {"min_score": "0.5"},
        {"min_score": False},
        {"score": 1},
    ],
)
async def test_a_body_that_is_not_as_it_should_be_is_refused(
    world: World, body: dict[str, Any]
) -> None:
    async with world.signed_in() as alice:
        assert await code(await alice.post(SYNC, json=body)) == (422, "invalid_body")


async def test_no_number_is_no_score(world: World) -> None:
    async with world.signed_in() as alice:
        for number in ("NaN", "Infinity", "-Infinity", "1e999"):
            answer = await alice.post(
                SYNC,
                data=f'{{"min_score": {number}}}',
                headers={"Content-Type": "application/json"},
            )
            assert answer.status in {400, 422}


async def test_it_is_for_ops_and_admins_of_ones_own_tenant(world: World) -> None:
    async with (
        world.browser() as stranger,
        world.signed_in("carol@initech.test") as carol,
        world.signed_in("dave@acme.test") as dave,
    ):
        for method in ("GET", "POST"):
            for browser, refusal in (
                (stranger, (401, "not_signed_in")),
                (carol, (403, "tenant_missing")),
                (dave, (403, "role_missing")),
            ):
                assert await code(await browser.request(method, SYNC)) == refusal
        async with world.databases.superuser() as superuser:
            await superuser.execute(
                "UPDATE tenant_users SET roles = '{viewer,ops}' "
                "WHERE email = 'dave@acme.test'"
            )
    async with world.signed_in("dave@acme.test") as dave:
        assert (await dave.get(SYNC)).status == 200
        assert await code(await dave.post(SYNC)) == (409, "odoo_missing")
        strange = await dave.post(SYNC, headers={"Sec-Fetch-Site": "cross-site"})
        assert await code(strange) == (403, "cross_site_refused")
        async with world.databases.superuser() as superuser:
            await superuser.execute("UPDATE auth_session SET ended_at = now()")
        assert (await dave.post(SYNC)).status == 401
