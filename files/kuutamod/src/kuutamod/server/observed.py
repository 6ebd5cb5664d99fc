# SPDX-License-Identifier: Apache-2.0
"""What adds up while the node lives: takeovers, margins of the fence, handovers, requests, terms, calls to Consul.

It is told every state on the supervisor's loop and compares it with the one before; it never waits. The pages and scrapes
read it from other threads: each value they read is immutable, or guarded by the metrics library.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..core import records
from ..core.claim import Cause
from ..core.desk import Desk, unsaid
from ..core.lease import fence_at
from ..core.model import NodeState
from ..core.protocol import Ask, Outcome, Request, Step
from .terms import Terms, follow, merge, shown

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
"""Seconds; fine below the request deadline of a heartbeat, 1 s by default."""

MARGIN_BUCKETS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 10.0, 15.0, 30.0)
"""Seconds; a proof every second leaves 6 of the default fence deadline of 7. What is in the first came too late."""

GAP_BUCKETS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 12.5, 15.0, 20.0, 30.0, 60.0, 300.0)
"""Seconds; a handover takes about one, a takeover after the guard time more than nine."""


class Observed(Collector):
    """See the module. ``state`` is called on the loop alone."""

    def __init__(self) -> None:
        # Series of wall clock times that nobody asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._last: NodeState | None = None
        self._gap_term = 0
        self._gap: float | None = None
        self._handover: tuple[tuple[Step, float], ...] = ()
        self._ended = ""
        self._terms: Terms = ()
        self._calls = Histogram(
            "kuutamod_consul_request_seconds",
            "Duration of the calls to Consul.",
            ("operation", "outcome"),
            registry=self.registry,
            buckets=REQUEST_BUCKETS,
        )
        self._margins = Histogram(
            "kuutamod_proof_margin_seconds",
            "What was left until the fence deadline when a newer proof arrived.",
            registry=self.registry,
            buckets=MARGIN_BUCKETS,
        )
        self._takeovers = Counter(
            "kuutamod_takeovers", "Takes of the lock by this node.", ["cause"], registry=self.registry
        )
        self._gaps = Histogram(
            "kuutamod_takeover_gap_seconds",
            "Without a signer before this node's takeovers.",
            ("cause",),
            registry=self.registry,
            buckets=GAP_BUCKETS,
        )
        self._requests = Counter(
            "kuutamod_requests", "Operators' requests that have ended.", ["ask", "outcome"], registry=self.registry
        )
        for cause in Cause:
            self._takeovers.labels(cause.value)
            self._gaps.labels(cause.value)
        for ask in Ask:
            for outcome in Outcome:
                self._requests.labels(ask.value, outcome.value)
        self.registry.register(self)

    def call(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call to Consul and how long it took. Both names must come from small fixed sets."""
        self._calls.labels(operation, outcome).observe(max(seconds, 0.0))

    def state(self, state: NodeState, now: float) -> None:
        """The node's state has changed, or may have; ``now`` in boottime seconds."""
        before, self._last = self._last, state
        if before is None or before is state:
            return
        self._lease(before, state, now)
        if before.desk is not state.desk:
            self._desk(before.desk, state)
        self._terms = follow(self._terms, before, state, now)

    def terms(self, state: NodeState) -> Terms:
        """The terms that this node has seen, the newest first."""
        return tuple(reversed(merge(self._terms, shown(state))))

    def collect(self) -> Iterator[Metric]:
        """What is kept of the last time only; nothing before there was one."""
        if self._gap is not None:
            gap = GaugeMetricFamily("kuutamod_last_takeover_gap_seconds", "Without a signer before the last takeover.")
            gap.add_metric([], self._gap)
            yield gap
        if self._handover:
            phases = GaugeMetricFamily(
                "kuutamod_handover_phase_seconds", "How long each phase of the last handover took.", labels=["phase"]
            )
            for step, seconds in self._handover:
                phases.add_metric([step.value], seconds)
            yield phases

    def _lease(self, before: NodeState, after: NodeState, now: float) -> None:
        old, lease = before.lease, after.lease
        if lease is None:
            return
        if old is None or old.term != lease.term:
            self._takeovers.labels(lease.claim.cause.value).inc()
        elif lease.proof > old.proof:
            self._margins.observe(max(fence_at(old, after.policy.law) - now, 0.0))
        if lease.term != self._gap_term and after.child is not None and after.child.key_live:
            self._gap_term = lease.term
            gap = records.term_record(after, lease).gap
            if gap >= 0:
                self._gap = gap
                self._gaps.labels(lease.claim.cause.value).observe(gap)

    def _desk(self, before: Desk, state: NodeState) -> None:
        request = unsaid(state.desk) or state.desk.request
        if request is None:
            return
        answer = state.desk.answer
        begun = request.ask is Ask.HANDOVER and request.marked(Step.UNLOADING) is not None
        if begun and answer is not None and answer.marks:
            self._handover = durations(request)
        told = state.desk.request.outcome if state.desk.request is not None else None
        if told is not None and request.id != self._ended and _ended_here(before, request, state):
            self._ended = request.id
            self._requests.labels(request.ask.value, told.value).inc()


def durations(request: Request) -> tuple[tuple[Step, float], ...]:
    """Seconds from each phase that was reached to the next one, by the clocks of the hosts that told them."""
    reached = [mark for step in Step if (mark := request.marked(step)) is not None]
    return tuple((mark.step, max(after.at - mark.at, 0.0)) for mark, after in pairwise(reached))


def _ended_here(before: Desk, request: Request, state: NodeState) -> bool:
    """Did it end while this node lived? What is in Consul at its start is no news."""
    known = before.request is not None and before.request.id == request.id
    return known or (state.wall > 0 and request.issued > state.wall + state.started)
