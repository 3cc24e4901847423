"""Show how things stand when somebody asks: upstreams, connections, release."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar, Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import Metric

    from graph_proxy import Proxy


class Usage(Protocol):
    """A pool of connections, as it is used."""

    @property
    def usage(self) -> tuple[int, int, int]:
        """Return connections in use, open, and open at most."""


class Upstreams(Collector):
    """Hold what is known of each upstream of each proxy."""

    LABELS: ClassVar = {
        "bff_upstream_ejected": ("proxy", "upstream"),
        "bff_upstream_outstanding": ("proxy", "upstream"),
        "bff_upstream_idle_connections": ("proxy", "upstream"),
    }

    def __init__(self) -> None:
        self._proxies: dict[str, Proxy] = {}

    def watch(self, name: str, proxy: Proxy) -> None:
        """Show the upstreams of *proxy* from now on."""
        self._proxies[name] = proxy

    def collect(self) -> Iterator[Metric]:
        """Give the state of each."""
        ejected, outstanding, idle = (
            GaugeMetricFamily(name, about, labels=self.LABELS[name])
            for name, about in (
                (
                    "bff_upstream_ejected",
                    "1 since it was last found unreachable.",
                ),
                ("bff_upstream_outstanding", "Answers it is asked for just now."),
                ("bff_upstream_idle_connections", "Connections kept for the next."),
            )
        )
        for name, proxy in self._proxies.items():
            for one in proxy.pool.upstreams:
                labels = name, one.address
                ejected.add_metric(labels, float(one.ejected_until > 0))
                outstanding.add_metric(labels, one.outstanding)
                idle.add_metric(labels, len(one.idle))
        yield from (ejected, outstanding, idle)


class Pools(Collector):
    """Hold how many connections to PostgreSQL each pool has."""

    LABELS: ClassVar = {"bff_database_connections": ("pool", "state")}

    def __init__(self) -> None:
        self._pools: dict[str, Usage] = {}

    def watch(self, name: str, pool: Usage) -> None:
        """Show *pool* from now on."""
        self._pools[name] = pool

    def collect(self) -> Iterator[Metric]:
        """Give the state of each."""
        (name,) = self.LABELS
        about = "Connections of each pool: in use, idle, and the most there may be."
        family = GaugeMetricFamily(name, about, labels=self.LABELS[name])
        for pool, watched in self._pools.items():
            used, opened, most = watched.usage
            family.add_metric((pool, "in_use"), used)
            family.add_metric((pool, "idle"), opened - used)
            family.add_metric((pool, "most"), most)
        yield family


class Build(Collector):
    """Hold which release runs."""

    LABELS: ClassVar = {"bff_build_info": ("version", "python")}

    def collect(self) -> Iterator[Metric]:
        """Give a 1 that carries it."""
        (name,) = self.LABELS
        family = GaugeMetricFamily(name, "The release.", labels=self.LABELS[name])
        family.add_metric((version("nexius-bff"), platform.python_version()), 1)
        yield family


class Standing(Collector):
    """Hold what a worker last read in the database of queue, tenants and register.

    What is too old is shown no more: no number is better than a wrong one.
    """

    KEPT = 300.0  # seconds
    LABELS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "bff_tenants": ("state",),
        "bff_onboardings": ("state",),
        "bff_sessions": (),
        "bff_jobs": ("task", "state"),
        "bff_oldest_job_seconds": ("task",),
        "bff_odoo_copies": ("state",),
        "bff_acra_companies": (),
        "bff_acra_last_run_timestamp_seconds": (),
    }
    ABOUT: ClassVar = {
        "bff_tenants": "Tenants by state.",
        "bff_onboardings": "Tenants by how far they are set up.",
        "bff_sessions": "Sessions that have neither ended nor expired.",
        "bff_jobs": "Jobs that wait or are in hand.",
        "bff_oldest_job_seconds": "How long the oldest job that is due has waited.",
        "bff_odoo_copies": "Databases of Odoo made in advance, by state.",
        "bff_acra_companies": "Companies in the register, as PostgreSQL estimates.",
        "bff_acra_last_run_timestamp_seconds": "When the register was last read whole.",
    }

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        self._at = float("-inf")

    def note(self, found: dict[str, list[tuple[tuple[str, ...], float]]]) -> None:
        """Take what was read just now: by name, the labels and the number."""
        self._found, self._at = found, self._clock()

    def collect(self) -> Iterator[Metric]:
        """Give what was read last."""
        is_fresh = self._clock() - self._at < self.KEPT
        for name, labels in self.LABELS.items():
            family = GaugeMetricFamily(name, self.ABOUT[name], labels=labels)
            for values, number in self._found.get(name, ()) if is_fresh else ():
                family.add_metric(values, number)
            yield family
