"""`bff tenants list`, `show` and `retry`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bff.onboarding.phases import Progress, dump
from tests.bff.cli.commands import bff
from tests.bff.cli.operators import command
from tests.bff.configs import DEV
from tests.bff.tenancy.suspending import suspend

if TYPE_CHECKING:
    from pathlib import Path

    from tests.world import World

ACME, GLOBEX = 1001, 1002
SENTENCE = "Odoo does not answer right now. Try again in a few minutes."
SEALED = b"sealed-test-bytes"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def failed() -> Progress:
    at = "2026-01-02T03:04:05.000+00:00"
    begun = Progress().begin("starting", at).finish("starting", at)
    return begun.begin("creating_odoo", at).fail("creating_odoo", at, SENTENCE)


async def onboarding(world: World, progress: Progress, tenant_id: int = ACME) -> None:
    async with world.databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO onboarding (tenant_id, status, phases, error, founder) "
            "VALUES ($1, $2, $3, $4, 'i s')",
            tenant_id,
            progress.status,
            dump(progress),
            progress.error,
        )


async def has_odoo(world: World, tenant_id: int = ACME) -> None:
    async with world.databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO odoo_connections (tenant_id, server_url, series, db_name, "
            "base_url, sealed, key_expires_at, made) VALUES ($1, 'https://odoo.test', "
            "'19.0', $3, 'https://one.odoo.test', $2, '2026-12-24', true)",
            tenant_id,
            SEALED,
            f"odoo_t{tenant_id}",
        )
        await superuser.execute(
            "INSERT INTO odoo_tasks (tenant_id, kind, state, code, problem, "
            "finished_at) VALUES ($1, 'rotate', 'failed', 'odoo_unreachable', $2, "
            "'2026-02-03 04:05Z')",
            tenant_id,
            SENTENCE,
        )


async def in_database(world: World, query: str, *values: object) -> Any:
    async with world.databases.superuser() as superuser:
        return await superuser.fetchval(query, *values)


async def test_the_list_has_a_line_for_each_tenant(world: World) -> None:
    await onboarding(world, failed())
    await has_odoo(world)
    await suspend(world, GLOBEX)

    found = await command(world, "tenants", "list")

    assert found.exit_code == 0, found.output
    head, acme, globex = (line.split() for line in found.stdout.splitlines())
    assert head[:4] == ["ID", "NAME", "STATUS", "ONBOARDING"]
    assert acme == ["1001", "Acme", "active", "error", "odoo_t1001", "2026-12-24"]
    assert globex == ["1002", "Globex", "suspended", "none", "-", "-"]


async def test_the_list_is_there_for_programs_too(world: World) -> None:
    await has_odoo(world, GLOBEX)

    found = json.loads((await command(world, "tenants", "list", "--json")).stdout)

    assert [one["tenant_id"] for one in found] == [ACME, GLOBEX]
    acme, globex = found
    assert acme.pop("created_at") is not None
    assert acme == {
        "tenant_id": ACME,
        "name": "Acme",
        "status": "active",
        "onboarding": "none",
        "database": "",
        "key_expires_at": None,
    }
    assert globex["key_expires_at"].startswith("2026-12-24")


async def test_one_tenant_is_shown_with_all_but_its_secrets(world: World) -> None:
    await onboarding(world, failed())
    await has_odoo(world)
    async with world.signed_in():
        pass  # makes a member

    shown = await command(world, "tenants", "show", "1001")
    read = json.loads(
        (await command(world, "tenants", "show", "1001", "--json")).stdout
    )

    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == "tenant 1001: Acme"
    assert "members: 1, admins: 0, open invitations: 0" in lines
    assert "onboarding: error, attempt 1" in lines
    assert f"last error: {SENTENCE}" in lines
    assert "Odoo: odoo_t1001 on https://odoo.test, ready to use" in lines
    assert (
        f"task rotate: failed, 2026-02-03 04:05Z: {SENTENCE} (odoo_unreachable)"
        in lines
    )
    (failure,) = (line for line in lines if "creating_odoo" in line)
    assert "failed" in failure
    assert "2026-01-02T03:04:05" in failure
    assert read["members"] == 1
    assert [phase["state"] for phase in read["onboarding"]["phases"]] == [
        *("done", "failed", "pending", "pending", "pending"),
    ]
    assert read["odoo"]["db_name"] == "odoo_t1001"
    assert read["tasks"][0]["code"] == "odoo_unreachable"
    for text in (shown.output, json.dumps(read)):
        assert "sealed" not in text


async def test_a_tenant_that_has_nothing_yet_is_shown_too(world: World) -> None:
    shown = await command(world, "tenants", "show", "1002")

    assert shown.exit_code == 0
    assert "onboarding: none, attempt 0" in shown.stdout
    assert "Odoo: none" in shown.stdout


@pytest.mark.parametrize("act", ["show", "retry", "suspend", "resume", "delete"])
async def test_a_number_that_no_tenant_has_is_one_sentence(
    world: World, act: str
) -> None:
    result = await command(world, "tenants", act, "987654")

    assert (result.exit_code, result.stderr) == (1, "there is no tenant 987654\n")
    beyond = await command(world, "tenants", act, str(2**63))
    assert beyond.exit_code == 2


async def test_what_has_failed_begins_again_where_it_did(world: World) -> None:
    await onboarding(world, failed())

    result = await command(world, "tenants", "retry", "1001")

    assert result.exit_code == 0, result.output
    assert "attempt 2 goes on from creating_odoo" in result.stdout
    assert await in_database(world, "SELECT attempt FROM onboarding") == 2
    actions = "SELECT array_agg(action) FROM audit_log WHERE action ~ '^onboarding.re'"
    assert "onboarding.restarted" in await in_database(world, actions)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("none", "tenant 1001 has not begun"),
        ("ready", "tenant 1001 is ready: there is nothing to retry"),
        ("under way", "tenant 1001 is under way (creating_odoo): nothing has failed"),
        ("suspended", "tenant 1001 is suspended: `bff tenants resume 1001`"),
    ],
)
async def test_what_has_not_failed_is_not_retried(
    world: World, state: str, said: str
) -> None:
    at = "2026-01-02T03:04:05.000+00:00"
    progress = failed()
    if state == "under way":
        progress = Progress().finish("starting", at).begin("creating_odoo", at)
    if state == "ready":
        for phase in progress.phases:
            progress = progress.finish(phase.name, at)
    if state != "none":
        await onboarding(world, progress)
    if state == "suspended":
        await suspend(world, ACME)

    result = await command(world, "tenants", "retry", "1001")

    assert result.exit_code == 1
    assert result.stderr.startswith(said)


def test_without_a_database_each_is_one_sentence_without_its_url() -> None:
    for url, said in (
        ("postgresql://bff_worker:pw-secret@127.0.0.1:1/x", "not finished"),
        (
            "postgresql://bff_worker:pw-secret@h:port/x",
            "The configuration cannot be used",
        ),
    ):
        env = {**DEV, "BFF_DATABASE__WORKER_URL": url}
        result = bff("tenants", "list", env=env)
        assert result.exit_code == 1
        assert result.stderr.startswith(said)
        assert "pw-secret" not in result.output


async def test_an_older_schema_is_told_from_a_broken_one(world: World) -> None:
    async with world.databases.superuser() as superuser:
        await superuser.execute("DROP TABLE odoo_connections CASCADE")

    result = await command(world, "tenants", "list")

    assert result.exit_code == 1
    assert "bff migrate up" in result.stderr
