"""A sync into the tenant's Odoo: in batches, each lead once, whatever comes between."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from bff.exports import odoo_sync
from bff.sites.tasks import Kind
from tests.bff.odoo_world import TENANT, OdooWorld, odoo_world
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

LOAD = "crm.lead/load"


@pytest.fixture
async def place(databases: Databases) -> AsyncGenerator[OdooWorld]:
    async with (
        odoo_world(databases) as place,
        place.worker(),
        place.admin() as alice,
    ):
        await place.ready(alice)
        yield place


async def companies(place: OdooWorld, count: int) -> None:
    """Give the tenant exactly so many scored companies."""
    await place.execute("DELETE FROM lead_scores WHERE tenant_id = $1", TENANT)
    await place.execute(
        "WITH made AS (INSERT INTO companies (name, website_domain) "
        "SELECT 'Company ' || n, 'c' || n || '.test' FROM generate_series(1, $2) AS n "
        "RETURNING company_id, name) "
        "INSERT INTO lead_scores (tenant_id, company_id, score) "
        "SELECT $1, company_id, 1 - 0.001 * substr(name, 9)::int FROM made",
        TENANT,
        count,
    )


def leads(place: OdooWorld) -> list[str]:
    """Return the names of the leads in Odoo."""
    return sorted(
        row["name"] for row in place.odoo.records.get("crm.lead", {}).values()
    )


def names(count: int) -> list[str]:
    return sorted(f"Company {number}" for number in range(1, count + 1))


async def synced(
    place: OdooWorld, limit: int = 1000, min_score: float | None = None
) -> dict[str, Any]:
    found = await place.ask(Kind.SYNC, limit=limit, min_score=min_score)
    assert found["state"] == "done", dict(found)
    result: dict[str, Any] = json.loads(found["result"])
    return result


async def test_a_long_list_arrives_in_batches_and_each_once(
    place: OdooWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odoo_sync, "BATCH", 20)
    await companies(place, 50)

    found = await synced(place)

    assert leads(place) == names(50)
    counts = ("count", "seen", "created", "updated", "skipped", "refused")
    assert [found[one] for one in counts] == [50, 50, 50, 0, 0, 0]
    found = await synced(place, limit=30)
    assert [found[one] for one in counts] == [30, 30, 0, 30, 0, 0]
    assert leads(place) == names(50)
    found = await synced(place, min_score=1 - 0.0105)
    assert [found[one] for one in counts] == [10, 10, 0, 10, 0, 0]
    found = await synced(place, limit=20)  # a batch that is the last one, and full
    assert [found[one] for one in counts] == [20, 20, 0, 20, 0, 0]


async def test_a_sync_notes_that_odoo_was_upgraded(place: OdooWorld) -> None:
    await companies(place, 2)
    await place.execute("UPDATE odoo_connections SET series = '17.0'")
    await synced(place)
    assert (await place.row())["series"] == "19.0"
    assert leads(place) == names(2)


async def test_a_deleted_lead_stays_deleted_and_a_refused_one_holds_up_nobody(
    place: OdooWorld, caplog: pytest.LogCaptureFixture
) -> None:
    await companies(place, 5)
    await synced(place, limit=2)
    rows = place.odoo.records["crm.lead"]
    gone = next(at for at, row in rows.items() if row["name"] == "Company 1")
    del rows[gone]
    place.odoo.forget_names("crm.lead", [gone])
    refusal = {"ids": False, "messages": [{"type": "error", "message": "No such TLD"}]}
    # The known one; all three new ones, the first of them, the others, each of these.
    for refused in (False, True, False, True, True, False):
        place.fake.fail(LOAD, **({"answers": (refusal,)} if refused else {}))

    found = await synced(place)

    assert not place.fake.faults[LOAD]
    counts = [found[one] for one in ("created", "updated", "skipped", "refused")]
    assert counts == [2, 1, 1, 1]
    (error,) = found["errors"]
    # Odoo's own words are for the log: `load` repeats whatever failed inside.
    assert error["error"] == "Odoo did not take this company as a lead."
    assert "No such TLD" in caplog.text
    assert leads(place) == ["Company 2", "Company 3", "Company 5"]


async def test_what_passes_by_itself_is_tried_again(
    place: OdooWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odoo_sync, "FIRST_PAUSE", 0.05)
    await companies(place, 5)
    place.fake.fail(LOAD, cut=True)
    place.fake.fail(LOAD, page=(502, "CANARY"), happens=True)

    found = await synced(place)

    assert leads(place) == names(5)
    assert (found["seen"], found["created"] + found["updated"]) == (5, 5)


async def test_what_does_not_pass_ends_it_and_keeps_how_far_it_was(
    place: OdooWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odoo_sync, "BATCH", 2)
    monkeypatch.setattr(odoo_sync, "FIRST_PAUSE", 0.01)
    await companies(place, 6)
    place.fake.fail(LOAD)
    for _ in range(odoo_sync.TRIES):
        place.fake.fail(LOAD, page=(502, "CANARY"))

    found = await place.ask(Kind.SYNC, limit=10, min_score=None)

    assert (found["state"], found["code"]) == ("failed", "odoo_silent")
    assert "CANARY" not in str(dict(found))
    result = json.loads(found["result"])
    assert (result["count"], result["seen"], result["created"]) == (6, 2, 2)
    assert not place.fake.faults[LOAD]
    assert (await synced(place))["created"] == 4
    assert leads(place) == names(6)


async def test_another_tenant_s_database_gets_nothing(place: OdooWorld) -> None:
    place.odoo.set_parameter("bff.tenant_id", "1002")

    found = await place.ask(Kind.SYNC, limit=10, min_score=None)

    assert (found["state"], found["code"]) == ("failed", "odoo_not_ours")
    assert leads(place) == []


async def test_a_suspended_odoo_gets_nothing(place: OdooWorld) -> None:
    await place.execute("UPDATE odoo_connections SET active = false")

    found = await place.ask(Kind.SYNC, limit=10, min_score=None)

    assert (found["state"], found["code"]) == ("failed", "odoo_suspended")
    assert leads(place) == []


async def test_between_two_batches_others_have_their_turn(
    place: OdooWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odoo_sync, "BATCH", 5)
    await companies(place, 40)
    for _ in range(8):
        place.fake.fail(LOAD, delay=0.3)
    sync = asyncio.ensure_future(place.ask(Kind.SYNC, limit=100, min_score=None))

    async def begun() -> bool:
        found = await place.task("sync")
        return found is not None and json.loads(found["result"]).get("seen", 0) > 0

    await until(begun)
    assert (await place.ask(Kind.ROTATE))["state"] == "done"
    assert (await place.ask(Kind.VERIFY))["state"] == "done"
    assert not sync.done()

    found = await sync

    assert found["state"] == "done"
    assert json.loads(found["result"])["created"] == 40
    assert leads(place) == names(40)


async def test_a_worker_that_was_replaced_in_a_batch_counts_it_once(
    place: OdooWorld,
) -> None:
    await companies(place, 30)
    place.fake.fail(LOAD, delay=1.0)
    sync = asyncio.ensure_future(place.ask(Kind.SYNC, limit=100, min_score=None))

    async def at_it() -> bool:
        return not place.fake.faults[LOAD]

    await until(at_it)
    await place.execute(
        "UPDATE odoo_connections SET fence = fence + 1, held_until = NULL"
    )

    found = await sync

    result = json.loads(found["result"])
    assert (found["state"], result["seen"]) == ("done", 30)
    assert result["created"] + result["updated"] == 30
    assert leads(place) == names(30)
