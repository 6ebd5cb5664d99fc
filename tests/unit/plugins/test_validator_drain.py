# SPDX-License-Identifier: Apache-2.0
"""validator_drain on a real Consul, with nodes played by the test."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from integration.between import between, lost
from integration.written_fleet import WrittenFleet
from kuutamod.core.protocol import Ask as Kind
from kuutamod.core.protocol import FleetConfig, Outcome, Request, config_key, lock_key, member_key, request_key
from unit.plugins.obedient import Obedient
from unit.plugins.rig import Answer, address, module, run, shared
from unit.plugins.test_validator_handover import request_of
from unit.plugins.test_validator_pause import config_of

Ask = Callable[..., Answer]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes of a written fleet never say that they have heard of a mark."""
    monkeypatch.setattr(module("validator_drain"), "HEARD", 0.0)
    monkeypatch.setattr(module("validator_drain"), "SPREAD", 0.0)


def takes_it_meanwhile(fleet: WrittenFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """n2 takes the lock after the module has looked, and before its mark is written."""
    orders = shared("consul.orders")
    real = orders.change_config

    def change_config(*arguments: object) -> object:
        fleet.release("n1", 7, "neard failed")
        fleet.join("n1", state="Voting", phase="", eligible=True, promotion="hot-swap", latest_protocol=84)
        fleet.hold("n2", 8)
        fleet.join("n2", state="Validating", phase="active", term_seen=8, promotion="hot-swap", latest_protocol=84)
        return real(*arguments)

    monkeypatch.setattr(orders, "change_config", change_config)


def test_a_standby_is_marked_and_unmarked(fleet: WrittenFleet, ask: Ask) -> None:
    told = ask("validator_drain", node="n2", diff=True)
    assert (told.told, told["drained"], told["outcome"]) == ((False, True), True, None)
    assert told["diff"] == {"before": {"holder": "n1", "drained": False}, "after": {"holder": "n1", "drained": True}}
    assert config_of(fleet).no_takeover == ("n2",)
    assert ask("validator_drain", node="n2").told == (False, False)
    undone = ask("validator_drain", node="n2", state="absent")
    assert (undone.told, undone["drained"]) == ((False, True), False)
    assert config_of(fleet).no_takeover == ()
    assert ask("validator_drain", node="n2", state="absent").told == (False, False)
    assert request_of(fleet) is None


def test_the_holder_hands_over_first(fleet: WrittenFleet, ask: Ask) -> None:
    with Obedient(fleet) as nodes:
        told = ask("validator_drain", node="n1", diff=True)
    assert (told.told, told["drained"], told["outcome"]) == ((False, True), True, "done")
    assert (told["previous_holder"], told["holder"], told["candidate"], told["gap"]) == ("n1", "n2", "n2", 1.0)
    assert told["diff"]["after"] == {"holder": "n2", "drained": True}
    assert nodes.answered[0].reason == "drain n1"
    assert config_of(fleet).no_takeover == ("n1",)


def test_a_holder_whose_handover_fails_is_not_drained(fleet: WrittenFleet, ask: Ask) -> None:
    with Obedient(fleet, Outcome.REFUSED, "because"):
        told = ask("validator_drain", node="n1")
    assert (told.told, told["reason"], told["msg"]) == ((True, False), "refused", "refused: because")
    assert config_of(fleet).no_takeover == ()


@pytest.mark.parametrize("check", [True, False])
def test_the_last_one_that_could_validate_stays(fleet: WrittenFleet, ask: Ask, check: bool) -> None:
    assert fleet.client.kv_put(config_key(fleet.account), FleetConfig(no_takeover=("n2", "n3")).to_json())
    told = ask("validator_drain", node="n1", check=check)
    assert (told.told, told["reason"]) == ((True, False), "no_candidate")
    assert told["msg"].startswith("refused: nothing has changed: n1 holds the lock, and no standby can take over")
    assert "n1" not in config_of(fleet).no_takeover


def test_check_mode_returns_the_plan_and_writes_nothing(fleet: WrittenFleet, ask: Ask) -> None:
    before = fleet.client.kv_list("")
    told = ask("validator_drain", node="n1", check=True, diff=True)
    assert (told.told, told["outcome"], told["candidate"], told["drained"]) == ((False, True), "planned", "n2", False)
    assert told["diff"]["after"] == {"holder": "n2", "drained": True}
    assert ask("validator_drain", node="n2", check=True).told == (False, True)
    assert fleet.client.kv_list("") == before


def test_an_unknown_node_is_refused_but_undrained(fleet: WrittenFleet, ask: Ask) -> None:
    told = ask("validator_drain", node="n9")
    assert (told.told, told["reason"]) == ((True, False), "no_node")
    assert "there is no node n9; there are n1, n2, n3" in told["msg"]
    fleet.silence("n3")
    assert fleet.client.kv_delete(member_key(fleet.account, "n3"))
    assert fleet.client.kv_put(config_key(fleet.account), FleetConfig(no_takeover=("n3",)).to_json())
    # It is what is wanted, and its record may be back at any moment.
    assert ask("validator_drain", node="n3").told == (False, False)
    # A host that is gone for good has to be forgotten some time.
    assert fleet.client.kv_put(config_key(fleet.account), FleetConfig(no_takeover=("n9",)).to_json())
    assert ask("validator_drain", node="n9", state="absent").told == (False, True)
    assert config_of(fleet).no_takeover == ()


def test_who_takes_the_lock_before_the_mark_hands_over(
    fleet: WrittenFleet, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes_it_meanwhile(fleet, monkeypatch)
    with Obedient(fleet) as nodes:
        told = ask("validator_drain", node="n2", diff=True)
    assert (told.told, told["drained"], told["outcome"]) == ((False, True), True, "done"), told
    assert (told["previous_holder"], told["previous_term"], told["term"]) == ("n1", 7, 9)
    assert told["holder"] in ("n1", "n3")
    assert (nodes.answered[0].holder, nodes.answered[0].term) == ("n2", 8)
    assert told["diff"]["after"] == {"holder": told["holder"], "drained": True}


def test_who_takes_the_lock_before_the_mark_and_does_not_hand_over_is_told(
    fleet: WrittenFleet, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes_it_meanwhile(fleet, monkeypatch)
    with Obedient(fleet, Outcome.REFUSED, "because"):
        told = ask("validator_drain", node="n2")
    assert (told.told, told["drained"], told["reason"], told["holder"]) == ((True, True), True, "refused", "n2"), told


def test_who_takes_the_lock_before_the_mark_and_can_not_hand_over_is_told(
    fleet: WrittenFleet, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fleet.client.kv_put(config_key(fleet.account), FleetConfig(no_takeover=("n1", "n3")).to_json())
    takes_it_meanwhile(fleet, monkeypatch)
    told = ask("validator_drain", node="n2")
    assert (told.told, told["drained"], told["reason"], told["holder"]) == ((True, True), True, "no_candidate", "n2")
    assert "n2 is drained, but had taken the lock before it knew that: n2 holds the lock, and " in told["msg"]


def at_the_third_look(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> list[object]:
    """The node says something else when the module looks for the third time, for which it has time. All looks."""
    drain = module("validator_drain")
    monkeypatch.setattr(drain, "HEARD", 60.0)
    real, looks = drain.look, []

    def look(to: object) -> object:
        looks.append(to)
        if len(looks) == 3:
            change()
        return real(to)

    monkeypatch.setattr(drain, "look", look)
    return looks


def test_it_waits_until_the_node_knows(fleet: WrittenFleet, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ask("validator_drain", node="n2")
    assert "n2 is drained, but has not said within 0 s that it knows" in told.warnings
    looks = at_the_third_look(monkeypatch, lambda: fleet.join("n3", ineligible=("drained",)))
    told = ask("validator_drain", node="n3")
    assert (told.told, len(looks), told.warnings) == ((False, True), 3, "[]")


def test_it_waits_until_the_node_knows_that_it_may_again(
    fleet: WrittenFleet, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it refuses a handover."""
    ask("validator_drain", node="n3")
    fleet.join("n3", ineligible=("drained",))
    told = ask("validator_drain", node="n3", state="absent")
    assert (told.told, told["drained"]) == ((False, True), False)
    assert "n3 has not said within 0 s that it knows" in told.warnings
    ask("validator_drain", node="n3")
    looks = at_the_third_look(monkeypatch, lambda: fleet.join("n3", eligible=True))
    told = ask("validator_drain", node="n3", state="absent")
    assert (told.told, len(looks), told.warnings) == ((False, True), 3, "[]")


@pytest.mark.parametrize("check", [True, False])
def test_a_holder_without_a_live_record_can_not_be_drained(fleet: WrittenFleet, ask: Ask, check: bool) -> None:
    """Somebody holds the lock with its value, and nobody is there to be asked."""
    other = fleet.client.session_create("other", LockDelay="0s")
    fleet.release("n1", 7, "stopped")
    held = fleet.client.kv_get(lock_key(fleet.account))
    assert held is not None
    assert fleet.client.kv_put(lock_key(fleet.account), held.value.decode(), acquire=other)
    told = ask("validator_drain", node="n1", check=check)
    elsewhere = ask("validator_drain", node="n2", check=check)
    fleet.client.session_destroy(other)
    assert (told.told, told["reason"], told["drained"]) == ((True, False), "no_holder", False)
    assert "nothing has changed: n1 holds the lock, and it has no live member record" in told["msg"]
    assert elsewhere.told == (False, True)


def test_a_mark_whose_answer_is_lost_may_have_been_written(fleet: WrittenFleet) -> None:
    with between(fleet.client.url, lost(config_key(fleet.account))) as broken:
        told = run("validator_drain", node="n2", account_id=fleet.account, **address(broken))
    assert (told.told, told["drained"], told["reason"]) == ((True, True), None, "unreachable")
    assert "may have been written all the same" in told["msg"]


def test_a_mark_that_can_not_be_made_after_a_handover_tells_of_both(fleet: WrittenFleet) -> None:
    with between(fleet.client.url, lost(config_key(fleet.account))) as broken, Obedient(fleet):
        told = run("validator_drain", node="n1", account_id=fleet.account, **address(broken))
    assert (told.told, told["holder"], told["outcome"]) == ((True, True), "n2", "done")
    assert told["msg"].startswith("the lock was handed over to n2, but ")


def test_a_pending_request_and_damaged_settings_are_told_with_all_that_is_promised(fleet: WrittenFleet, ask: Ask) -> None:
    now = time.time()
    other = Request("r1", Kind.HANDOVER, "n1", 7, now, now + 60, node="n3", by="bob@desk")
    assert fleet.client.kv_put(request_key(fleet.account), other.to_json())
    told = ask("validator_drain", node="n1")
    assert (told["reason"], told["drained"], told["holder"]) == ("pending", False, "n1")
    assert fleet.client.kv_put(config_key(fleet.account), "[]")
    told = ask("validator_drain", node="n2")
    assert (told["reason"], told["drained"], told["holder"]) == ("conflict", None, "n1")
