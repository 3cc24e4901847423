"""Gateways as production runs them: `bff serve`, each a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import aiohttp

from bff.dev.ports import free_port
from bff.environment import ALIASES
from bff.sessions.cookies import CookieRules, Cookies
from bff.sessions.sealing import KeyRing, parse_keys
from tests.bff.waiting import until
from tests.world import KEY, Browser

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from bff.sessions.session import AccessTicket
    from tests.databases import Databases
    from tests.world import World

# The one name that browsers know all of them by.
HOST = "localhost"
ORIGIN = f"http://{HOST}"
STARTING, STOPPING = 60.0, 30.0
PATIENT = aiohttp.ClientTimeout(total=None)


@dataclass
class Replica:
    """One process."""

    url: str
    admin_url: str
    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """Return all that it has logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    async def ready(self) -> dict[str, Any]:
        """Return what it says of itself."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.admin_url}/readyz") as answer,
        ):
            return dict(await answer.json())

    async def hears(self, *, seconds: float = STARTING) -> None:
        """Wait until it serves and hears the database."""

        async def look() -> bool:
            assert self.process.poll() is None, self.output()
            try:
                return bool((await self.ready()).get("listener") == "ok")
            except aiohttp.ClientError:
                return False

        await until(look, seconds=seconds)

    def kill(self) -> None:
        """End it as a crash would: nothing is said, nothing is finished."""
        self.process.kill()
        self.process.wait(STOPPING)

    def terminate(self) -> None:
        """Tell it to stop."""
        self.process.send_signal(signal.SIGTERM)

    async def draining(self) -> None:
        """Wait until it says that it leaves."""

        async def look() -> bool:
            return not (await self.ready())["ready"]

        await until(look)

    async def ended(self) -> int:
        """Wait for its end and return its status."""
        return await asyncio.to_thread(self.process.wait, STOPPING)


@dataclass
class Replicas:
    """All processes of one deployment."""

    each: list[Replica]
    url: str = ORIGIN

    @asynccontextmanager
    async def browser(
        self, replica: Replica, cookies: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Browser]:
        """Give a browser, with these cookies, whose requests meet *replica*."""
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            connector=aiohttp.TCPConnector(limit=0),
        ) as session:
            # Of its world a browser asks nothing but this name.
            browser = Browser(cast("World", self), session, replica.url)
            browser.set_cookies(dict(cookies or {}))
            yield browser


def ticket(cookies: Mapping[str, str]) -> AccessTicket:
    """Open the access cookie, as every process can."""
    rules = CookieRules(secure=False, host_prefix=False)
    found = Cookies(KeyRing(parse_keys(KEY)), rules).open_access(cookies)
    assert found is not None
    return found


@asynccontextmanager
async def replicas(
    folder: Path, values: Mapping[str, Mapping[str, Any]], count: int = 2
) -> AsyncGenerator[Replicas]:
    """Run *count* gateways with the same settings, on ports of their own."""
    ports = [free_port() for _ in range(count)]
    hosts = [f"127.0.0.1:{port}" for port in ports]
    async with AsyncExitStack() as stack:
        started = []
        for number, host in enumerate(hosts):
            admin = f"127.0.0.1:{free_port()}"
            server = {
                "listen": host,
                "admin_listen": admin,
                "public_origins": [ORIGIN],
                # The provider's back channel comes by address.
                "allowed_hosts": hosts,
                **values.get("server", {}),
            }
            log = folder / f"replica-{number}-{host.rpartition(':')[2]}.log"
            process = _start(folder, log, {**values, "server": server})
            stack.callback(_stop, process)
            replica = Replica(f"http://{host}", f"http://{admin}", process, log)
            started.append(replica)
        for replica in started:
            await replica.hears()
        yield Replicas(started)


def settings(
    databases: Databases, issuer: str, secret: str, graph: str, **more: Any
) -> dict[str, dict[str, Any]]:
    """Return what gateways over *databases* are told."""
    return {
        "database": {
            "url": databases.app,
            "worker_url": databases.worker,
            "pool_size": 5,
        },
        "auth": {"issuer": issuer, "client_secret": secret, **more.pop("auth", {})},
        "session": {"keys": KEY},
        "worker": {"embedded": False},
        "proxy": {"graph": {"upstreams": [graph]}},
        **more,
    }


def _start(
    folder: Path,
    log: Path,
    values: Mapping[str, Mapping[str, Any]],
    command: str = "serve",
) -> subprocess.Popen[bytes]:
    empty = folder / "empty.toml"
    empty.touch()
    # What this machine is told must not reach them; coverage's own variables must.
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BFF_") and name not in ALIASES
    }
    environ |= {"BFF_CONFIG": str(empty), "BFF_ENVIRONMENT": "dev"}
    for section, keys in values.items():
        for key, value in keys.items():
            text = value if isinstance(value, str) else json.dumps(value)
            environ[f"BFF_{section.upper()}__{key.upper()}"] = text
    with log.open("wb") as out:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "bff", command],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOPPING)
        raise


async def open_stream(browser: Browser) -> aiohttp.ClientResponse:
    """Begin a stream of events that has no end of its own."""
    answer = await browser.get("/graph/threads/x/stream", timeout=PATIENT)
    assert answer.status == 200, await answer.text()
    await answer.content.readany()
    return answer


async def time_to_break(stream: aiohttp.ClientResponse) -> float:
    """Read until the stream breaks, and return when, on the monotonic clock.

    A stream that ends in order would be taken for a run that is over.
    """
    try:
        while await stream.content.readany():
            pass
    except aiohttp.ClientError:
        return time.monotonic()
    finally:
        stream.close()
    raise AssertionError("the stream ended as if it were complete")
