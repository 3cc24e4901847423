"""What the worker does in a tenant's Odoo, and what is left when it goes wrong."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from bff.sites.tasks import Kind
from tests.bff.odoo_world import TENANT, OdooWorld, odoo_world
from tests.bff.waiting import until
from tests.fakes.odoo_data import ADMIN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

KEYS, DESCRIPTION = "res.users.apikeys", "res.users.apikeys.description"
CHECK, ME = "res.users.identitycheck", "res.users/context_get"
# The calls of a rotation that may go wrong, each with how many of its kind come before,
# in builds of Odoo 19 from 2025 and from 2026.
STEPS = {
    2025: (
        (ME, 0),
        (f"{KEYS}/generate", 0),
        (f"{DESCRIPTION}/create", 0),
        (f"{DESCRIPTION}/make_key", 0),
        (f"{CHECK}/write", 0),
        (f"{CHECK}/run_check", 0),
        (ME, 1),
        (f"{KEYS}/revoke", 0),
        (f"{KEYS}/search_read", 0),
        (ME, 2),
        (f"{KEYS}/remove", 0),
        (f"{CHECK}/write", 1),
        (f"{CHECK}/run_check", 1),
    ),
    2026: (
        (ME, 0),
        (f"{KEYS}/generate", 0),
        (ME, 1),
        (f"{KEYS}/revoke", 0),
        (f"{KEYS}/search_read", 0),
    ),
}


@asynccontextmanager
async def settled(databases: Databases, year: int = 2025) -> AsyncGenerator[OdooWorld]:
    """Give a tenant whose Odoo is ready, and a worker."""
    async with (
        odoo_world(databases, programmatic=year >= 2026) as place,
        place.worker(),
        place.admin() as alice,
    ):
        await place.ready(alice)
        yield place


@pytest.fixture
async def place(databases: Databases) -> AsyncGenerator[OdooWorld]:
    async with settled(databases) as found:
        yield found


@pytest.mark.parametrize("year", STEPS)
async def test_whatever_breaks_a_rotation_a_key_of_ours_works(
    databases: Databases, year: int
) -> None:
    failed = 0
    async with settled(databases, year) as place:
        for method, others in STEPS[year]:
            for happens in (False, True):
                for _ in range(others):
                    place.fake.fail(method)  # nothing goes wrong with these
                place.fake.fail(method, cut=True, happens=happens)

                found = await place.ask(Kind.ROTATE)

                said = f"{method} after {others}, {happens=}: {dict(found)}"
                assert not place.fake.faults[method], f"never called: {said}"
                failed += found["state"] == "failed"
                assert found["code"] in {"", "odoo_silent", "odoo_unreachable"}, said
                assert (await place.kept()).key in place.odoo.keys, said
                assert (await place.ask(Kind.ROTATE))["state"] == "done", said
                kept = await place.kept()
                assert list(place.odoo.keys) == [kept.key], said
                assert not kept.previous, said
    # Where keys make no keys, Odoo says so before the connection breaks: no failure.
    assert failed == 2 * len(STEPS[year]) - 2 * (year < 2026)


async def test_a_worker_that_was_replaced_writes_nothing(place: OdooWorld) -> None:
    before = await place.kept()
    place.fake.fail(f"{CHECK}/run_check", delay=1.5)
    asked = asyncio.ensure_future(place.ask(Kind.ROTATE))

    async def at_it() -> bool:
        return not place.fake.faults[f"{CHECK}/run_check"]

    await until(at_it)
    await place.execute(
        "UPDATE odoo_connections SET fence = fence + 1, held_until = NULL"
    )

    found = await asked  # the next try has it done

    assert (found["state"], found["run"]) == ("done", 1)
    after = await place.kept()
    assert after.key != before.key
    assert list(place.odoo.keys) == [after.key]
    assert await place.actions() == ["odoo.key_rotated"]


async def test_a_look_is_noted(place: OdooWorld) -> None:
    first = await place.row()
    assert (await place.ask(Kind.VERIFY))["state"] == "done"
    well = await place.row()
    place.odoo.set_parameter("bff.tenant_id", "1002")

    found = await place.ask(Kind.VERIFY)

    assert (found["state"], found["code"]) == ("failed", "odoo_check_failed")
    ill = await place.row()
    assert first["checked_at"] < well["checked_at"] < ill["checked_at"]
    assert (well["problem"], ill["problem"]) == (None, found["problem"])
    place.odoo.set_parameter("bff.tenant_id", str(TENANT))
    assert (await place.ask(Kind.VERIFY))["state"] == "done"
    assert (await place.row())["problem"] is None


async def test_nobody_s_fault_but_ours_is_not_noted_of_odoo(place: OdooWorld) -> None:
    await place.execute("UPDATE odoo_connections SET sealed = 'damaged'")

    found = await place.ask(Kind.VERIFY)

    assert (found["state"], found["code"]) == ("failed", "odoo_secrets_unreadable")
    assert "damaged" not in json.dumps([found["problem"], found["result"]])


async def test_suspended_people_stay_out_until_they_are_let_in(
    place: OdooWorld,
) -> None:
    users = place.odoo.records["res.users"]

    found = await place.ask(Kind.SUSPEND)

    assert (found["state"], json.loads(found["result"])) == ("done", {"people": 1})
    assert users[ADMIN]["active"] is False
    assert (await place.row())["active"] is False
    again = await place.ask(Kind.SUSPEND)
    assert json.loads(again["result"]) == {"people": 0}
    key = (await place.kept()).key

    found = await place.ask(Kind.RESUME)

    assert (found["state"], json.loads(found["result"])) == ("done", {"people": 1})
    assert users[ADMIN]["active"] is True
    assert (await place.row())["active"] is True
    assert (await place.kept()).key == key
    assert await place.actions() == [
        "odoo.suspended",
        "odoo.suspended",
        "odoo.resumed",
    ]


async def test_nobody_is_let_in_while_the_tenant_is_suspended(
    place: OdooWorld,
) -> None:
    await place.ask(Kind.SUSPEND)
    await place.execute("UPDATE tenants SET status = 'suspended'")

    found = await place.ask(Kind.RESUME)

    assert (found["state"], found["code"]) == ("failed", "tenant_suspended")
    assert place.odoo.records["res.users"][ADMIN]["active"] is False
    await place.execute("UPDATE tenants SET status = 'active'")
    assert (await place.ask(Kind.RESUME))["state"] == "done"


async def test_a_suspension_makes_a_new_key(place: OdooWorld) -> None:
    before, row = await place.kept(), await place.row()
    await place.execute("UPDATE odoo_connections SET key_expires_at = now()")

    await place.ask(Kind.SUSPEND)

    after = await place.kept()
    assert after.key != before.key
    assert list(place.odoo.keys) == [after.key]
    assert (await place.row())["key_expires_at"] >= row["key_expires_at"]


async def test_a_key_that_grew_old_in_a_suspension_is_replaced(
    place: OdooWorld,
) -> None:
    await place.ask(Kind.SUSPEND)
    place.odoo.keys.clear()
    await place.execute("UPDATE odoo_connections SET key_expires_at = now()")

    assert (await place.ask(Kind.RESUME))["state"] == "done"

    assert list(place.odoo.keys) == [(await place.kept()).key]
    assert (await place.ask(Kind.VERIFY))["state"] == "done"
    assert await place.actions() == [
        "odoo.suspended",
        "odoo.resumed",
        "odoo.key_rotated",
    ]


async def test_an_odoo_that_was_upgraded_gives_a_key_with_an_end_that_is_known(
    place: OdooWorld,
) -> None:
    await place.execute("UPDATE odoo_connections SET series = '17.0'")

    assert (await place.ask(Kind.ROTATE))["state"] == "done"

    row = await place.row()
    assert row["series"] == "19.0"
    (key,) = place.odoo.keys.values()
    assert key.expires is not None
    ends = datetime.fromisoformat(key.expires).replace(tzinfo=UTC)
    # Ours has no time of day either; a midnight may have come in between.
    assert ends - timedelta(days=1) <= row["key_expires_at"] <= ends


async def test_whoever_looks_notes_which_odoo_it_is(place: OdooWorld) -> None:
    await place.execute("UPDATE odoo_connections SET series = '18.0'")
    assert (await place.ask(Kind.VERIFY))["state"] == "done"
    assert (await place.row())["series"] == "19.0"


async def test_an_odoo_that_is_away_is_noted(place: OdooWorld) -> None:
    await place.stop_odoo()

    found = await place.ask(Kind.VERIFY)

    assert (found["state"], found["code"]) == ("failed", "odoo_unreachable")
    assert (await place.row())["problem"] == found["problem"]


async def test_a_repair_needs_somebody_to_repair_it_for(place: OdooWorld) -> None:
    password = (await place.kept()).admin_password
    await place.execute("UPDATE tenant_users SET roles = '{viewer}'")

    found = await place.ask(Kind.REPAIR)

    assert (found["state"], found["code"]) == ("failed", "no_admin")
    assert (await place.kept()).admin_password == password


async def test_before_there_is_a_database_nothing_is_done(place: OdooWorld) -> None:
    await place.execute("UPDATE odoo_connections SET made = false")
    before = len(place.fake.contexts)

    for kind in (Kind.VERIFY, Kind.ROTATE, Kind.REPAIR, Kind.SUSPEND, Kind.RESUME):
        found = await place.ask(kind)
        assert (found["state"], found["code"]) == ("failed", "odoo_missing")

    assert len(place.fake.contexts) == before


async def test_another_server_is_not_shown_what_opens_a_database(
    place: OdooWorld,
) -> None:
    await place.execute("UPDATE odoo_connections SET server_url = 'http://before.test'")
    before = len(place.fake.contexts), len(place.fake.seen)

    for kind in (Kind.VERIFY, Kind.ROTATE, Kind.REPAIR, Kind.SUSPEND, Kind.RESUME):
        found = await place.ask(kind)
        assert (found["state"], found["code"]) == ("failed", "odoo_moved")

    assert (len(place.fake.contexts), len(place.fake.seen)) == before
