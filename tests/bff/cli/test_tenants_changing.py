"""`bff tenants create`, `invite`, `suspend`, `resume` and `delete`."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.bff.cli.operators import command, with_odoo
from tests.bff.cli.test_tenants import has_odoo, in_database
from tests.bff.members.inviting import redeem
from tests.bff.members.people import BOB, CAROL, DAVE, entries, who
from tests.bff.odoo_world import odoo_world
from tests.bff.sessions.refreshing import code
from tests.bff.waiting import until
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from typer.testing import Result

    from tests.databases import Databases

ACME = 1001
BEGUN = "UPDATE odoo_tasks SET state = 'running' WHERE kind = $1 RETURNING 1"
STATES = """
SELECT string_agg(kind || ' ' || state, ',' ORDER BY kind) FROM odoo_tasks
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@asynccontextmanager
async def by_invitation(databases: Databases) -> AsyncGenerator[World]:
    world = World(databases, settings={"onboarding": {"open_to": "invited"}})
    async with world.running():
        yield world


async def created(world: World, email: str = CAROL) -> tuple[int, str]:
    """Return a new tenant's number and the token of its link."""
    result = await command(
        *(world, "tenants", "create", "--name", "Initech", "--admin", email),
    )
    assert result.exit_code == 0, result.output
    first, link = result.stdout.splitlines()
    assert link.startswith(f"{world.url}/invite#")
    assert "works once and until" in result.stderr
    return int(first.removeprefix("tenant ")), link.rpartition("#")[2]


async def test_the_invited_admin_founds_the_workspace_by_the_link(
    databases: Databases,
) -> None:
    async with by_invitation(databases) as world:
        tenant_id, token = await created(world)
        async with world.signed_in(CAROL) as carol:
            refused = await carol.post("/onboarding/first_login")
            assert await code(refused) == (403, "onboarding_closed")

            assert (await redeem(carol, token)).status == 200
            assert await who(carol) == (200, tenant_id, ["viewer", "admin"])
            started = await carol.post("/onboarding/first_login")
            assert started.status == 202

            async def ready() -> bool:
                found = await (await carol.get("/onboarding/status")).json()
                return bool(found["status"] == "ready")

            await until(ready)
            # They are an admin like any other, by our own table.
            answer = await carol.post(f"/tenants/{tenant_id}/invites", json={})
            assert answer.status == 201
        made = [one for one in await entries(world) if one["tenant_id"] == tenant_id]
    assert [one["action"] for one in made][:3] == [
        *("tenant.founded", "invite.made", "invite.redeemed"),
    ]
    assert made[0]["detail"] == {"name": "Initech"}
    assert all(one["actor"] == "" for one in made[:2])


async def test_the_link_is_for_that_address_alone_and_works_once(
    databases: Databases,
) -> None:
    async with by_invitation(databases) as world:
        _, token = await created(world, f" {CAROL.upper()}")
        async with world.signed_in(BOB) as bob, world.signed_in(CAROL) as carol:
            refused = (403, "invite_for_another")
            assert await code(await redeem(bob, token)) == refused
            assert (await redeem(carol, token)).status == 200
            gone = (404, "invite_not_found")
            assert await code(await redeem(carol, token)) == gone
        stored = await in_database(world, "SELECT token_hash::text FROM tenant_invites")
        assert token not in stored


async def test_a_link_that_was_not_used_is_replaced_by_another(
    databases: Databases,
) -> None:
    async with by_invitation(databases) as world:
        tenant_id, old = await created(world)
        await in_database(
            world, "UPDATE tenant_invites SET expires_at = now() RETURNING 1"
        )
        result = await command(
            *(world, "tenants", "invite", str(tenant_id), "--admin", CAROL),
        )
        token = result.stdout.strip().rpartition("#")[2]
        async with world.signed_in(CAROL) as carol:
            assert (await redeem(carol, old)).status == 404
            assert (await redeem(carol, token)).status == 200
            assert await who(carol) == (200, tenant_id, ["viewer", "admin"])


async def test_what_makes_no_tenant_makes_nothing(world: World) -> None:
    for name, admin, said in (
        ("", CAROL, "--name"),
        ("x" * 201, CAROL, "--name"),
        ("a\nb", CAROL, "--name"),
        ("Initech", "nobody", "--admin"),
    ):
        result = await command(
            *(world, "tenants", "create", "--name", name, "--admin", admin),
        )
        assert result.exit_code == 1
        assert result.stderr.startswith(said)
    unknown = await command(world, "tenants", "invite", "987654", "--admin", CAROL)
    assert unknown.stderr == "there is no tenant 987654\n"
    assert await in_database(world, "SELECT count(*) FROM tenants") == 2
    assert await in_database(world, "SELECT count(*) FROM tenant_invites") == 0


async def test_a_tenant_is_suspended_and_resumed(world: World) -> None:
    async with world.signed_in(DAVE) as dave:
        result = await command(world, "tenants", "suspend", "1001")
        assert result.exit_code == 0, result.output
        assert result.stdout == (
            "tenant 1001 is suspended; sessions ended: 1\nit has no Odoo of its own\n"
        )
        await dave.login(DAVE)
        assert await code(await dave.get("/icp/rules")) == (403, "tenant_suspended")

        result = await command(world, "tenants", "resume", "1001")
        assert result.stdout.startswith("tenant 1001 is active again")
        assert (await dave.get("/icp/rules")).status == 200
        again = await command(world, "tenants", "resume", "1001")
        assert again.stdout.startswith("tenant 1001 was active already")


async def finished(
    world: World, act: str, state: str, result: dict[str, Any] | None = None
) -> Result:
    """Run *act*, and have its task end as a worker would have it."""
    running = asyncio.create_task(command(world, "tenants", act, "1001"))
    query = (
        "UPDATE odoo_tasks SET state = $1, result = $2, finished_at = now(), "
        "code = $3, problem = $4 WHERE kind = $5 AND state = 'queued' RETURNING true"
    )
    failed = ("odoo_unreachable", "Odoo is away.") if state == "failed" else ("", "")

    async def worked() -> bool:
        values = (state, json.dumps(result or {}), *failed, act)
        return bool(await in_database(world, query, *values))

    await until(worked)
    return await running


async def test_the_worker_is_asked_and_waited_for(databases: Databases) -> None:
    world = World(databases, settings={"worker": {"embedded": False}})
    async with world.running():
        await has_odoo(world)
        done = await finished(world, "suspend", "done", {"people": 3})
        assert done.exit_code == 0
        assert done.stdout.endswith("Odoo: suspend is done; people: 3\n")

        failed = await finished(world, "suspend", "failed")
        assert failed.exit_code == 1
        assert "Odoo is away. (odoo_unreachable)" in failed.stderr
        assert await in_database(world, "SELECT status FROM tenants LIMIT 1")
        assert await in_database(world, "SELECT count(*) FROM pgqueuer") > 0


async def test_where_no_worker_runs_that_is_said(databases: Databases) -> None:
    world = World(databases, settings={"worker": {"embedded": False}})
    async with world.running():
        await has_odoo(world)
        result = await command(world, "tenants", "suspend", "1001", "--wait", "0")
        assert result.exit_code == 1
        assert "is suspended" in result.stdout
        assert "no worker has taken suspend up yet" in result.stderr
        await in_database(world, BEGUN, "suspend")
        result = await command(world, "tenants", "suspend", "1001", "--wait", "0")
        assert "a worker is at it still" in result.stderr


async def test_what_is_asked_last_counts(databases: Databases) -> None:
    world = World(databases, settings={"worker": {"embedded": False}})
    async with world.running():
        await has_odoo(world)
        await command(world, "tenants", "suspend", "1001", "--wait", "0")
        await command(world, "tenants", "resume", "1001", "--wait", "0")
        left = "resume queued,rotate failed,suspend failed"
        assert await in_database(world, STATES) == left
        # A killed worker had begun with this one.
        await in_database(world, BEGUN, "resume")
        await command(world, "tenants", "suspend", "1001", "--wait", "0")
        left = "resume failed,rotate failed,suspend queued"
        assert await in_database(world, STATES) == left


async def test_an_odoo_that_is_not_made_yet_is_told_of(world: World) -> None:
    await has_odoo(world)
    await in_database(world, "UPDATE odoo_connections SET made = false RETURNING 1")

    result = await command(world, "tenants", "suspend", "1001")

    assert result.exit_code == 0
    assert "its Odoo is not made yet: while the tenant is suspended" in result.stdout


async def test_a_deleted_tenant_leaves_only_its_audit_log(world: World) -> None:
    async with world.signed_in(DAVE) as dave, world.signed_in(BOB) as bob:
        wrong = await command(world, "tenants", "delete", "1001", "--yes", "acme")
        assert (wrong.exit_code, wrong.stderr) == (
            *(1, "that is not 'Acme': nothing was done\n"),
        )
        assert (await dave.get("/icp/rules")).status == 200

        result = await command(world, "tenants", "delete", "1001", "--yes", "Acme")
        assert result.exit_code == 0, result.output

        async def out() -> bool:
            return (await dave.get("/icp/rules")).status == 401

        await until(out)
        assert (await bob.get("/icp/rules")).status == 200
    assert await in_database(world, "SELECT array_agg(tenant_id) FROM tenants") == [
        1002
    ]
    for query in (
        "SELECT array_agg(DISTINCT tenant_id) FROM lead_scores",
        "SELECT array_agg(DISTINCT tenant_id) FROM tenant_users",
        "SELECT array_agg(DISTINCT tenant_id) FROM auth_session WHERE tenant_id > 0",
    ):
        assert await in_database(world, query) == [1002]
    log = [one for one in await entries(world) if one["tenant_id"] == ACME]
    assert "session.signed_in" in {one["action"] for one in log}
    assert log[-1]["action"] == "tenant.deleted"
    assert log[-1]["detail"] == {"name": "Acme", "sessions_ended": 1}


async def test_a_tenant_with_an_odoo_is_not_deleted(world: World) -> None:
    await has_odoo(world)

    result = await command(world, "tenants", "delete", "1001", "--yes", "Acme")

    assert result.exit_code == 1
    assert "`bff odoo drop 1001` comes first" in result.stderr
    assert await in_database(world, "SELECT count(*) FROM tenants") == 2


async def test_the_people_are_out_of_their_odoo_too_and_back_in(
    databases: Databases,
) -> None:
    async with odoo_world(databases) as place, place.worker():
        async with place.admin() as alice:
            await place.ready(alice)
        (founder,) = (
            row
            for row in place.odoo.records["res.users"].values()
            if row.get("oauth_uid")
        )
        told, world = with_odoo(place.fake), place.world
        result = await command(world, "tenants", "suspend", "1001", **told)
        assert result.exit_code == 0, result.output
        assert result.stdout.endswith("Odoo: suspend is done; people: 1\n")
        assert not founder["active"]
        shown = await command(place.world, "tenants", "show", "1001")
        assert f"{place.fake.url}, suspended" in shown.stdout

        result = await command(world, "tenants", "resume", "1001", **told)
        assert result.exit_code == 0, result.output
        assert founder["active"]
        assert await place.actions() == ["odoo.suspended", "odoo.resumed"]
