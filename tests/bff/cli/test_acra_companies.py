"""`bff acra sync` and `bff acra status`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bff.acra.runs import Runs
from bff.database import DatabaseUnavailable, connect
from bff.icp.candidates import Recomputed
from tests.bff.cli.commands import bff, in_a_thread
from tests.bff.configs import DEV

if TYPE_CHECKING:
    from pathlib import Path

    from bff.database import Database
    from tests.databases import Databases


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def environment(databases: Databases) -> dict[str, str]:
    return {
        **DEV,
        "BFF_DATABASE__URL": databases.app,
        "BFF_DATABASE__WORKER_URL": databases.worker,
    }


async def entity(databases: Databases, number: int) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO staging_acra_companies (uen, entity_name, primary_ssic_code, "
            "entity_status_description, source) VALUES "
            "($1, 'ALPHA PTE. LTD.', 62011, 'Live Company', 'test')",
            f"2015{number:05d}K",
        )


async def test_sync_brings_changes_into_companies_and_finds_who_fits(
    databases: Databases,
) -> None:
    await entity(databases, 1)
    async with databases.superuser() as superuser:
        await superuser.execute("INSERT INTO tenants (tenant_id, name) VALUES (7, 'x')")
        await superuser.execute(
            "INSERT INTO icp_rules (tenant_id, name, payload) VALUES (7, 'r', $1)",
            json.dumps({"industry_codes": ["62"]}),
        )

    first = await in_a_thread("acra", "sync", env=environment(databases))
    again = await in_a_thread("acra", "sync", env=environment(databases))

    assert first.exit_code == 0
    assert first.stdout.startswith("1 changes: 1 companies new, 0 updated")
    assert again.stdout.startswith("0 changes")
    async with databases.superuser() as superuser:
        assert await superuser.fetchval("SELECT count(*) FROM companies") == 1
        found = await superuser.fetchval("SELECT count(*) FROM icp_candidate_companies")
    assert found == 1


async def test_candidates_that_were_not_found_last_time_are_found_by_the_next_sync(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the register does not change any more."""
    await entity(databases, 1)
    async with databases.superuser() as superuser:
        await superuser.execute("INSERT INTO tenants (tenant_id, name) VALUES (7, 'x')")
        await superuser.execute(
            "INSERT INTO icp_rules (tenant_id, name, payload) VALUES (7, 'r', $1)",
            json.dumps({"industry_codes": ["62"]}),
        )

    async def lost(database: Database) -> Recomputed:
        raise DatabaseUnavailable("the database connection was lost")

    async def held(database: Database) -> Recomputed:
        return Recomputed(done=0, left=1)

    for broken, said in ((lost, "connection was lost"), (held, "1 customer rules")):
        with monkeypatch.context() as patched:
            patched.setattr("bff.cli.acra_companies.recompute_all", broken)
            result = await in_a_thread("acra", "sync", env=environment(databases))
        assert result.exit_code == 1
        assert said in result.stderr

    result = await in_a_thread("acra", "sync", env=environment(databases))
    assert result.stdout.startswith("0 changes")
    async with databases.superuser() as superuser:
        found = await superuser.fetchval("SELECT count(*) FROM icp_candidate_companies")
    assert found == 1


async def test_sync_waits_for_nobody_who_reads_the_register(
    databases: Databases,
) -> None:
    async with (
        connect(databases.worker, size=3) as database,
        Runs(database).begin("test") as run,
    ):
        assert run is not None
        result = await in_a_thread("acra", "sync", env=environment(databases))

    assert result.exit_code == 1
    assert "is being read" in result.stderr


async def test_status_shows_runs_and_what_is_left_of_datasets(
    databases: Databases,
) -> None:
    env = environment(databases)
    assert (await in_a_thread("acra", "status", env=env)).stdout == "no run yet\n"

    await entity(databases, 1)
    await in_a_thread("acra", "sync", env=env)
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO acra_ingest (dataset, marker) VALUES "
            '(\'d_1\', \'{"counts": {"read": 5000}, "done": false}\')'
        )
        await superuser.execute(
            "INSERT INTO acra_runs (reason, status, error, ended_at) "
            "VALUES ('schedule', 'failed', 'its process is gone', now())"
        )
    result = await in_a_thread("acra", "status", env=env)

    first, second, third = result.stdout.splitlines()
    assert first.startswith("run 1 (sync): done, 20")
    assert "companies_new 1" in first
    assert second.endswith(": its process is gone")
    assert third == "dataset d_1: being read, or left, 5,000 records so far"
    assert "@companies" not in result.stdout


@pytest.mark.parametrize("command", ["sync", "status"])
def test_a_database_that_is_away_is_told_in_one_sentence(command: str) -> None:
    url = "postgresql://bff_worker:test-password@127.0.0.1:9/bff"
    result = bff("acra", command, env={**DEV, "BFF_DATABASE__WORKER_URL": url})

    assert result.exit_code == 1
    assert "not finished" in result.stderr
    assert "test-password" not in result.output
