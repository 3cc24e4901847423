"""A real `bff serve` beside a world's provider, graph server and database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from bff.dev.ports import free_port
from tests.bff.waiting import until
from tests.world import KEY, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tests.world import World

ROOT = Path(__file__).parents[2]
Settings = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Served:
    """A gateway process: where it listens, and the file that it writes to."""

    url: str
    admin_url: str
    log: Path
    process: asyncio.subprocess.Process

    def said(self) -> str:
        """Return everything written so far, to standard output and error."""
        return self.log.read_text(encoding="utf-8")

    async def stop(self) -> str:
        """Ask it to leave and return everything that it wrote."""
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 10)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        return self.said()


@dataclass(frozen=True)
class Ended:
    """What a process that did not stay left behind."""

    status: int | None
    said: str


def settings_of(world: World, changes: Settings) -> Settings:
    """Return what a process is told to serve *world*; it answers to its name."""
    port = free_port()
    told: Settings = {
        "server": {
            "listen": f"127.0.0.1:{port}",
            "admin_listen": f"127.0.0.1:{free_port()}",
            "public_origins": [world.url, f"http://127.0.0.1:{port}"],
        },
        "database": {
            "url": world.databases.app,
            "worker_url": world.databases.worker,
            "pool_size": 4,
        },
        "auth": {"issuer": world.issuer, "client_secret": SECRET, "timeout": 3},
        "session": {"keys": KEY},
        "proxy": {"graph": {"upstreams": [world.graph.url]}},
    }
    for section, more in changes.items():
        told[section] = {**told.get(section, {}), **more}
    return told


def environment(told: Mapping[str, Mapping[str, Any]], **more: str) -> dict[str, str]:
    """Write settings as the environment carries them, and nothing of ours."""
    found = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    found["BFF_ENVIRONMENT"] = "dev"
    for section, keys in told.items():
        for key, value in keys.items():
            text = value if isinstance(value, str) else json.dumps(value)
            found[f"BFF_{section}__{key}".upper()] = text
    return {**found, **more}


async def run(
    environ: Mapping[str, str], *arguments: str, seconds: float = 30.0
) -> Ended:
    """Run `bff` to its end; one that serves instead is stopped, status None."""
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bff",
            *arguments,
            env=dict(environ),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError:
            process.kill()
            said, _ = await process.communicate()
            return Ended(None, said.decode())
        return Ended(process.returncode, said.decode())


@asynccontextmanager
async def served(
    world: World,
    *options: str,
    environ: Mapping[str, str] | None = None,
    **changes: dict[str, Any],
) -> AsyncGenerator[Served]:
    """Run ``python OPTIONS -m bff serve`` until the context ends."""
    told = settings_of(world, changes)
    url = f"http://{told['server']['listen']}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *options,
                "-m",
                "bff",
                "serve",
                env=environment(told, **(environ or {})),
                cwd=folder,
                stdout=sink,
                stderr=sink,
            )
        admin_url = f"http://{told['server']['admin_listen']}"
        running = Served(url, admin_url, log, process)
        try:
            await until(lambda: _is_up(running), seconds=40)
            yield running
        finally:
            await running.stop()


async def _is_up(running: Served) -> bool:
    assert running.process.returncode is None, running.said()
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{running.url}/healthz") as answer,
        ):
            return answer.status == 200
    except aiohttp.ClientError:
        return False
