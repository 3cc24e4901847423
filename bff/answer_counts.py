"""Count answers by route, status and time, for less than the library's own counters.

Every request passes here. A Prometheus counter takes a lock and a handful of calls for
each number; these are added up in one place, by one thread, and shown when asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, ClassVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

# Upper bounds in seconds; the last has none.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# An agent may think for long before it says its first word.
STREAM_BOUNDS = (*BOUNDS, 30.0, 60.0, 120.0)


class Times:
    """Hold the histogram of one number of seconds, by route."""

    def __init__(self, name: str, about: str, bounds: tuple[float, ...]) -> None:
        self._name, self._about, self._bounds = name, about, bounds
        self._times: dict[str, tuple[list[int], list[float]]] = {}

    def add(self, route: str, seconds: float) -> None:
        """Count once more."""
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = [0] * (len(self._bounds) + 1), [0.0]
        times[0][bisect_left(self._bounds, seconds)] += 1
        times[1][0] += seconds

    def family(self) -> HistogramMetricFamily:
        """Give what has been counted, as Prometheus reads it."""
        family = HistogramMetricFamily(self._name, self._about, labels=["route"])
        names = (*map(str, self._bounds), "+Inf")
        for route, (counts, (total,)) in self._times.items():
            buckets, so_far = [], 0
            for bound, number in zip(names, counts, strict=True):
                so_far += number
                buckets.append((bound, so_far))
            family.add_metric([route], buckets, total)
        return family


class AnswerCounts(Collector):
    """Hold the counts and times of answers."""

    LABELS: ClassVar = {
        "bff_requests_total": ("route", "status"),
        "bff_request_seconds": ("route",),
        "bff_stream_first_byte_seconds": ("route",),
    }

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._heads = Times(
            "bff_request_seconds", "Time until the answer's head, by route.", BOUNDS
        )
        self._streams = Times(
            "bff_stream_first_byte_seconds",
            "Time until the first byte of a proxied stream's body, by route.",
            STREAM_BOUNDS,
        )
        self.first_byte = self._streams.add

    def count(self, route: str, status: str, seconds: float) -> None:
        """Count an answer of *status* class whose head took so many *seconds*."""
        key = route, status
        self._counts[key] = self._counts.get(key, 0) + 1
        self._heads.add(route, seconds)

    def collect(self) -> Iterator[Metric]:
        """Give what has been counted, as Prometheus reads it."""
        requests = CounterMetricFamily(
            "bff_requests",
            "Answers by route and status class.",
            labels=self.LABELS["bff_requests_total"],
        )
        for labels, number in self._counts.items():
            requests.add_metric(labels, number)
        yield requests
        yield self._heads.family()
        yield self._streams.family()
