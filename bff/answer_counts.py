"""Count answers by route, status and time, for less than the library's own counters.

Every request passes here. A Prometheus counter takes a lock and a handful of calls for
each number; these are added up in one place, by one thread, and shown when asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

# Upper bounds in seconds; the last has none.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class AnswerCounts(Collector):
    """Hold `bff_requests_total` and `bff_request_seconds`."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._times: dict[str, tuple[list[int], list[float]]] = {}

    def count(self, route: str, status: str, seconds: float) -> None:
        """Count an answer of *status* class whose head took so many *seconds*."""
        key = route, status
        self._counts[key] = self._counts.get(key, 0) + 1
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = [0] * (len(BOUNDS) + 1), [0.0]
        times[0][bisect_left(BOUNDS, seconds)] += 1
        times[1][0] += seconds

    def collect(self) -> Iterator[Metric]:
        """Give what has been counted, as Prometheus reads it."""
        requests = CounterMetricFamily(
            "bff_requests",
            "Answers by route and status class.",
            labels=["route", "status"],
        )
        for labels, number in self._counts.items():
            requests.add_metric(labels, number)
        yield requests
        seconds = HistogramMetricFamily(
            "bff_request_seconds",
            "Time until the answer's head, by route.",
            labels=["route"],
        )
        for route, (counts, (total,)) in self._times.items():
            buckets, so_far = [], 0
            for bound, number in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                so_far += number
                buckets.append((bound, so_far))
            seconds.add_metric([route], buckets, total)
        yield seconds
