"""The loads, and what is read off each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.contenders import SMALL, STREAM
from bench.load import LoadFailed, listening
from bench.processes import cpu_seconds, memory

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contenders import Contender

    Figures = dict[str, float]

# What a proxy and the rest of a process keep open beside two sockets a stream.
SPARE_FILES = 200


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load; `every` is the time between two events of a stream, in µs."""

    name: str
    title: str
    connections: int
    seconds: float
    every: int | None = None
    at_once: int = 64
    settle: float = 1.0

    @property
    def is_requests(self) -> bool:
        """Tell whether one small request follows the other."""
        return self.every is None

    @property
    def is_idle(self) -> bool:
        """Tell whether streams fall silent after their first event."""
        return self.every == 0

    def within(self, files: int) -> Scenario:
        """Return it with no more streams than *files* open files allow a proxy."""
        most = (files - SPARE_FILES) // 2
        return replace(self, connections=min(self.connections, most))


FULL = (
    Scenario("requests", "small requests, 16 at a time", 16, 5),
    Scenario("idle", "silent streams, opened one by one", 2000, 1, every=0, at_once=1),
    Scenario("events", "500 streams, 50 events/s each", 500, 6, every=20_000),
    Scenario("wide", "5,000 streams, 5 events/s each", 5000, 6, every=200_000),
    Scenario("many", "10,000 streams, 1 event/s each", 10_000, 8, every=1_000_000),
)
QUICK = (
    Scenario("requests", "small requests", 4, 0.4, settle=0.1),
    Scenario("idle", "silent streams", 50, 0.2, every=0, at_once=1, settle=0.1),
    Scenario("events", "few streams", 20, 1, every=50_000, settle=0.1),
    Scenario("wide", "more streams", 60, 1, every=200_000, settle=0.1),
    Scenario("many", "most streams", 100, 1, every=250_000, settle=0.1),
)


async def measure(
    scenario: Scenario, contender: Contender, pid: int | None, folder: Path
) -> Figures:
    """Put the load on *contender* and return what it cost.

    Durations are microseconds, sizes bytes. `lost` counts streams that broke or never
    began, events that are missing, and answers that failed; `silent` streams that
    stand, but brought nothing while it was counted.

    Raises:
        LoadFailed: when nothing at all came through.
    """
    warm_up = contender.heads(SMALL, "application/json")
    heads = warm_up
    if not scenario.is_requests:
        heads = contender.heads(f"{STREAM}{scenario.every}", "text/event-stream")
    if scenario.is_idle:
        # What the first requests make a process allocate belongs to no stream.
        async with listening(
            contender.port, warm_up, connections=16, at_once=16, again=True,
            folder=folder,
        ) as warm:  # fmt: skip
            await warm.count(scenario.seconds)
    held = memory(pid) if pid else None
    async with listening(
        contender.port,
        heads,
        connections=scenario.connections,
        at_once=scenario.at_once,
        again=scenario.is_requests,
        folder=folder,
    ) as listener:
        opened = listener.opened
        await asyncio.sleep(scenario.settle)
        spent = cpu_seconds(pid) if pid else 0.0
        counted = await listener.count(scenario.seconds)
        never_began = scenario.connections - counted["begun"]
        figures: Figures = {
            "connections": opened["begun"],
            "opening_seconds": opened["seconds"],
            "first_byte_p50": opened["first_byte_p50"],
            "first_byte_p99": opened["first_byte_p99"],
            "lost": never_began + counted["lost"] + counted["gaps"],
        }
        if not opened["begun"]:
            raise LoadFailed(
                f"{contender.name}: nothing came through in `{scenario.name}` "
                f"(status {opened['bad_status']})"
            )
        if scenario.is_idle:
            if pid and held:
                now, count = memory(pid), opened["begun"]
                figures["pss_per_stream"] = (now.pss - held.pss) / count
                figures["private_per_stream"] = (now.private - held.private) / count
            return figures
        figures |= {
            "silent": counted["silent"],
            "per_second": counted["units"] / counted["seconds"],
            "p50": counted["p50"],
            "p99": counted["p99"],
        }
        if pid:
            spent = cpu_seconds(pid) - spent
            figures["cpu"] = spent * 1e6 / max(counted["units"], 1)
            figures["cores"] = spent / counted["seconds"]
        return figures
