# SPDX-License-Identifier: Apache-2.0
"""The metrics of one immutable state of the node: upstream's three, and this product's own. Pure."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..core.lease import fence_at
from ..core.model import NodeState, Phase, State, label, phase
from ..core.readiness import ineligible
from .encode import line
from .guard_state import GuardState, cannot_fence, guard_state
from .reasons import REASON_CODES
from .switches import drained, pause_left
from .view import View


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


class Snapshot(Collector):
    """The product's own metrics of one view. ``neard_start``: Unix seconds, None without a neard."""

    def __init__(self, view: View, neard_start: float | None) -> None:
        self._view = view
        self._neard_start = neard_start

    def collect(self) -> Iterator[Metric]:
        """The families, each complete."""
        state = self._view.state
        yield _gauge(
            "kuutamod_build_info",
            "1, with the versions.",
            1,
            version=line(state.identity.kuutamod_version),
            neard_version=line(state.neard_version),
            python_version=platform.python_version(),
        )
        yield _gauge("kuutamod_term", "The highest term this node has seen.", state.term_seen)
        phases = {each.value: each is phase(state) for each in Phase if each is not Phase.NONE}
        yield _one_hot("kuutamod_phase", "What a validating node is about.", "phase", phases.items())
        yield from self._lease()
        yield from self._fence()
        yield from self._readiness()
        yield from self._operator()
        yield from self._neard()

    def _lease(self) -> Iterator[Metric]:
        state, now = self._view.state, self._view.now
        lease = state.lease
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
            fence_at(lease, state.policy.law) - now,
        )
        yield _gauge("kuutamod_lock_held_seconds", "Since this node took the lock; only while holding.", now - lease.since)

    def _fence(self) -> Iterator[Metric]:
        state, now = self._view.state, self._view.now
        current = guard_state(state, now)
        states = {each.value: each is current for each in GuardState}
        yield _one_hot("kuutamod_guard_state", "What neard's guard does.", "state", states.items())
        undying = cannot_fence(state, now)
        yield _gauge("kuutamod_cannot_fence", "1 when a neard with the key outlives its SIGKILL.", int(undying))

    def _readiness(self) -> Iterator[Metric]:
        state = self._view.state
        codes = {reason.code for reason in ineligible(state, self._view.now)}
        yield _gauge("kuutamod_eligible", "1 when nothing speaks against this node holding the key.", int(not codes))
        applies = {code: code in codes for code in REASON_CODES}
        yield _one_hot("kuutamod_ineligible_reason", "1 for each reason that applies.", "reason", applies.items())
        yield _gauge(
            "kuutamod_priority", "The operator's number for this node; the highest goes first.", state.policy.priority
        )

    def _operator(self) -> Iterator[Metric]:
        state = self._view.state
        left = pause_left(state, self._view.now)
        yield _gauge("kuutamod_pause_remaining_seconds", "Until this node's pause ends; 0 without one.", left)
        yield _gauge("kuutamod_drained", "1 when an operator has drained this node.", int(drained(state)))
        pending = state.desk.pending is not None
        yield _gauge("kuutamod_request_pending", "1 while an operator's request has no outcome.", int(pending))

    def _neard(self) -> Iterator[Metric]:
        if self._neard_start is not None:
            yield _gauge("kuutamod_neard_start_time_seconds", "When neard was started, in Unix time.", self._neard_start)
        child = self._view.state.child
        status = child.status if child is not None else None
        if status is None:
            return
        yield _gauge("kuutamod_neard_height", "The block height of neard's newest answer.", status.height)
        if status.peers is not None:
            yield _gauge("kuutamod_neard_peers", "The peers of neard's newest answer.", status.peers)
        if status.protocol:
            yield _gauge(
                "kuutamod_neard_protocol_version", "The chain's protocol version at neard's head.", status.protocol
            )
        if status.latest_protocol:
            newest = status.latest_protocol
            yield _gauge("kuutamod_neard_latest_protocol_version", "The newest that this neard can follow.", newest)


def _gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _one_hot(name: str, text: str, label_name: str, values: Iterable[tuple[str, bool]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label_name])
    for value, applies in values:
        family.add_metric([value], int(applies))
    return family
