"""The embedded PostgreSQL: its data and passwords stay, its processes do not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.dev import postgres as module
from bff.dev.postgres import (
    SUPERUSER,
    PostgresUnavailable,
    ensure_database,
    postgres,
    start,
    stop,
)
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator


@pytest.fixture
def place() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="bff-test-") as folder:
        Path(folder).chmod(0o711)  # the server runs as a system user when we are root
        yield Path(folder) / "postgres"
        stop(Path(folder) / "postgres")


@contextlib.asynccontextmanager
async def superuser_of(
    server: module.Postgres, database: str = "postgres"
) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url(SUPERUSER, database))
    try:
        yield connection
    finally:
        await connection.close()


def postmaster(place: Path) -> int:
    return int((place / "data" / "postmaster.pid").read_text().split()[0])


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().split()[2] != "Z"


async def test_data_and_passwords_outlive_a_stop_a_left_over_and_a_kill(
    place: Path,
) -> None:
    async with postgres(place, durable=False) as server:
        await ensure_database(server, "kept")
        await ensure_database(server, "kept")
        async with superuser_of(server, "kept") as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 7 AS x")
            owner = await connection.fetchval(
                "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'kept'"
            )
        first = postmaster(place)
    assert owner == "bff_owner"
    assert not runs(first)
    assert stat.S_IMODE((place / "passwords").stat().st_mode) == 0o600
    assert not (place / "initial").exists()

    left_over = await asyncio.to_thread(start, place, durable=False)
    assert left_over.passwords == server.passwords
    pid = postmaster(place)
    async with postgres(place, durable=False) as again:
        assert not runs(pid)
        async with superuser_of(again, "kept") as connection:
            assert await connection.fetchval("SELECT x FROM kept") == 7
        os.kill(postmaster(place), signal.SIGKILL)
    async with (
        postgres(place, durable=False) as after,
        superuser_of(after, "kept") as connection,
    ):
        assert await connection.fetchval("SELECT x FROM kept") == 7


async def test_it_listens_on_loopback_and_asks_everyone_for_a_password(
    postgres_server: module.Postgres,
) -> None:
    async with superuser_of(postgres_server) as connection:
        assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
        assert await connection.fetchval("SHOW unix_socket_directories") == ""
        rules = await connection.fetch("SELECT auth_method FROM pg_hba_file_rules")
    assert {rule["auth_method"] for rule in rules} == {"scram-sha-256"}
    place = f"127.0.0.1:{postgres_server.port}"
    for role in (SUPERUSER, "bff_app"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://{role}:wrong@{place}/postgres")


async def test_a_start_that_is_cancelled_leaves_no_server(place: Path) -> None:
    async def run() -> None:
        async with postgres(place, durable=False):
            pytest.fail("it was cancelled before")

    task = asyncio.ensure_future(run())
    began = place / "data" / "PG_VERSION"

    async def on_its_way() -> bool:
        return began.exists()

    await until(on_its_way, seconds=20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not (place / "data" / "postmaster.pid").exists()


def test_a_server_that_does_not_start_says_where_to_read_why(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "free_port", lambda: 1)
    real = module._run

    def fail(program: Path, *arguments: str, user: str | None) -> object:
        if program.name == "pg_ctl":
            arguments = ("nonsense",)
        return real(program, *arguments, user=user)

    monkeypatch.setattr(module, "_run", fail)
    with pytest.raises(PostgresUnavailable, match=r"server\.log says why"):
        start(place, durable=False)


def test_without_the_wheel_it_says_what_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(PostgresUnavailable, match=r"pip install .*--database"):
            start(place)


def test_as_root_without_useradd_it_says_so(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "SYSTEM_USER", "nosuchuser7")

    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr("subprocess.run", missing)
        with pytest.raises(PostgresUnavailable, match="--database"):
            start(place)


def test_stopping_what_does_not_run_is_no_error(place: Path) -> None:
    stop(place)
