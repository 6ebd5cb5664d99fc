# SPDX-License-Identifier: Apache-2.0
"""What adds up: proofs, takeovers, gaps, handovers and requests, on a node that the real rules drive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.claim import Cause
from kuutamod.core.model import LockView
from kuutamod.core.protocol import Ask, LockRecord, Mark, MemberRecord, Outcome, Request, Step
from kuutamod.server.observed import durations
from unit.core.rig import KEY, RELEASED
from unit.server import snapshots
from unit.server.watched import WALL, Watched

MARGIN = "kuutamod_proof_margin_seconds"
GAP = "kuutamod_takeover_gap_seconds"
LAST_GAP = "kuutamod_last_takeover_gap_seconds"
PHASE = "kuutamod_handover_phase_seconds"
CANDIDATE = MemberRecord(
    "b", "host-b", "life-b", state="Voting", height=101, peers=8, eligible=True, fingerprint=KEY, promotion="hot-swap"
)


def takeovers(node: Watched) -> dict[Cause, float]:
    found = node.scrape()
    return {cause: found[f'kuutamod_takeovers_total{{cause="{cause.value}"}}'] for cause in Cause}


def requests(node: Watched) -> dict[tuple[str, str], float]:
    found, name = node.scrape(), "kuutamod_requests_total"
    asked = [(ask.value, outcome.value) for ask in Ask for outcome in Outcome]
    return {(a, o): count for a, o in asked if (count := found[f'{name}{{ask="{a}",outcome="{o}"}}'])}


def validator() -> Watched:
    node = Watched()
    node.takes()
    node.shows_the_key()
    return node


# --- proofs ---


def test_each_proof_tells_how_near_the_fence_was() -> None:
    node = validator()
    assert node.state.lease is not None
    for late in (1.0, 5.25):
        sent = node.state.lease.proof + late
        node.now = sent + 0.25
        node.tell(ev.HeartbeatAnswered("s1", ev.Outcome.APPLIED, sent))
    found = node.scrape()
    assert found[f"{MARGIN}_count"] == 2
    assert found[f"{MARGIN}_sum"] == pytest.approx(7.0 - 1.25 + 7.0 - 5.5)
    assert found[f'{MARGIN}_bucket{{le="1.5"}}'] == 1
    assert found[f'{MARGIN}_bucket{{le="6.0"}}'] == 2


@pytest.mark.parametrize("outcome", [ev.Outcome.UNKNOWN, ev.Outcome.REFUSED])
def test_what_proves_nothing_is_not_counted(outcome: ev.Outcome) -> None:
    node = validator()
    node.now += 1.0
    node.tell(ev.HeartbeatAnswered("s1", outcome, node.now))
    assert node.scrape()[f"{MARGIN}_count"] == 0


def test_a_take_is_no_proof_that_was_waited_for() -> None:
    assert validator().scrape()[f"{MARGIN}_count"] == 0


def test_a_proof_after_the_fence_counts_as_none_left() -> None:
    node = validator()
    lease = node.state.lease
    assert lease is not None
    observed, later = node.metrics.observed, replace(lease, proof=lease.proof + 1.0)
    observed.state(replace(node.state, lease=later), lease.proof + 7.5)
    found = node.scrape()
    assert (found[f'{MARGIN}_bucket{{le="0.0"}}'], found[f"{MARGIN}_sum"]) == (1, 0.0)


# --- takeovers ---


def test_before_any_takeover_all_causes_are_there_with_0() -> None:
    node = Watched()
    found = node.scrape()
    assert set(takeovers(node).values()) == {0.0}
    assert all(found[f'{GAP}_count{{cause="{cause.value}"}}'] == 0 for cause in Cause)
    assert LAST_GAP not in found


def test_a_takeover_is_counted_at_once_and_its_gap_once_the_key_shows() -> None:
    node = Watched()
    node.takes()
    assert takeovers(node)[Cause.RELEASE] == 1
    assert sum(takeovers(node).values()) == 1
    assert LAST_GAP not in node.scrape()
    node.now += 0.5
    node.shows_the_key()
    silent = node.claim().silent_since
    assert silent > 0
    found = node.scrape()
    assert found[LAST_GAP] == pytest.approx(node.now - silent)
    assert found[f'{GAP}_count{{cause="release"}}'] == 1
    assert found[f'{GAP}_sum{{cause="release"}}'] == pytest.approx(node.now - silent)


def test_a_key_that_shows_again_in_the_same_term_is_no_takeover() -> None:
    node = validator()
    node.now += 1.0
    node.status(102)
    node.status(103, validator_key=KEY, validator_account="acct")
    found = node.scrape()
    assert found[f'{GAP}_count{{cause="release"}}'] == 1
    assert sum(takeovers(node).values()) == 1


def test_where_nobody_held_the_key_before_there_is_no_gap() -> None:
    node = Watched()
    node.takes(replace(RELEASED, node_id="", term=0, phase="missing", last_height=0))
    node.shows_the_key()
    assert takeovers(node)[Cause.FIRST] == 1
    assert LAST_GAP not in node.scrape()


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (replace(RELEASED, fault=True), Cause.FAULT),
        (replace(RELEASED, successor="a", request="r1"), Cause.HANDOVER),
    ],
)
def test_takeovers_by_cause(record: LockRecord, cause: Cause) -> None:
    node = Watched()
    node.takes(record)
    node.shows_the_key()
    assert takeovers(node)[cause] == 1
    assert node.scrape()[f'{GAP}_count{{cause="{cause.value}"}}'] == 1


# --- handovers and requests ---


def asked(bench: Watched, **changes: object) -> Request:
    at = WALL + bench.now
    request = Request("r1", Ask.HANDOVER, "a", 5, at, at + 60.0, node="b", by="eve@desk", reason="new disk")
    return replace(request, **changes)  # type: ignore[arg-type]


def test_a_handover_from_here_leaves_its_phases() -> None:
    node = validator()
    node.fleet(replace(CANDIDATE, ready_for="r1"))
    node.asked(asked(node))
    node.answered()
    unload = node.take(ac.UnloadKey)
    node.tell(ev.KeyUnloaded(unload.serial, node.now))
    assert f'{PHASE}{{phase="planned"}}' in node.scrape()
    assert f'{PHASE}{{phase="unloading"}}' not in node.scrape(), "it has not ended yet"
    node.now += 0.5
    node.died("exit code 0")
    node.answered()
    node.tell(ev.ReleaseAnswered("s1", ev.Outcome.APPLIED))
    request = node.answered()
    found = node.scrape()
    shown = {step: found.get(f'{PHASE}{{phase="{step.value}"}}') for step in Step}
    assert (shown[Step.UNLOADING] or 0.0) >= 0.5
    assert shown[Step.RELEASED] is None, "it has not ended yet"
    assert {step: seconds for step, seconds in shown.items() if seconds is not None} == dict(durations(request))


def test_a_handover_that_others_make_leaves_none() -> None:
    node = Watched()
    node.registered()
    node.fleet()
    marks = tuple(Mark(step, WALL + node.now + number) for number, step in enumerate(Step))
    node.asked(asked(node, holder="b", node="c", marks=marks[:1]))
    node.asked(asked(node, holder="b", node="c", marks=marks, outcome=Outcome.DONE))
    assert not [series for series in node.scrape() if series.startswith(PHASE)]
    assert requests(node) == {("handover", "done"): 1}


def test_durations_follow_the_order_of_the_phases_and_are_never_negative() -> None:
    marks = (
        Mark(Step.PLANNED, 10.0),
        Mark(Step.ACQUIRED, 12.0),  # told by a host whose clock is behind
        Mark(Step.RELEASED, 12.5),
        Mark(Step.LOADED, 13.0),
    )
    found = durations(replace(snapshots.REQUEST, marks=marks))
    assert found == ((Step.PLANNED, 2.5), (Step.RELEASED, 0.0), (Step.ACQUIRED, 1.0))


def test_a_request_is_counted_once_when_consul_has_its_outcome() -> None:
    node = validator()
    node.fleet()
    node.asked(asked(node, node="nobody"))
    assert requests(node) == {}, "the outcome is not written yet"
    request = node.answered()
    assert request.outcome is Outcome.REFUSED
    node.asked(request)
    node.fleet()
    assert requests(node) == {("handover", "refused"): 1}
    node.asked(asked(node, id="r2", ask=Ask.RESTART, node="b", outcome=Outcome.ROLLED_BACK))
    assert requests(node) == {("handover", "refused"): 1, ("restart", "rolled back"): 1}


def test_a_request_that_ended_before_this_supervisor_started_is_not_counted() -> None:
    node = Watched()
    node.registered()
    node.fleet()
    node.asked(asked(node, issued=WALL + node.state.started - 100.0, outcome=Outcome.DONE))
    assert requests(node) == {}


def test_as_long_as_the_wall_clock_is_not_known_nothing_can_be_told_of_old_requests() -> None:
    node = Watched()
    node.asked(asked(node, outcome=Outcome.DONE))
    assert requests(node) == {}


# --- calls to Consul ---


def test_calls_to_consul_by_operation_and_outcome() -> None:
    node = Watched()
    for outcome, seconds in (("ok", 0.02), ("ok", 0.4), ("timeout", 1.0), ("ok", -0.1)):
        node.metrics.observed.call("heartbeat", outcome, seconds)
    found, name = node.scrape(), "kuutamod_consul_request_seconds"
    assert found[f'{name}_count{{operation="heartbeat",outcome="ok"}}'] == 3
    assert found[f'{name}_bucket{{le="0.025",operation="heartbeat",outcome="ok"}}'] == 2
    assert found[f'{name}_sum{{operation="heartbeat",outcome="timeout"}}'] == 1.0


def test_the_number_of_series_is_bounded_whatever_happens() -> None:
    node = validator()
    before = len(node.scrape())
    for number in range(50):
        node.asked(asked(node, id=f"x{number}", node=f"n{number}", by=f"eve{number}", outcome=Outcome.EXPIRED))
        node.lock(LockView(100 + number, "s9", replace(RELEASED, node_id=f"n{number}", released=False)))
    assert len(node.scrape()) == before
