"""`bff dev`: comes up, tells where, ends without a trace, remembers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest

from bff.dev import run as module
from bff.dev.folder import locked
from bff.dev.ports import free_port
from bff.dev.run import CannotRun, Options, run
from tests.bff.waiting import until
from tests.fakes.graph import graph_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

BFF = Path(sys.executable).with_name("bff")


@pytest.fixture
def home() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="bff-dev-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "home"


STALE = {"stale": True}


def stale(home: Path) -> None:
    """Leave what a killed run leaves."""
    home.mkdir(mode=0o711)
    (home / "dev.json").write_text(json.dumps(STALE), encoding="utf-8")


class Dev:
    """One run of the real command."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path) -> None:
        self.process = process
        self.home = home
        self.report: dict[str, Any] = {}

    async def up(self, port: int) -> None:
        async def alive() -> bool:
            if self.process.returncode is not None:
                out, _ = await self.process.communicate()
                pytest.fail(out.decode())
            try:
                async with (
                    aiohttp.ClientSession() as http,
                    http.get(f"http://localhost:{port}/healthz") as answer,
                ):
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await until(alive, seconds=40)
        # /healthz answers: the report must be there already.
        file = self.home / "dev.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        self.report = json.loads(file.read_text(encoding="utf-8"))

    async def end(self, number: int = signal.SIGINT) -> str:
        self.process.send_signal(number)
        out, _ = await asyncio.wait_for(self.process.communicate(), 20)
        return out.decode()


@asynccontextmanager
async def dev(home: Path, *arguments: str) -> AsyncGenerator[Dev]:
    process = await asyncio.create_subprocess_exec(
        BFF,
        "dev",
        "--folder",
        str(home),
        *arguments,
        cwd=home.parent,
        env={"PATH": os.environ["PATH"], "HOME": str(home.parent)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Dev(process, home)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.communicate(), 15)
            except TimeoutError:
                process.kill()
                await process.communicate()


def processes_of(home: Path) -> list[str]:
    """Return the command lines of what still works on *home*."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(home) in line:
            found.append(line)
    return found


@pytest.mark.timeout(120)
async def test_the_whole_life_of_a_run(home: Path) -> None:
    async with graph_server() as graph:
        port, provider_port = free_port(), free_port()
        ports = ("--port", str(port), "--provider-port", str(provider_port))
        given = (*ports, "--graph", graph.url)
        stale(home)

        async with dev(home, *given) as first:
            await first.up(port)
            assert first.report != STALE
            assert first.report["gateway_url"] == f"http://localhost:{port}"
            assert first.report["graph_url"] == graph.url
            assert len(first.report["users"]) == 3

            async with dev(home, *given) as second:
                out, _ = await asyncio.wait_for(second.process.communicate(), 20)
                assert second.process.returncode == 1
                said = out.decode()
                assert f"in use by process {first.process.pid}" in said
                assert "Traceback" not in said
            assert (home / "dev.json").exists()

            owner = await asyncpg.connect(first.report["database_url"]["owner"])
            await owner.execute("CREATE TABLE kept (x int)")
            await owner.close()
            said = await first.end()
            assert first.process.returncode == 0, said
            assert "Stopping" in said
            assert "Traceback" not in said
        assert processes_of(home) == []
        assert not (home / "dev.json").exists()

        async with dev(home, *given) as third:
            await third.up(port)
            owner = await asyncpg.connect(third.report["database_url"]["owner"])
            assert await owner.fetchval("SELECT to_regclass('kept')") == "kept"
            await owner.close()
            # Killed at once: PostgreSQL is left over, the next run clears it away.
            third.process.kill()
            await third.process.wait()

        async with dev(home, *given, "--fresh") as fourth:
            await fourth.up(port)
            owner = await asyncpg.connect(fourth.report["database_url"]["owner"])
            assert await owner.fetchval("SELECT to_regclass('kept')") is None
            await owner.close()
            assert sum("postgres -D" in line for line in processes_of(home)) <= 1
            assert (await fourth.end(signal.SIGTERM)).count("Traceback") == 0
            assert fourth.process.returncode == 0
        assert processes_of(home) == []


async def test_a_taken_port_is_said_with_the_option_that_moves_it(home: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        stale(home)

        with pytest.raises(CannotRun, match=rf"Port {taken} is taken.*--port"):
            await run(Options(port=taken, folder=home))

    assert not (home / "dev.json").exists()


async def test_a_folder_in_use_is_one_sentence(home: Path) -> None:
    with locked(home), pytest.raises(CannotRun, match="in use by process"):
        await run(Options(folder=home))


async def test_a_database_that_cannot_be_used_is_one_sentence_without_its_url(
    home: Path,
) -> None:
    url = f"postgresql://admin:pw-secret@127.0.0.1:{free_port()}/x"

    with pytest.raises(CannotRun, match="--database") as caught:
        await run(Options(port=free_port(), database=url, folder=home))

    assert "pw-secret" not in str(caught.value)


async def test_an_impatient_second_signal_does_not_break_the_clean_up() -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        module._end_on_signal(asyncio.current_task())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
            cleaned = True

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.02)
    await task
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(number)

    assert cleaned


def test_forgetting_keeps_the_lock_alone(home: Path) -> None:
    (home / "postgres" / "data").mkdir(parents=True)
    (home / "keys").write_text("x")
    (home / "lock").write_text("me")

    module._forget(home)

    assert [path.name for path in home.iterdir()] == ["lock"]
