# SPDX-License-Identifier: Apache-2.0
"""Which fleets deploy and add_node end well with, after they have waited."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from unit.playbooks.rig import ROOT, fleet, member
from unit.plays import Json

NO_STANDBY: Json = {"health": "no-standby", "verdict": "a holds the lock; no eligible standby"}


def _tasks() -> dict[str, Json]:
    """The tasks of the file, and those of its block, by their names."""
    tasks = yaml.safe_load((ROOT / "playbooks/tasks/wait_well.yml").read_text(encoding="utf-8"))
    return {task["name"]: task for task in [*tasks, *(each for task in tasks for each in task.get("block", []))]}


def _trusted(found: Json) -> Json:
    return {name: trust_as_template(text) if isinstance(text, str) else text for name, text in found.items()}


def _templar(seen: Json | None, states: Json, pending: Collection[str] = (), **more: Any) -> Templar:
    """What the tasks know: what Consul says of the fleet, each kuutamod's own state where it is another than its record's,
    and the hosts for which a restart is pending."""
    own = {node["node"]: node["state"] for node in (seen or {"nodes": []})["nodes"]} | states
    known = {
        "ansible_play_hosts": sorted(own),
        "groups": {"validators": sorted(own)},
        "hostvars": {
            name: {
                "inventory_hostname": name,
                "__fleet_own": {"json": {"state": state}},
                "__kuutamod_pending": ["environment"] if name in pending else [],
            }
            for name, state in own.items()
        },
        "__fleet_well": {"msg": "unreachable"} if seen is None else {"fleet": seen},
    }
    given = _trusted(_tasks()["Judge what they say"]["vars"])
    return Templar(loader=DataLoader(), variables={**given, **known, **more})


def judged(seen: Json | None, pending: Collection[str] = (), **states: str) -> str:
    """What is said to be wrong in the end; empty where the fleet is well, or on its way."""
    task = _tasks()["The fleet is well, or on its way"]
    templar = _templar(seen, states, pending, **_trusted(task["vars"]))
    judge = task["ansible.builtin.assert"]
    if templar.template(trust_as_template("{{ " + judge["that"] + " }}")):
        return ""
    return str(templar.template(trust_as_template(judge["fail_msg"])))


def looks(name: str, seen: Json, attempts: int, **states: str) -> bool:
    """Has the wait of this name ended with this answer, that came after so many looks?"""
    templar = _templar(seen, states, __fleet_well={"fleet": seen, "attempts": attempts}, __fleet_well_looks="60")
    return bool(templar.template(trust_as_template("{{ " + _tasks()[name]["until"] + " }}")))


def unready(name: str, *flags: str, **changes: Any) -> Json:
    """A member that could not take the lock now, for these reasons."""
    return member(name, eligible=False, flags=list(flags), **changes)


def test_a_fleet_with_a_standby_is_well() -> None:
    assert judged(fleet(member("a"), member("b"), unready("c", "drained"))) == ""


def test_a_validator_alone_has_no_standby_and_is_well() -> None:
    assert judged(fleet(member("a"), **NO_STANDBY)) == ""


@pytest.mark.parametrize("flag", ["drained", "paused", "few-peers", "frozen", "old-protocol", "no-neard", "foreign-key"])
def test_a_fleet_in_which_no_standby_can_take_over_is_not(flag: str) -> None:
    told = judged(fleet(member("a"), unready("b", flag), unready("c", flag, "settling"), **NO_STANDBY))
    assert "the fleet is not well: a holds the lock; no eligible standby" in told
    assert f"b ({flag})" in told
    assert f"c ({flag}, settling)" in told


def test_one_whose_neard_syncs_is_on_its_way() -> None:
    assert judged(fleet(member("a"), **NO_STANDBY), b="Syncing") == ""
    assert judged(fleet(member("a"), unready("b", "syncing", state="Syncing"), **NO_STANDBY)) == ""


@pytest.mark.parametrize("flag", ["hold-off", "settling", "new-watch"])
def test_one_that_only_lets_others_go_first_for_a_while_takes_over_all_the_same(flag: str) -> None:
    """After its neard has failed while it validated that is ten minutes, longer than anybody waits here."""
    assert judged(fleet(member("a"), unready("b", flag), unready("c", "drained"), **NO_STANDBY)) == ""


def test_one_that_is_restarted_next_may_be_mended_by_that() -> None:
    seen = fleet(member("a"), unready("b", "few-peers"), unready("c", "drained"), **NO_STANDBY)
    assert judged(seen, pending=["b"]) == ""
    # Who validates is not restarted.
    assert "b (few-peers), c (drained)" in judged(seen, pending=["a"])


@pytest.mark.parametrize("health", ["no-holder", "holder-unwell", "unknown"])
def test_a_fleet_without_a_validator_that_works_is_not_well(health: str) -> None:
    assert "is not well" in judged(fleet(member("a"), unready("b", "hold-off"), health=health), pending=["b"])


def test_who_is_neither_a_member_nor_syncing_is_named() -> None:
    told = judged(fleet(member("a"), member("b")), c="Startup")
    assert "neither members nor on their way are c" in told


def test_without_an_answer_the_fleet_is_not_well() -> None:
    assert "the fleet is not well: unreachable" in judged(None, a="Voting")


def test_a_fleet_without_a_standby_is_waited_for_unless_there_is_one_validator_only() -> None:
    wait = "Wait until the fleet is well"
    assert not looks(wait, fleet(member("a"), unready("b", "settling"), **NO_STANDBY), 1)
    assert looks(wait, fleet(member("a"), **NO_STANDBY), 1)
    assert looks(wait, fleet(member("a"), member("b")), 1)


def test_who_comes_last_is_looked_for_once_more() -> None:
    once_more = "Look once more, for who came last"
    assert looks(once_more, fleet(member("a"), member("b")), 1)
    assert not looks(once_more, fleet(member("a"), member("b")), 1, c="Startup")
    settles = fleet(member("a"), unready("b", "few-peers"), **NO_STANDBY)
    assert not looks(once_more, settles, 1)
    assert looks(once_more, settles, 11)
