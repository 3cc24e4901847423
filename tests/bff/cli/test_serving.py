"""`bff serve` and `bff worker` do not begin with what they cannot use."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from bff.dev.ports import free_port
from tests.bff.configs import DEV
from tests.bff.schemas import empty_database
from tests.bff.test_serve import environment, process, settings, status_of
from tests.bff.waiting import until

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator
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


def elsewhere(databases: Databases, port: int) -> dict[str, str]:
    """Return the URLs of a database as if it were at *port* of this machine."""

    def moved(url: str) -> str:
        parts = urlsplit(url)
        place = f"{parts.username}:{parts.password}@127.0.0.1:{port}"
        return parts._replace(netloc=place).geturl()

    return {"url": moved(databases.app), "worker_url": moved(databases.worker)}


@asynccontextmanager
async def bridge(databases: Databases, port: int) -> AsyncGenerator[None]:
    """Let the database be reached at *port*, too."""
    server = urlsplit(databases.app).port

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", server)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(carry, "127.0.0.1", port):
        yield


async def told(url: str) -> tuple[int, dict[str, Any]]:
    """Return what a probe is answered; 0 before anybody listens."""
    try:
        async with aiohttp.request("GET", url) as answer:
            return answer.status, await answer.json()
    except aiohttp.ClientError:
        return 0, {}


async def waits(running: Process, admin: str, port: int) -> bool:
    """Tell whether the process is alive, not ready, and says what it waits for."""
    assert running.returncode is None
    status, found = await told(f"{admin}/readyz")
    reason = str(found.get("reason"))
    return (
        status == 503
        and f"waiting for PostgreSQL at 127.0.0.1:{port} (database.url)" in reason
        and (await told(f"{admin}/healthz"))[0] == 200
    )


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.timeout(150)
async def test_a_database_that_is_not_there_is_waited_for(
    databases: Databases, tmp_path: Path, count: int
) -> None:
    values, port = settings(databases, workers=count), free_port()
    values["database"] = elsewhere(databases, port)
    admin, public = (
        f"http://{values['server'][key]}" for key in ("admin_listen", "listen")
    )
    async with process("serve", environment(values), tmp_path) as running:
        await until(partial(waits, running, admin, port), seconds=60)
        assert await status_of(f"{public}/healthz") is None  # balancers ask another

        async with bridge(databases, port):

            async def ready() -> bool:
                assert running.returncode is None
                return (await told(f"{admin}/readyz"))[0] == 200

            await until(ready, seconds=60)
            assert await status_of(f"{public}/auth/session") == 200
            running.terminate()
            said, _ = await asyncio.wait_for(running.communicate(), 60)

    assert running.returncode == 0, said.decode()
    assert "Start it, or correct the setting" in said.decode()
    assert f"PostgreSQL at 127.0.0.1:{port} is there" in said.decode()
    # Nor is there a provider; that one is only spoken of.
    assert "nobody can sign in until it comes" in said.decode()
    assert "Traceback" not in said.decode()
    for url in databases.urls.values():
        assert str(urlsplit(url).password) not in said.decode()


async def test_a_worker_waits_for_the_database_too(
    databases: Databases, tmp_path: Path
) -> None:
    values, port = settings(databases), free_port()
    values["database"] = elsewhere(databases, port)
    async with process("worker", environment(values), tmp_path) as running:
        assert running.stdout is not None
        async with asyncio.timeout(40):
            waiting = await running.stdout.readuntil(b"correct the setting")
            assert b"(database.worker_url)" in waiting
            async with bridge(databases, port):
                await running.stdout.readuntil(b"is there")
                await running.stdout.readuntil(b"working")
                running.terminate()
                said, _ = await running.communicate()
    assert running.returncode == 0, said.decode()


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_being_told_to_stop_while_waiting_ends_it_in_order(
    databases: Databases, tmp_path: Path, command: str
) -> None:
    values = settings(databases)
    values["database"] = elsewhere(databases, free_port())
    async with process(command, environment(values), tmp_path) as running:
        assert running.stdout is not None
        async with asyncio.timeout(40):
            await running.stdout.readuntil(b"waiting for PostgreSQL")
            running.send_signal(signal.SIGHUP)  # which cannot be obeyed yet
            await asyncio.sleep(0.2)
            running.terminate()
            said, _ = await running.communicate()
    assert running.returncode == 0, said.decode()
    assert "Traceback" not in said.decode()


@pytest.mark.parametrize(
    ("command", "setting"),
    [("serve", "url"), ("serve", "worker_url"), ("worker", "worker_url")],
)
async def test_a_wrong_password_is_told_at_once(
    databases: Databases, tmp_path: Path, command: str, setting: str
) -> None:
    values = settings(databases)
    right = values["database"][setting]
    values["database"][setting] = right.replace(
        str(urlsplit(right).password), "pw-canary"
    )
    said = await refused(command, values, tmp_path)

    assert f"database.{setting} at 127.0.0.1:" in said
    assert "the password is not the role's; `bff db roles` sets it" in said
    assert "pw-canary" not in said


async def migrated_further(databases: Databases) -> None:
    """Write down a migration that this release does not know."""
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO schema_migrations VALUES (9999, '9999_x', 'x')"
        )
