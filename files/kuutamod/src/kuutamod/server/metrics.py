# SPDX-License-Identifier: Apache-2.0
"""The text that Prometheus reads: the metrics of the Rust kuutamod, then this product's own.

Each scrape is made from one immutable snapshot, so its lines never disagree. docs/metrics.md lists every metric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kuutamod.core.lease import fence_at
from kuutamod.core.model import NodeState, Phase, State, label, phase
from kuutamod.core.readiness import ineligible

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The format's type; every name here is legal in its oldest version, which every scraper reads."""

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
"""Seconds; fine below the request deadline of a heartbeat, 1 s by default."""


class Metrics:
    """What is counted beside the snapshot, and the rendering of both. Usable from every thread."""

    def __init__(self, dropped_lines: Callable[[], int]) -> None:
        """``dropped_lines`` tells how many log lines were lost so far."""
        # Series of wall clock times that nobody asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._dropped_lines = dropped_lines
        self._bind_failures = 0
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "kuutamod_consul_request_seconds",
            "Duration of the calls to Consul.",
            ("operation", "outcome"),
            registry=self._registry,
            buckets=REQUEST_BUCKETS,
        )

    def observe_consul(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call to Consul and how long it took. Both names must come from small fixed sets."""
        self._requests.labels(operation, outcome).observe(max(seconds, 0.0))

    def bind_failed(self) -> None:
        """Count one failed try to listen on the exporter's address; called by the exporter's thread alone."""
        self._bind_failures += 1

    def render(self, state: NodeState, now: float) -> bytes:
        """The whole exposition of one snapshot; ``now`` in boottime seconds."""
        registry = CollectorRegistry()
        registry.register(_Snapshot(state, now))
        return upstream(state, now).encode() + b"".join(
            generate_latest(part) for part in (registry, self._counted(), self._registry)
        )

    def _counted(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(_Counted(self._bind_failures, self._dropped_lines()))
        return registry


def upstream(state: NodeState, now: float) -> str:
    """The three metrics of the Rust kuutamod. Scripts compare their lines as text, so the values are plain integers."""
    current = label(state)
    lines = ["# HELP kuutamod_state In which state the supervisor is.", "# TYPE kuutamod_state gauge"]
    lines += [f'kuutamod_state{{type="{each.value}"}} {int(each is current)}' for each in State]
    lines += [
        "# HELP kuutamod_neard_restarts How often neard was started again.",
        "# TYPE kuutamod_neard_restarts counter",
        f"kuutamod_neard_restarts {max(state.starts - 1, 0)}",
        "# HELP kuutamod_uptime Milliseconds since the supervisor started.",
        "# TYPE kuutamod_uptime gauge",
        f"kuutamod_uptime {max(round((now - state.started) * 1000), 0)}",
    ]
    return "\n".join(lines) + "\n"


class _Snapshot(Collector):
    """The product's own metrics of one snapshot."""

    def __init__(self, state: NodeState, now: float) -> None:
        self._state = state
        self._now = now

    def collect(self) -> Iterator[Metric]:
        state = self._state
        version = state.identity.kuutamod_version
        yield _gauge("kuutamod_build_info", "1, with the version.", 1, version=version)
        yield _gauge("kuutamod_term", "The highest term this node has seen.", state.term_seen)
        phases = GaugeMetricFamily("kuutamod_phase", "What a validating node is about.", labels=["phase"])
        for each in Phase:
            if each is not Phase.NONE:
                phases.add_metric([each.value], int(each is phase(state)))
        yield phases
        yield from self._lease()
        yield from self._readiness()
        yield from self._neard()

    def _lease(self) -> Iterator[Metric]:
        lease, now = self._state.lease, self._now
        if lease is None or lease.lost is not None:
            return
        yield _gauge(
            "kuutamod_lease_proof_age_seconds",
            "Since the sending of the newest heartbeat that Consul confirmed; only while holding.",
            now - lease.proof,
        )
        yield _gauge(
            "kuutamod_fence_margin_seconds",
            "Until neard is killed unless a newer proof arrives; only while holding.",
            fence_at(lease, self._state.policy.law) - now,
        )
        yield _gauge("kuutamod_lock_held_seconds", "Since this node took the lock; only while holding.", now - lease.since)

    def _readiness(self) -> Iterator[Metric]:
        found = ineligible(self._state, self._now)
        yield _gauge("kuutamod_eligible", "1 when nothing speaks against this node holding the key.", int(not found))
        reasons = GaugeMetricFamily("kuutamod_ineligible_reason", "1 for each reason that applies.", labels=["reason"])
        for code in sorted({reason.code for reason in found}):
            reasons.add_metric([code], 1)
        yield reasons

    def _neard(self) -> Iterator[Metric]:
        child = self._state.child
        if child is not None and child.status is not None:
            yield _gauge("kuutamod_neard_height", "The block height of neard's newest answer.", child.status.height)
        undying = (
            child is not None
            and child.keyed
            and child.killed is not None
            and self._now - child.killed_at > self._state.policy.law.kill_budget
        )
        yield _gauge("kuutamod_cannot_fence", "1 when a neard with the key outlives its SIGKILL.", int(undying))


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


def _gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family
