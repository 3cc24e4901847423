"""`bff serve` and `bff worker` do not begin with what they cannot use."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from bff.dev.ports import free_port
from tests.bff.configs import DEV
from tests.bff.schemas import empty_database
from tests.bff.test_serve import environment, process, settings, status_of
from tests.bff.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from bff.dev.postgres import Postgres
    from tests.databases import Databases

PROGRAM = (sys.executable, "-m", "bff", "serve")


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot be read"), ("CANARY", "is no private key")]
)
async def test_a_client_s_key_that_cannot_be_used_stops_the_start(
    tmp_path: Path, text: str | None, said: str
) -> None:
    # A process of its own: it sets up logging for good.
    file = tmp_path / "client.pem"
    if text is not None:
        file.write_text(text)
    without_secret = {k: v for k, v in DEV.items() if "SECRET" not in k}
    here = {k: v for k, v in os.environ.items() if not k.startswith("BFF_")}
    env = {
        **here,
        **without_secret,
        "BFF_AUTH__CLIENT_KEY_FILE": str(file),
        "BFF_WORKER__EMBEDDED": "false",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        cwd=tmp_path,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, err = await asyncio.wait_for(process.communicate(), 50)
    finally:
        if process.returncode is None:
            process.kill()

    assert process.returncode == 1
    assert f"auth.client_key_file: {file} {said}" in err.decode()
    assert "Traceback" not in err.decode()
    assert "CANARY" not in err.decode()


async def refused(command: str, values: dict[str, dict[str, str]], folder: Path) -> str:
    """Return what a command says that ends by itself with status 1."""
    async with process(command, environment(values), folder) as running:
        said, _ = await asyncio.wait_for(running.communicate(), 50)
    assert running.returncode == 1, said.decode()
    assert "Traceback" not in said.decode()
    return said.decode()


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_a_database_of_an_older_release_stops_the_start(
    postgres_server: Postgres, databases: Databases, tmp_path: Path, command: str
) -> None:
    async with empty_database(postgres_server) as name:
        values = settings(databases)
        values["database"] = {
            "url": postgres_server.url("bff_app", name),
            "worker_url": postgres_server.url("bff_worker", name),
        }
        said = await refused(command, values, tmp_path)

    assert "the database is of an older release: 0001_tenants is missing" in said
    assert "Run `bff migrate up` of this release first" in said


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_a_database_of_a_newer_release_stops_the_start(
    databases: Databases, tmp_path: Path, command: str
) -> None:
    await migrated_further(databases)

    said = await refused(command, settings(databases), tmp_path)

    assert "migration 9999, which this release does not know" in said
    assert "Deploy that one" in said


async def test_several_workers_are_stopped_once_before_any_begins(
    databases: Databases, tmp_path: Path
) -> None:
    await migrated_further(databases)

    said = await refused("serve", settings(databases, workers=2), tmp_path)

    assert said.count("9999") == 1
    assert "workers do not stay up" not in said


async def test_who_serves_goes_on_while_a_newer_release_migrates(
    databases: Databases, tmp_path: Path
) -> None:
    values = settings(databases)
    url = f"http://{values['server']['listen']}"
    async with process("serve", environment(values), tmp_path) as running:

        async def answers() -> bool:
            assert running.returncode is None
            return await status_of(f"{url}/auth/session") == 200

        await until(answers, seconds=30)
        await migrated_further(databases)
        assert "9999" in await refused("serve", settings(databases), tmp_path)
        assert await answers()


async def test_a_database_that_cannot_be_asked_stops_no_start(
    databases: Databases, tmp_path: Path
) -> None:
    values = settings(databases)
    place = f"127.0.0.1:{free_port()}/x"
    values["database"] = {
        "url": f"postgresql://bff_app:pw-canary@{place}",
        "worker_url": f"postgresql://bff_worker:pw-canary@{place}",
    }
    url = f"http://{values['server']['listen']}"
    async with process("serve", environment(values), tmp_path) as running:

        async def up() -> bool:
            assert running.returncode is None
            return await status_of(f"{url}/healthz") == 200

        await until(up, seconds=30)
        running.terminate()
        said, _ = await asyncio.wait_for(running.communicate(), 40)

    assert "the schema could not be checked" in said.decode()
    assert "pw-canary" not in said.decode()


async def migrated_further(databases: Databases) -> None:
    """Write down a migration that this release does not know."""
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO schema_migrations VALUES (9999, '9999_x', 'x')"
        )
