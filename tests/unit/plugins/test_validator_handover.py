# SPDX-License-Identifier: Apache-2.0
"""validator_handover on a real Consul, with nodes played by the test."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from integration.between import between, lost
from integration.written_fleet import WrittenFleet
from kuutamod.core.protocol import Ask as Kind
from kuutamod.core.protocol import FleetConfig, Mark, Outcome, Request, Step, config_key, request_key
from unit.plugins.obedient import STEPS, Obedient
from unit.plugins.rig import Answer, address, module, run, shared

Ask = Callable[..., Answer]


def request_of(fleet: WrittenFleet) -> Request | None:
    entry = fleet.client.kv_get(request_key(fleet.account))
    return Request.from_json(entry.value) if entry is not None else None


def test_a_handover_to_the_best_standby(fleet: WrittenFleet, ask: Ask) -> None:
    with Obedient(fleet) as nodes:
        told = ask("validator_handover", diff=True, reason="new disk", by="alice@desk")
    assert told.told == (False, True), told
    assert (told["previous_holder"], told["previous_term"], told["holder"], told["term"]) == ("n1", 7, "n2", 8)
    assert (told["candidate"], told["outcome"], told["why"]) == ("n2", "done", "n2 validates in term 8")
    assert "the best of n2, n3: priority 10" in told["candidate_why"]
    assert [each["phase"] for each in told["phases"]] == [step.value for step in STEPS]
    assert (told["gap"], told["request"]) == (1.0, nodes.answered[0].id)
    assert told["duration"] >= 2.0
    assert told["diff"] == {"before": {"holder": "n1"}, "after": {"holder": "n2"}}
    asked = nodes.answered[0]
    assert (asked.holder, asked.term, asked.by, asked.reason, asked.when) == ("n1", 7, "alice@desk", "new disk", "now")


def test_the_options_reach_the_request(fleet: WrittenFleet, ask: Ask) -> None:
    fleet.join("n3", eligible=True, promotion="restart", latest_protocol=84)
    options = {"target": "n3", "allow_restart": True, "at": "window", "min_window": 9, "timeout": 900}
    with Obedient(fleet) as nodes:
        told = ask("validator_handover", expect_holder="n1", **options)
    assert (told["holder"], told["candidate_why"]) == ("n3", "as asked for")
    asked = nodes.answered[0]
    assert (asked.when, asked.min_window, asked.allow_restart, asked.expires - asked.issued) == ("window", 9, True, 900)
    assert "endorsements are due" in told.warnings


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("expect", [None, "n1", "n2"])
def test_nothing_happens_when_the_target_holds_already(
    fleet: WrittenFleet, ask: Ask, check: bool, expect: str | None
) -> None:
    told = ask("validator_handover", check=check, diff=True, target="n1", expect_holder=expect)
    assert told.told == (False, False)
    assert (told["outcome"], told["holder"], told["request"]) == ("already", "n1", None)
    assert told["diff"]["before"] == told["diff"]["after"]
    assert request_of(fleet) is None


def test_check_mode_returns_the_plan_and_writes_nothing(fleet: WrittenFleet, ask: Ask) -> None:
    index = fleet.client.kv_list("")
    told = ask("validator_handover", check=True, diff=True)
    assert told.told == (False, True)
    assert (told["outcome"], told["candidate"], told["holder"], told["request"]) == ("planned", "n2", "n1", None)
    assert told["diff"] == {"before": {"holder": "n1"}, "after": {"holder": "n2"}}
    assert fleet.client.kv_list("") == index


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        ({"expect_holder": "n2"}, "holder_changed", "n1 holds the lock, not n2"),
        ({"target": "n9"}, "no_candidate", "there is no node n9; known are n2, n3"),
        ({"target": "n3"}, "no_candidate", "n3 is drained"),
        ({"target": "n2"}, "no_candidate", "allow_restart=true accepts that"),
        ({}, "no_candidate", "no standby can take over"),
        ({"at": "soon"}, "options", "at: 'soon' is neither now nor window nor a block height"),
        ({"timeout": 0.5}, "options", "timeout: '0.5' is not a number of seconds from 1 to 86400"),
        ({"min_window": 0}, "options", "min_window: '0' is not a number of blocks"),
        ({"reason": "x" * 201}, "options", "reason: it has 201 characters"),
        ({"target": ""}, "options", "target: the name is empty"),
    ],
)
def test_what_cannot_be_is_refused(
    fleet: WrittenFleet, ask: Ask, check: bool, options: dict[str, object], reason: str, words: str
) -> None:
    fleet.join("n2", eligible=True, promotion="restart", latest_protocol=84)
    assert fleet.client.kv_put(config_key(fleet.account), FleetConfig(no_takeover=("n3",)).to_json())
    told = ask("validator_handover", check=check, **options)
    assert told.told == (True, False)
    assert told["reason"] == reason
    assert words in told["msg"]
    assert request_of(fleet) is None


def test_without_a_holder_it_is_refused(fleet: WrittenFleet, ask: Ask) -> None:
    fleet.release("n1", 7, "stopped")
    told = ask("validator_handover")
    assert (told.told, told["reason"]) == ((True, False), "no_holder")


@pytest.mark.parametrize("check", [True, False])
def test_while_another_request_is_pending_it_is_refused(fleet: WrittenFleet, ask: Ask, check: bool) -> None:
    now = time.time()
    other = Request("r1", Kind.HANDOVER, "n1", 7, now, now + 60, node="n3", by="bob@desk")
    assert fleet.client.kv_put(request_key(fleet.account), other.to_json())
    told = ask("validator_handover", check=check)
    assert (told.told, told["reason"]) == ((True, False), "pending")
    assert "a handover of n3 asked for by bob@desk (r1) is pending" in told["msg"]
    assert request_of(fleet) == other


@pytest.mark.parametrize("name", ["validator_handover", "validator_drain"])
@pytest.mark.parametrize("check", [True, False])
def test_a_newer_version_s_request_is_not_written_over(fleet: WrittenFleet, ask: Ask, check: bool, name: str) -> None:
    strange = '{"id": "r1", "ask": "dance", "holder": "n1"}'
    assert fleet.client.kv_put(request_key(fleet.account), strange)
    told = ask(name, check=check, **({"node": "n1"} if name == "validator_drain" else {}))
    assert (told.told, told["reason"]) == ((True, False), "conflict")
    assert f"key {request_key(fleet.account)} holds no request that this version knows: " in told["msg"]
    entry = fleet.client.kv_get(request_key(fleet.account))
    assert entry is not None
    assert entry.value.decode() == strange


def test_a_newer_version_s_request_that_comes_in_between_is_not_written_over(
    fleet: WrittenFleet, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    handover, strange = module("validator_handover"), '{"id": "r1", "ask": "dance"}'
    real = handover.look

    def look(to: object) -> object:
        seen = real(to)
        assert fleet.client.kv_put(request_key(fleet.account), strange)
        return seen

    monkeypatch.setattr(handover, "look", look)
    told = ask("validator_handover")
    assert (told.told, told["reason"]) == ((True, False), "conflict")
    entry = fleet.client.kv_get(request_key(fleet.account))
    assert entry is not None
    assert entry.value.decode() == strange


@pytest.mark.parametrize(
    ("outcome", "to", "reason", "holder", "changed"),
    [
        (Outcome.REFUSED, "", "refused", "n1", False),
        (Outcome.REFUSED, "n3", "holder_changed", "n3", True),
        (Outcome.ROLLED_BACK, "n3", "rolled_back", "n3", True),
        (Outcome.EXPIRED, "", "expired", "n1", False),
    ],
)
def test_the_fleets_own_outcome_is_the_reason(
    fleet: WrittenFleet, ask: Ask, outcome: Outcome, to: str, reason: str, holder: str, changed: bool
) -> None:
    with Obedient(fleet, outcome, "because", to):
        told = ask("validator_handover", target="n2")
    assert told.told == (True, changed), told
    assert (told["reason"], told["holder"], told["previous_holder"]) == (reason, holder, "n1")
    assert told["msg"] == f"{outcome.value}: because"


def test_the_race_for_a_lock_that_moves_before_the_request_is_read(
    fleet: WrittenFleet, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder changes between the look and the request: nobody acts on it, and it is told which it was."""
    handover = module("validator_handover")
    real = handover.look

    def look(to: object) -> object:
        seen = real(to)
        fleet.release("n1", 7, "neard failed")
        fleet.join("n1", state="Voting", phase="")
        fleet.hold("n3", 8)
        return seen

    monkeypatch.setattr(handover, "look", look)
    with Obedient(fleet, Outcome.REFUSED, "it does not hold the lock any more"):
        told = ask("validator_handover", expect_holder="n1")
    assert (told.failed, told["reason"], told["holder"], told["term"]) == (True, "holder_changed", "n3", 8)


def test_what_nobody_begins_expires_and_is_withdrawn(fleet: WrittenFleet, ask: Ask) -> None:
    told = ask("validator_handover", timeout=1)
    assert (told.told, told["reason"]) == ((True, False), "expired")
    left = request_of(fleet)
    assert left is not None
    assert left.outcome is Outcome.EXPIRED, "no holder that comes back later may act on it"


def test_what_was_begun_and_nobody_ends_is_unknown(fleet: WrittenFleet, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    orders, follow = shared("consul.orders"), shared("fleet.follow")
    monkeypatch.setattr(follow, "FINISH", 1.0)
    real = orders.place

    def place(settings: object, account: str, request: Request, deadline: float) -> object:
        placed = real(settings, account, request, deadline)
        now = time.time()
        begun = replace(request, marks=(Mark(Step.CONFIRMED, now), Mark(Step.UNLOADING, now + 0.1)))
        assert fleet.client.kv_put(request_key(account), begun.to_json())
        return placed

    monkeypatch.setattr(orders, "place", place)
    told = ask("validator_handover", timeout=1)
    assert (told.told, told["reason"], told["outcome"]) == ((True, False), "unknown", "unknown")
    assert "unloading is the last that was seen" in told["msg"]
    assert [each["phase"] for each in told["phases"]] == ["candidate confirmed", "unloading"]


def asked_of_n1(kind: Kind, node: str, holder: str = "n1", term: int = 7, begun: bool = False, left: float = 60) -> Request:
    """Its moments are told from the beginning of the test."""
    marks = (Mark(Step.CONFIRMED, 0.0),) if begun else ()
    return Request("r1", kind, holder, term, -100, left, node=node, by="bob@desk", marks=marks)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("request_", "leaves"),
    [
        (asked_of_n1(Kind.HANDOVER, "n2"), True),
        (asked_of_n1(Kind.HANDOVER, "n2", begun=True, left=-5), True),
        (asked_of_n1(Kind.RESTART, "n1"), True),
        # Void, or of another term, or of another node: it stays.
        (asked_of_n1(Kind.HANDOVER, "n2", left=-5), False),
        (asked_of_n1(Kind.HANDOVER, "n2", term=6), False),
        (asked_of_n1(Kind.HANDOVER, "n1", holder="n3"), False),
        (asked_of_n1(Kind.RESTART, "n3"), False),
        (replace(asked_of_n1(Kind.HANDOVER, "n2"), outcome=Outcome.REFUSED), False),
    ],
)
def test_a_target_that_is_just_losing_the_lock_is_no_success(
    fleet: WrittenFleet, ask: Ask, check: bool, request_: Request, leaves: bool
) -> None:
    now = time.time()
    there = replace(request_, issued=now + request_.issued, expires=now + request_.expires)
    assert fleet.client.kv_put(request_key(fleet.account), there.to_json())
    told = ask("validator_handover", check=check, target="n1")
    assert (told.told, told["outcome"]) == ((leaves, False), "refused" if leaves else "already"), told
    if leaves:
        assert told["reason"] == "pending"
        assert "refused: n1 holds the lock, but a " in told["msg"]
        assert "asked for by bob@desk (r1" in told["msg"]


def test_a_target_that_holds_the_lock_but_does_not_validate_is_warned_of(fleet: WrittenFleet, ask: Ask) -> None:
    assert ask("validator_handover", target="n1").warnings == "[]"
    fleet.join("n1", state="Voting", phase="promoting", term_seen=7)
    told = ask("validator_handover", target="n1")
    assert (told.told, told["outcome"]) == ((False, False), "already")
    assert "n1 holds the lock, but does not validate: it is promoting" in told.warnings


def test_a_lock_that_can_not_be_seen_afterwards_is_no_change(
    fleet: WrittenFleet, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = sys.modules["ansible_collections.kuutamo.near.plugins.module_utils._orders"]

    def gone(*_unused: object) -> object:
        raise shared("consul.faults").ConsulError(shared("consul.faults").Fault.TIMEOUT, "no answer in time")

    monkeypatch.setattr(orders, "read_overview", gone)
    with Obedient(fleet, Outcome.REFUSED, "because"):
        told = ask("validator_handover", target="n2")
    assert (told.told, told["reason"], told["holder"], told["term"]) == ((True, False), "refused", None, None)
    with Obedient(fleet):
        told = ask("validator_handover", target="n2")
    assert (told.told, told["holder"], told["term"]) == ((False, True), "n2", None)


def test_a_request_whose_answer_is_lost_is_followed(fleet: WrittenFleet) -> None:
    with between(fleet.client.url, lost(request_key(fleet.account))) as broken, Obedient(fleet):
        told = run("validator_handover", account_id=fleet.account, **address(broken))
    assert (told.told, told["outcome"], told["holder"]) == ((False, True), "done", "n2")
    assert "it is not known whether Consul has request" in told.warnings
