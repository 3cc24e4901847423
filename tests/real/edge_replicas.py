"""Several gateways behind nginx, each of which can be stopped and started again."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp

from bff.dev.ports import free_port
from bff.sessions.cookies import CookieRules, Cookies
from bff.sessions.sealing import KeyRing, parse_keys
from tests.bff.waiting import until
from tests.real.edge import NAME, Edge, edge
from tests.replicas import STARTING, Replica
from tests.replicas import _start as start_process
from tests.replicas import _stop as stop_process
from tests.world import KEY, Browser

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from bff.sessions.session import AccessTicket


@dataclass
class Seat:
    """One replica's addresses, and whatever process has them at the moment."""

    place: Path
    values: Mapping[str, Mapping[str, Any]]
    host: str
    admin: int
    workers: int
    replica: Replica | None = None
    starts: int = 0

    @property
    def admins(self) -> list[str]:
        """List the admin listeners, one a worker."""
        ports = range(self.admin, self.admin + self.workers)
        return [f"http://127.0.0.1:{port}" for port in ports]

    async def start(self) -> None:
        """Start a process and wait until each worker serves."""
        self.starts += 1
        server = {
            **self.values["server"],
            "listen": self.host,
            "admin_listen": f"127.0.0.1:{self.admin}",
            "workers": self.workers,
        }
        log = self.place / f"replica-{self.host.rpartition(':')[2]}-{self.starts}.log"
        process = await asyncio.to_thread(
            start_process, self.place, log, {**self.values, "server": server}
        )
        self.replica = Replica(f"http://{self.host}", self.admins[0], process, log)
        for admin in self.admins:
            await until(partial(_hears, admin, self.replica), seconds=STARTING)

    async def restart(self) -> None:
        """Tell it to stop as an orchestrator does, and start another."""
        assert self.replica is not None
        self.replica.terminate()
        assert await self.replica.ended() == 0, self.replica.output()
        await self.start()

    def stop(self) -> None:
        """End what runs."""
        if self.replica is not None:
            stop_process(self.replica.process)


@dataclass
class Fleet:
    """All replicas, and nginx in front of them."""

    seats: list[Seat]
    edge: Edge
    url: str

    @asynccontextmanager
    async def browser(self) -> AsyncGenerator[Browser]:
        """Give a browser that reaches them by nginx."""
        connector = aiohttp.TCPConnector(ssl=self.edge.trust(), limit=0)
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), connector=connector
        ) as session:
            yield SecurePage(self, session, self.url)  # type: ignore[arg-type] # of its world it asks the name only

    async def metrics(self) -> list[str]:
        """Return what each worker of each replica counts."""
        async with aiohttp.ClientSession() as http:
            return [
                await (await http.get(f"{admin}/metrics")).text()
                for seat in self.seats
                for admin in seat.admins
            ]


class SecurePage(Browser):
    """A page of an https origin."""

    async def request(
        self, method: str, path: str, **kwargs: Any
    ) -> aiohttp.ClientResponse:
        host = self.url.removeprefix("https://")
        headers = {"Host": host, **kwargs.pop("headers", {})}
        return await super().request(method, path, headers=headers, **kwargs)


def secure_ticket(cookies: Mapping[str, str]) -> AccessTicket:
    """Open the access cookie of an https origin."""
    found = Cookies(KeyRing(parse_keys(KEY)), CookieRules()).open_access(cookies)
    assert found is not None
    return found


@asynccontextmanager
async def fleet(
    place: Path,
    values: Mapping[str, Mapping[str, Any]],
    *,
    count: int = 3,
    workers: int = 1,
    **server: Any,
) -> AsyncGenerator[Fleet]:
    """Run *count* replicas of *workers* processes behind nginx."""
    port = free_port()
    url = f"https://{NAME}:{port}"
    hosts = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    told = {
        **values,
        "server": {
            "public_origins": [url],
            "trusted_proxies": ["127.0.0.1"],
            "allowed_hosts": hosts,
            **server,
        },
    }
    seats = [
        Seat(place, told, host, free_port(following=workers - 1), workers)
        for host in hosts
    ]
    async with AsyncExitStack() as stack:
        for seat in seats:
            stack.callback(seat.stop)
            await seat.start()
        running = await stack.enter_async_context(edge("nginx", hosts, port))
        yield Fleet(seats, running, url)


async def _hears(admin: str, replica: Replica) -> bool:
    assert replica.process.poll() is None, replica.output()
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{admin}/readyz") as said:
            return said.status == 200 and '"listener": "ok"' in await said.text()
    except aiohttp.ClientError:
        return False


def cookie_header(browser: Browser) -> str:
    """Return the Cookie field that *browser* sends."""
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def posted_once(posted: str) -> set[str]:
    """Return the threads of *posted* (JSON, times by thread), each with one POST."""
    return {thread for thread, times in json.loads(posted).items() if times == 1}
