# SPDX-License-Identifier: Apache-2.0
"""Who is restarted in which order, and what forbids it."""

from __future__ import annotations

from typing import Any

import pytest

from unit.playbooks.rig import fleet, member, node, rules, three
from unit.plays import Json

_rolling, _protocol = rules("_rolling"), rules("_protocol")
Target = _rolling.Target
NEW = Target(kuutamod="k2", neard="n2")
OLD = Target(kuutamod="k1", neard="n1")
ALL = ("a", "b", "c")


def old_nodes() -> dict[str, Json]:
    return {name: node() for name in ALL}


def to_new(names: tuple[str, ...] = ALL) -> dict[str, Any]:
    return dict.fromkeys(names, NEW)


def test_standbys_come_first_and_the_holder_last() -> None:
    plan = _rolling.plan(three(), old_nodes(), to_new(), ALL)
    assert (plan.first, plan.last, plan.refusals) == (("b", "c"), "a", ())
    assert plan.why["b"] == ("kuutamod k1 runs, k2 is wanted", "neard n1 runs, n2 is wanted")


def test_what_runs_the_target_is_done() -> None:
    nodes = {"a": node(), "b": node("k2", "n2"), "c": node()}
    plan = _rolling.plan(three(), nodes, to_new(), ALL)
    assert (plan.first, plan.last, plan.done) == (("c",), "a", ("b",))


def test_nothing_to_do_refuses_nothing() -> None:
    broken = three(health="holder-unwell", verdict="a holds the lock, but")
    plan = _rolling.plan(broken, {name: node("k2", "n2") for name in ALL}, to_new(), ALL)
    assert (plan.first, plan.last, plan.refusals) == ((), "", ())


def test_a_pending_restart_counts_without_a_target() -> None:
    nodes = {**old_nodes(), "c": node(pending=["environment"])}
    plan = _rolling.plan(three(), nodes, {}, ALL)
    assert plan.first == ("c",)
    assert plan.why["c"] == ("environment has changed",)


def test_who_is_out_already_is_mended_first() -> None:
    out = fleet(member("a"), member("b"), member("c", eligible=False, state="Syncing", flags=["syncing"]))
    plan = _rolling.plan(out, old_nodes(), to_new(), ALL)
    assert (plan.first, plan.refusals) == (("c", "b"), ())


REFUSED = [
    ({"health": "no-holder", "verdict": "nobody holds the lock; no eligible standby"}, "nobody holds the lock"),
    ({"pauses": [{"node": None, "reason": "audit"}]}, "the fleet is paused (audit)"),
    ({"request": {"pending": True, "ask": "handover", "by": "eve"}}, "another request is pending: handover by eve"),
    ({"consul": None}, "Consul's health can't be read"),
    ({"consul": {"leader": None, "servers": 3, "healthy_voters": 2, "failure_tolerance": 0}}, "Consul has no leader"),
    (
        {"consul": {"leader": "x", "servers": 3, "healthy_voters": None, "failure_tolerance": 1, "estimated": "no right"}},
        "Consul does not say how many servers may be lost: no right",
    ),
    (
        {"consul": {"leader": "x", "servers": 3, "healthy_voters": 2, "failure_tolerance": 0}},
        "Consul tolerates no loss: 2 of 3 servers are healthy",
    ),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=[words for _changes, words in REFUSED])
def test_a_fleet_that_is_not_well_is_left_alone(changes: Json, words: str) -> None:
    plan = _rolling.plan(three(**changes), old_nodes(), to_new(), ALL)
    assert any(words in refusal for refusal in plan.refusals)


def test_a_request_that_nobody_ends_any_more_keeps_nobody_off() -> None:
    asked = {"outcome": None, "pending": False, "ask": "restart", "by": "eve"}
    assert _rolling.plan(three(request=asked), old_nodes(), to_new(), ALL).refusals == ()


def test_inventory_and_consul_have_to_name_the_same_nodes() -> None:
    seen = fleet(member("a"), member("b"), member("x"))
    plan = _rolling.plan(seen, {**old_nodes(), "c": node("k2", "n2")}, to_new(), ALL)
    assert "c is in the inventory, but has no live member record in Consul; start it or remove it" in plan.refusals
    assert "x is a live member in Consul, but not in the inventory; add it or use remove_node" in plan.refusals


def test_a_node_that_is_out_and_not_to_be_changed_forbids_the_rest() -> None:
    out = fleet(member("a"), member("b"), member("c", eligible=False, flags=["drained"]))
    plan = _rolling.plan(out, {**old_nodes(), "c": node("k2", "n2")}, to_new(), ALL)
    assert plan.refusals == ("c is out already (drained) and this run would not mend it; see to it first",)


def test_a_lone_validator_has_nobody_to_hand_over_to() -> None:
    plan = _rolling.plan(fleet(member("a"), health="no-standby"), {"a": node()}, {"a": NEW}, ("a",))
    assert "there is one validator only" in plan.refusals[0]


def test_a_stopped_kuutamod_is_started_and_comes_first() -> None:
    """Also where it would be the only thing to do: an upgrade or a rollback is how to mend what an upgrade has broken."""
    seen = fleet(member("a"), member("c"))
    plan = _rolling.plan(seen, {**old_nodes(), "b": node(running=None)}, to_new(), ALL)
    assert (plan.first, plan.refusals) == (("b", "c"), ())
    alone = _rolling.plan(seen, {"a": node(), "b": node(running=None), "c": node()}, {}, ALL)
    assert (alone.first, alone.why, alone.refusals) == (("b",), {"b": ("kuutamod does not run",)}, ())
    assert _rolling.not_ready(three(), node(running=None), "b", NEW, 5) == ["kuutamod does not run"]


def test_a_node_whose_new_release_never_becomes_a_member_can_go_back() -> None:
    nodes = {"a": node(), "b": node("k2", "n2"), "c": node()}
    plan = _rolling.plan(fleet(member("a"), member("c")), nodes, {"b": OLD}, ALL)
    assert (plan.first, plan.refusals) == (("b",), ())


def test_two_nodes_without_a_record_are_one_too_many() -> None:
    nodes = {"a": node(), "b": node(running=None), "c": node(running=None)}
    plan = _rolling.plan(fleet(member("a"), health="no-standby"), nodes, {}, ALL)
    assert plan.refusals == ("b, c have no live member record, and never more than one may be out; mend one by hand",)


def test_never_more_than_one_node_is_out() -> None:
    out = fleet(member("a"), member("b"), member("c", eligible=False, flags=["settling"]))
    assert _rolling.may_restart(out, "b", ALL) == ["c is out (settling), and never more than one node may be"]
    assert _rolling.may_restart(out, "c", ALL) == []
    assert _rolling.may_restart(fleet(member("a"), member("b")), "b", ALL) == [
        "c is out (silent), and never more than one node may be"
    ]


def test_the_holder_is_never_taken_out() -> None:
    assert _rolling.may_restart(three(), "a", ALL) == ["a holds the lock by now; it is restarted only after a handover"]


def test_a_node_is_back_with_its_releases_and_its_head() -> None:
    assert _rolling.not_ready(three(), node("k2", "n2"), "b", NEW, 5) == []
    assert _rolling.not_ready(three(), node("k2", "n1"), "b", NEW, 5) == ["neard n1 runs, n2 is wanted"]
    behind = fleet(member("a"), member("b", height=990), member("c"))
    assert _rolling.not_ready(behind, node("k2", "n2"), "b", NEW, 5) == ["its head 990 is more than 5 blocks behind 1000"]
    late = fleet(member("a"), member("b", eligible=False, flags=["settling"]), member("c"))
    assert _rolling.not_ready(late, node("k2", "n2"), "b", NEW, 5) == ["it is not eligible: settling"]
    assert _rolling.not_ready(fleet(member("a")), node("k2", "n2"), "b", NEW, 5) == ["it has no live member record"]


VERSIONS = {
    "n1": {"release": "2.11.0", "protocol": 83, "min_protocol": 80, "db": 47},
    "n2": {"release": "2.12.0", "protocol": 84, "min_protocol": 81, "db": 48},
    "far": {"release": "3.0.0", "protocol": 90, "min_protocol": 83, "db": 48},
    "strange": {"release": "4.0.0", "protocol": 85, "min_protocol": 84, "db": 48},
    "ancient": {"release": "2.0.0", "protocol": 80, "min_protocol": 70, "db": 40},
    "same": {"release": "2.11.1", "protocol": 83, "min_protocol": 80, "db": 46},
    "broken": {"release": "", "protocol": None, "min_protocol": None, "db": None, "fault": "it can't be started"},
    "mute": {"release": "2.11.0", "protocol": None, "min_protocol": None, "db": None},
}

STEPS = [
    ("n2", ""),
    ("n1", ""),
    ("", ""),
    ("far", "neard far speaks protocol 90, 7 ahead of the network's 83, and 3 are allowed"),
    ("strange", "neard strange needs protocol 84 at least, the network has 83"),
    ("ancient", "neard ancient speaks protocol 80, the network 83: it would stop at once"),
    ("same", "neard same has database version 46, the one that runs (n1) 47: a database can't go back"),
    ("broken", "it can't be started"),
    ("mute", "neard mute does not tell its protocol version"),
    ("lost", "neard lost is not installed"),
]


@pytest.mark.parametrize(("target", "words"), STEPS, ids=[target or "none" for target, _words in STEPS])
def test_steps_of_neard(target: str, words: str) -> None:
    info = node(neard="n1")
    info["neard"]["versions"] = VERSIONS
    faults = _protocol.step_faults(three(), info, target, 3)
    assert bool(faults) == bool(words)
    assert any(fault.startswith(words) for fault in faults) or not words


def test_a_network_that_nobody_sees_allows_no_step() -> None:
    info = node()
    info["neard"]["versions"] = VERSIONS
    unknown = fleet(member("a", protocol=None), member("b", protocol=None))
    assert _protocol.step_faults(unknown, info, "n2", 3) == [
        "the network's protocol version is not known: no neard of the fleet answers"
    ]
