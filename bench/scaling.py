"""Calculate what a deployment needs, and say what breaks first.

``python -m bench.scaling --users 1000000 --streams 100000``. Pure arithmetic over
figures that were measured on one small machine and others that are assumed;
docs/scaling.md says which are which.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class Costs:
    """What one of each costs; measured unless it says otherwise."""

    request_cpu: float = 71.1 * MICRO  # seconds (docs/performance.md)
    event_cpu: float = 33.9 * MICRO  # seconds, many streams (docs/performance.md)
    stream_memory: float = 6.3e3  # bytes of the gateway's (docs/performance.md)
    edge_stream_memory: float = 17.6e3  # bytes of nginx's (docs/performance.md)
    session_row: float = 600.0  # bytes with its indexes, before its first renewal
    renewed_row: float = 4760.0  # bytes with a successor of 3 kB
    renewal_wal: float = 3830.0  # bytes
    renewal_database: float = 2.2e-3  # seconds, both statements, one after another
    ended_memory: float = 173.0  # bytes a process, for each session ended lately
    ended_row: float = 115.0  # bytes, until it is tidied away
    worker_memory: float = 110e6  # bytes of an idle process; assumed
    renewal_cpu: float = 2e-3  # seconds of the gateway's; assumed
    provider_renewals: float = 200.0  # a second and Keycloak node; assumed
    database_renewals: float = 2000.0  # a second on a server with real disks; assumed
    notifications: float = 20_000.0  # a second over all listeners; assumed
    max_connections: int = 500  # of PostgreSQL, before it wants a pooler; assumed
    core_load: float = 0.6  # of a core that is to be used; assumed


@dataclass(frozen=True, slots=True)
class Shape:
    """How people use it."""

    users: int = 1_000_000
    tenants: int = 20_000
    streams: int = 100_000
    active: float = 0.1  # share of users with a page open, at the busiest
    sessions_each: float = 1.5
    requests_each: float = 0.02  # a second, of those with a page open
    events_each: float = 5.0  # a second, of each stream
    access_life: float = 300.0  # seconds; a token is renewed after four fifths
    ended_daily: float = 0.3  # sessions ended a day, for each user
    remembered: float = 3900.0  # seconds that a process remembers an ended session
    pool: int = 10  # [database] pool_size
    workers_each: int = 4  # processes of a replica
    provider_nodes: int = 3


@dataclass(frozen=True, slots=True)
class Need:
    """What it comes to."""

    requests: float  # a second
    events: float  # a second
    renewals: float  # a second
    workers: int
    gateway_memory: float  # bytes over all processes
    edge_memory: float  # bytes
    connections: int  # to PostgreSQL: pools and listeners
    rows: float  # bytes of auth_session
    wal: float  # bytes a second
    deliveries: float  # notifications a second, over all listeners
    ended_memory: float  # bytes in each process


@dataclass(frozen=True, slots=True)
class Limit:
    """How full one thing is, 1 for full, and what to do about it."""

    name: str
    share: float
    remedy: str


def renewals(shape: Shape) -> float:
    """Return renewals a second, of people with a page open, at 4/5 of a token's life.

    A token is renewed by a request, so that nobody who is away costs one; each open
    page is taken for one that asks often enough.
    """
    return shape.users * shape.active / (0.8 * shape.access_life)


def need(shape: Shape, costs: Costs) -> Need:
    """Return what *shape* needs."""
    requests = shape.users * shape.active * shape.requests_each
    events = shape.streams * shape.events_each
    renewed = renewals(shape)
    cpu = (
        requests * costs.request_cpu
        + events * costs.event_cpu
        + renewed * costs.renewal_cpu
    )
    workers = max(2, _up(cpu / costs.core_load))
    ended = shape.users * shape.ended_daily / 86_400
    # Each process beats every ten seconds or so and hears all others.
    deliveries = workers * (ended + workers / 10)
    sessions = shape.users * shape.sessions_each
    return Need(
        requests=requests,
        events=events,
        renewals=renewed,
        workers=workers,
        gateway_memory=workers * costs.worker_memory
        + shape.streams * costs.stream_memory,
        edge_memory=shape.streams * costs.edge_stream_memory,
        connections=workers * (shape.pool + 1),
        rows=sessions * costs.renewed_row,
        wal=renewed * costs.renewal_wal,
        deliveries=deliveries,
        ended_memory=ended * shape.remembered * costs.ended_memory,
    )


def limits(shape: Shape, costs: Costs) -> list[Limit]:
    """Return what has an end of its own, the fullest first.

    Gateways are not among it: they grow by number.
    """
    needed = need(shape, costs)
    found = [
        Limit(
            "renewals at Keycloak",
            needed.renewals / (costs.provider_renewals * shape.provider_nodes),
            "longer access tokens, then more nodes",
        ),
        Limit(
            "connections to PostgreSQL",
            needed.connections / costs.max_connections,
            "PgBouncer in transaction mode, or a smaller [database] pool_size; "
            "the listeners stay direct",
        ),
        Limit(
            "renewals in PostgreSQL",
            needed.renewals / costs.database_renewals,
            "longer access tokens, faster disks",
        ),
        Limit(
            "notifications",
            needed.deliveries / costs.notifications,
            "fewer and larger processes: each hears every ended session",
        ),
    ]
    return sorted(found, key=lambda one: -one.share)


def told(shape: Shape, costs: Costs) -> str:
    """Return it all in lines for people."""
    needed, ends = need(shape, costs), limits(shape, costs)
    each = shape.workers_each
    replicas = f"{_up(needed.workers / each)} replicas of {each}"
    lines = [
        f"{shape.users:,} users, {shape.tenants:,} tenants, {shape.streams:,} streams",
        f"  requests        {needed.requests:>12,.0f} /s",
        f"  events          {needed.events:>12,.0f} /s",
        f"  renewals        {needed.renewals:>12,.1f} /s",
        f"  processes       {needed.workers:>12,} in {replicas}",
        f"  their memory    {needed.gateway_memory / 1e9:>12,.1f} GB",
        f"  nginx's memory  {needed.edge_memory / 1e9:>12,.1f} GB",
        f"  connections     {needed.connections:>12,} to PostgreSQL",
        f"  auth_session    {needed.rows / 1e9:>12,.1f} GB",
        f"  write-ahead log {needed.wal / 1e6:>12,.1f} MB/s",
        f"  notifications   {needed.deliveries:>12,.0f} /s over all listeners",
        f"  ended sessions  {needed.ended_memory / 1e6:>12,.1f} MB in each process",
        "how full is what does not grow by itself:",
        *(f"  {one.share:>7.0%}  {one.name}: {one.remedy}" for one in ends),
    ]
    first = ends[0]
    verdict = "breaks first" if first.share > 1 else "would be first, and holds"
    return "\n".join([*lines, f"{first.name}: {verdict}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what a deployment needs."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling")
    for one in fields(Shape):
        kind = int if one.type == "int" else float
        parser.add_argument(
            f"--{one.name.replace('_', '-')}", type=kind, default=one.default
        )
    print(told(Shape(**vars(parser.parse_args(arguments))), Costs()))


def _up(value: float) -> int:
    return -int(-value // 1)


if __name__ == "__main__":
    main()
