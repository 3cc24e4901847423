"""A `bff serve` in front of the product's graph server, to be killed and started again.

It shares database, keys and provider with the `bff dev` of the tests.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bff.dev import demo, folder
from bff.dev.ports import free_port
from tests.fakes.breaking import Breaker
from tests.replicas import Replica
from tests.replicas import _start as start_process
from tests.replicas import _stop as stop_process

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.real.product import Product

# Old SDKs try to rejoin once after 1 to 2 seconds; a gateway away for longer is missed.
AWAY = 2.5
DRAIN = 0.5


@dataclass
class Gateway:
    """One address, and whatever process serves it at the moment.

    *balanced* is another, which takes connections always and waits for the process.
    """

    place: Path
    values: dict[str, dict[str, Any]]
    host: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    admin: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    replica: Replica = field(init=False)
    balanced: str = ""
    _starts: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    async def start(self) -> None:
        """Start a process and wait until it serves."""
        self._starts += 1
        log = self.place / f"gateway-{self._starts}.log"
        server = {
            "listen": self.host,
            "admin_listen": self.admin,
            "public_origins": [self.url],
            "allowed_hosts": [self.balanced.removeprefix("http://")],
            "drain": DRAIN,
        }
        process = start_process(self.place, log, {**self.values, "server": server})
        self.replica = Replica(self.url, f"http://{self.admin}", process, log)
        await self.replica.hears()

    async def restart(self, *, crash: bool, away: float = 0.0) -> None:
        """End the process; start another after the address was unserved for a while."""
        if crash:
            self.replica.kill()
        else:
            self.replica.terminate()
            assert await self.replica.ended() == 0, self.replica.output()
        await asyncio.sleep(away)
        await self.start()

    def stop(self) -> None:
        """End what runs."""
        stop_process(self.replica.process)


def settings_of(product: Product, graph: str) -> dict[str, dict[str, Any]]:
    """Return what another gateway of *product* is told, for the server at *graph*."""
    home = product.folder / "bff"
    return {
        "database": {
            "url": product.report["database_url"]["app"],
            "worker_url": product.report["database_url"]["worker"],
            "pool_size": 5,
        },
        "auth": {
            "issuer": product.report["issuer"],
            "client_id": demo.CLIENT_ID,
            "client_secret": folder.secret(home, "client_secret"),
            "audience": demo.AUDIENCE,
        },
        "session": {"key_file": str(folder.key_file(home))},
        "worker": {"embedded": False},
        "proxy": {
            "graph": {
                "upstreams": [graph],
                "gateway_key": folder.secret(home, "gateway_key"),
            }
        },
    }


@asynccontextmanager
async def gateway(product: Product, graph: str, place: Path) -> AsyncGenerator[Gateway]:
    """Run a gateway for the graph server at *graph*."""
    running = Gateway(place, settings_of(product, graph))
    async with Breaker(running.url, patient=True).running() as balancer:
        running.balanced = balancer.url
        await running.start()
        try:
            yield running
        finally:
            running.stop()


@asynccontextmanager
async def breakable(
    product: Product, place: Path
) -> AsyncGenerator[tuple[Gateway, Breaker]]:
    """Run a gateway and, between it and the graph server, what breaks answers."""
    async with (
        Breaker(product.report["graph_url"]).running() as breaker,
        gateway(product, breaker.url, place) as running,
    ):
        yield running, breaker
