# SPDX-License-Identifier: Apache-2.0
"""The text that Prometheus reads: the metrics of the Rust kuutamod, then this product's own.

Each scrape is made from one immutable snapshot, so its lines never disagree. docs/metrics.md lists every metric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .observed import Observed
from .snapshot import Snapshot, upstream
from .view import View

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The format's type; every name here is legal in its oldest version, which every scraper reads."""


class Metrics:
    """What is counted beside the snapshot, and the rendering of both. Usable from every thread."""

    def __init__(self, dropped_lines: Callable[[], int]) -> None:
        """``dropped_lines`` tells how many log lines were lost so far."""
        self.observed = Observed()
        self._dropped_lines = dropped_lines
        self._bind_failures = 0
        self._neard_start = (0, 0.0)

    def bind_failed(self) -> None:
        """Count one failed try to listen on the exporter's address; called by the exporter's thread alone."""
        self._bind_failures += 1

    def render(self, view: View) -> bytes:
        """The whole exposition of one view."""
        parts = (
            _registry(Snapshot(view, self._started(view))),
            _registry(_Counted(self._bind_failures, self._dropped_lines())),
            self.observed.registry,
        )
        return upstream(view.state, view.now).encode() + b"".join(generate_latest(part) for part in parts)

    def _started(self, view: View) -> float | None:
        """When neard was started, in Unix seconds; worked out once, so that it does not tremble with the wall clock."""
        child, known = view.state.child, self._neard_start
        if child is None or child.pid is None:
            return None
        if known[0] != child.serial:
            self._neard_start = known = child.serial, round(view.unix(child.started), 3)
        return known[1]


class _Counted(Collector):
    """Counters of the supervisor itself."""

    def __init__(self, bind_failures: int, dropped_lines: int) -> None:
        self._bind_failures = bind_failures
        self._dropped_lines = dropped_lines

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "kuutamod_exporter_bind_failures", "Failed tries to listen on the exporter's address.", self._bind_failures
        )
        yield CounterMetricFamily(
            "kuutamod_log_lines_dropped", "Log lines lost to a blocked or broken stream.", self._dropped_lines
        )


def _registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry
