# SPDX-License-Identifier: Apache-2.0
"""The node's own view as JSON: what operators' tools rely on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kuutamod.core.desk import Answer, Desk
from kuutamod.core.model import Faults, Giveup, LockView, NodeState
from kuutamod.core.protocol import Mark, Outcome, Step
from kuutamod.server.encode import body
from kuutamod.server.node_status import status
from unit.server import snapshots

STATES: list[tuple[object, NodeState]] = [*snapshots.BY_STATE.items(), *snapshots.BY_PHASE.items()]


def shown(state: NodeState, now: float = snapshots.NOW, said: str = "") -> Any:
    return json.loads(body(status(snapshots.view(state, now, said))))


def names(value: Any) -> set[str]:
    return set(value) if isinstance(value, dict) else set()


def test_a_standby() -> None:
    found = shown(snapshots.ELIGIBLE, said="standby: b holds the lock in term 4")
    assert (found["account"], found["node"], found["hostname"]) == ("acct", "a", "host-a")
    assert (found["at"], found["uptime"]) == (snapshots.WALL + 151.0, 51.0)
    assert (found["role"], found["state"], found["phase"]) == ("standby", "Voting", None)
    assert (found["active"], found["standby"]) == (False, True)
    assert (found["eligible"], found["ineligible"], found["term_seen"]) == (True, [], 4)
    assert found["decision"] == "standby: b holds the lock in term 4"
    assert found["lease"] is None
    assert found["fleet_read"] == snapshots.WALL + 149.0


def test_a_validator() -> None:
    found = shown(replace(snapshots.HOLDER, giveup=Giveup("new disk", fault=False)), 151.5)
    assert (found["role"], found["state"], found["phase"]) == ("validator", "Validating", "demoting")
    assert found["watch"] is None, "a holder does not watch"
    assert found["lease"] == {
        "term": 5,
        "session": "session-a",
        "since": snapshots.WALL + 140.0,
        "held": 11.5,
        "proven": True,
        "proof_age": 1.5,
        "fence_margin": 5.5,
        "fence_deadline": 7.0,
        "doubt": None,
        "lost": None,
        "cause": "steal",
        "why": "b has not proved itself for the guard time",
        "settled": True,
        "giving_up": "new disk",
    }


def test_a_lease_without_proof() -> None:
    found = shown(snapshots.HOLDER, 158.0)["lease"]
    assert (found["proven"], found["fence_margin"]) == (False, -1.0)


def test_neard() -> None:
    assert shown(snapshots.ELIGIBLE)["neard"] == {
        "pid": 77,
        "role": "voter",
        "started": snapshots.WALL + snapshots.STARTED,
        "version": "2.9.0",
        "answered": 0.5,
        "identified": True,
        "stranger": None,
        "height": 4711,
        "head_unmoved": 0.5,
        "head_age": 1.25,
        "peers": 12,
        "protocol": 79,
        "latest_protocol": 80,
        "synced": True,
        "keyed": False,
        "shows_key": False,
        "key_fault": None,
        "stopping": None,
        "killed": None,
    }
    assert shown(snapshots.FRESH)["neard"] is None


def test_a_neard_that_has_not_answered_yet() -> None:
    found = shown(replace(snapshots.FRESH, child=replace(snapshots.RUNNING, status=None, answered=None)))["neard"]
    assert found["pid"] == 77
    assert {found[name] for name in ("answered", "height", "head_unmoved", "head_age", "peers", "protocol")} == {None}


def test_the_guard() -> None:
    armed = replace(snapshots.LIVE_CHILD, guard_fence=157.0, guard_silent_since=150.5)
    found = shown(replace(snapshots.HOLDER, child=armed))["guard"]
    assert found == {"state": "armed", "unanswered": 0.5, "fence_margin": 6.0, "cannot_fence": False}
    assert shown(snapshots.FRESH)["guard"]["state"] == "none"
    assert shown(snapshots.FENCING, 161.5)["guard"]["cannot_fence"] is True


def test_the_session() -> None:
    found = shown(snapshots.ELIGIBLE)["session"]
    assert found == {"id": "session-a", "renewed": 1.0, "registered": True, "spent": False}
    assert shown(snapshots.FRESH)["session"] is None


def test_what_it_sees_of_the_lock() -> None:
    found = shown(snapshots.ELIGIBLE)["watch"]
    assert (found["index"], found["session"], found["node"], found["term"]) == (17, "session-b", "b", 4)
    assert (found["read"], found["unmoved"], found["watched"]) == (0.25, 0.75, 41.0)
    assert (found["guard_time"], found["opens"]) == (9.0, 8.25)
    assert (found["released"], found["missing"]) == (False, False)


def test_a_missing_lock_never_opens() -> None:
    missing = LockView(0)
    found = shown(replace(snapshots.ELIGIBLE, watch=replace(snapshots.WATCH, view=missing)))["watch"]
    assert (found["missing"], found["opens"], found["node"]) == (True, None, None)


def test_the_members() -> None:
    found = {member["node"]: member for member in shown(snapshots.ELIGIBLE)["members"]}
    assert set(found) == {"a", "b", "c"}
    assert (found["b"]["live"], found["b"]["phase"], found["b"]["unchanged"]) == (True, "active", 2.0)
    assert (found["c"]["live"], found["c"]["ineligible"], found["c"]["peers"]) == (False, ["syncing"], None)


def test_a_request_with_its_phases() -> None:
    desk = Desk(snapshots.REQUEST, 51, 141.0, Answer("r1", (Mark(Step.ACQUIRED, snapshots.WALL + 145.0),)))
    found = shown(replace(snapshots.ASKED, desk=desk))["request"]
    assert (found["id"], found["ask"], found["holder"], found["node"], found["by"]) == (
        "r1",
        "handover",
        "b",
        "a",
        "eve@desk",
    )
    assert [phase["phase"] for phase in found["phases"]] == ["planned", "candidate confirmed", "acquired"]
    assert (found["outcome"], found["left"]) == (None, 49.0)
    assert shown(snapshots.ELIGIBLE)["request"] is None


def test_a_request_that_has_ended() -> None:
    ended = replace(snapshots.REQUEST, outcome=Outcome.ROLLED_BACK, why="c validates")
    found = shown(replace(snapshots.ASKED, desk=Desk(ended, 52, 141.0)), 300.0)["request"]
    assert (found["outcome"], found["why"], found["left"]) == ("rolled back", "c validates", 0.0)


def test_what_an_operator_has_switched_off() -> None:
    pause = {"node": None, "until": snapshots.WALL + 181.0, "left": 30.0, "by": "eve@desk", "reason": "new switch"}
    found = shown(snapshots.PAUSED)
    assert (found["pause"], found["eligible"]) == (pause, False)
    (reason,) = found["ineligible"]
    assert (reason["code"], reason["soft"]) == ("paused", False)
    assert "new switch" in reason["text"]
    assert shown(snapshots.DRAINED)["drained"] is True
    assert (shown(snapshots.ELIGIBLE)["pause"], shown(snapshots.ELIGIBLE)["drained"]) == (None, False)


def test_faults() -> None:
    state = replace(
        snapshots.ELIGIBLE, faults=Faults(since=141.0, retries=2), memory_fault="read-only", history_fault="no leader"
    )
    found = shown(state)["faults"]
    assert (found["hold_off"], found["retries"], found["memory"], found["history"]) == (590.0, 2, "read-only", "no leader")
    assert shown(snapshots.ELIGIBLE)["faults"]["hold_off"] == 0.0


@pytest.mark.parametrize("state", [state for _unused, state in STATES], ids=[str(name) for name, _unused in STATES])
def test_the_names_are_the_same_whatever_the_state(state: NodeState) -> None:
    found, full = shown(state), shown(snapshots.ELIGIBLE)
    assert list(found) == list(full)
    for name in ("neard", "guard", "session", "faults"):
        assert found[name] is None or names(found[name]) == names(full[name])


def test_what_is_not_known_is_null_and_not_infinite() -> None:
    watch = replace(snapshots.WATCH, last_seen=float("-inf"))
    assert shown(replace(snapshots.ELIGIBLE, watch=watch))["watch"]["read"] is None
