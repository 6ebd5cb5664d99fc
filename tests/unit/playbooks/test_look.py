# SPDX-License-Identifier: Apache-2.0
"""How the playbooks look at hosts and fleet: when they look once more, and at what they tell the clocks apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from unit.playbooks.rig import ROOT
from unit.plays import Json, Run, play

SOUND: Json = {"servers": 3, "failure_tolerance": 1, "estimated": False}


def taken(consul: Any, attempts: int = 1, **fleet: Any) -> bool:
    """Is this answer taken, that came after so many looks? ``fleet``: what else it says."""
    tasks = yaml.safe_load((ROOT / "playbooks/tasks/look.yml").read_text(encoding="utf-8"))
    (task,) = [task for task in tasks if "until" in task]
    given = {name: trust_as_template(text) for name, text in task["vars"].items()}
    answer = {"attempts": attempts, **({} if consul is None else {"consul": consul}), **fleet}
    templar = Templar(loader=DataLoader(), variables={**given, task["register"]: answer})
    return bool(templar.template(trust_as_template("{{ " + task["until"] + " }}")))


@pytest.mark.parametrize("consul", [None, {}, SOUND, {**SOUND, "servers": 5, "failure_tolerance": 2}])
def test_a_cluster_that_tolerates_a_loss_is_taken_at_once_and_so_is_no_answer(consul: Json | None) -> None:
    assert taken(consul)


@pytest.mark.parametrize("servers", [1, 2])
def test_one_that_never_tolerates_a_loss_is_not_waited_for(servers: int) -> None:
    assert taken({"servers": servers, "failure_tolerance": 0, "estimated": False})


@pytest.mark.parametrize("odd", [{"failure_tolerance": 0}, {"failure_tolerance": None}, {"estimated": True}])
def test_what_may_pass_in_seconds_is_looked_at_again_and_then_taken(odd: Json) -> None:
    assert [taken({**SOUND, **odd}, attempts) for attempts in (1, 2, 3)] == [False, False, True]


def said(health: str, holder: str | None = None, candidates: tuple[str, ...] = (), *reasons: list[str]) -> Json:
    """What validator_info says of a fleet; ``reasons``: what keeps each member from taking the lock."""
    members = [{"node": f"host-{number}", "reasons": codes} for number, codes in enumerate(reasons)]
    return {"health": health, "holder": holder, "candidates": list(candidates), "members": members}


@pytest.mark.parametrize(
    "fleet",
    [
        said("well", "a", ("b",), [], []),
        said("no-standby", "a", (), []),
        # Another standby syncs, is drained or is gone.
        said("no-standby", "a", (), [], ["syncing"]),
        said("well", "a", ("b",), [], [], ["drained"], ["silent"]),
        # Just set up, with or without records; all neards sync; all are stopped.
        said("no-holder"),
        said("no-holder", None, (), ["no-neard"], ["unregistered"]),
        said("no-holder", None, (), ["syncing"], ["syncing"]),
        said("no-holder", None, (), ["silent"], ["silent"]),
    ],
)
def test_a_fleet_that_will_not_change_in_seconds_is_taken_at_once(fleet: Json) -> None:
    assert taken(SOUND, **fleet)
    # One server, or a token that may not see the servers.
    assert taken({**SOUND, "servers": 1, "failure_tolerance": 0}, **fleet)
    assert taken(None, **fleet)


@pytest.mark.parametrize(
    "fleet",
    [
        # Its neard has not answered for 2 s, or does not validate yet.
        said("holder-unwell", "a", ("b",), ["no-answer"], []),
        said("holder-unwell", "a", ("b",), [], []),
        said("no-standby", "a", (), [], ["no-answer"]),
        said("well", "a", ("b",), [], [], ["no-answer", "hold-off"]),
        # A takeover: the holder is gone, a standby is about to take the lock, or nobody is for a moment.
        said("no-holder", "a", ("b",), ["silent"], []),
        said("no-holder", None, ("b",), [], []),
        said("no-holder", None, (), ["no-answer"], ["no-answer"]),
        said("unknown", None, ()),
    ],
)
def test_a_fleet_that_may_be_well_in_seconds_is_looked_at_again_and_then_taken(fleet: Json) -> None:
    assert [taken(SOUND, attempts, **fleet) for attempts in (1, 2, 3)] == [False, False, True]
    assert not taken({**SOUND, "servers": 1, "failure_tolerance": 0}, **fleet)


# An ssh that runs what it is given on this machine; it writes down when the first login was over. No login to "gone".
SSH = """#!/bin/sh
for command; do :; done
case $command in */bin/sh*) ;; *) exit 0;; esac
case "$*" in *gone*) echo >>{folder}/gone; exit 255;; esac
[ -e {folder}/login ] || { sleep 1; date +%s.%N >{folder}/login; }
exec sh -c "$command"
"""


def look(folder: Path, *hosts: str, tolerant: bool = False) -> Run:
    """Look at hosts without Consul and kuutamod, by ssh."""
    ssh = folder / "ssh"
    ssh.write_text(SSH.replace("{folder}", str(folder)), encoding="utf-8")
    ssh.chmod(0o755)
    given: Json = {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh), "ansible_ssh_retries": 0}
    tasks: list[Json] = [
        {"name": "Look", "ansible.builtin.import_tasks": str(ROOT / "playbooks/tasks/look.yml")},
        {
            "name": "Tell",
            "ansible.builtin.debug": {"msg": "{{ 'seen=' ~ __fleet_nodes | join(',') ~ ' asked=' ~ __asked }}"},
            "run_once": True,
            "vars": {"__asked": "{{ '%.6f' | format(__fleet_node.at - __fleet_node.clock_offset) }}"},
        },
    ]
    return play(
        folder,
        tasks,
        dict.fromkeys(hosts, given),
        groups={"validators": hosts},
        __fleet_neard_user="nobody",
        __fleet_scheme="http",
        __fleet_port=1,
        __fleet_ca_path="/none",
        __fleet_python="/none",
        __fleet_tolerant=tolerant,
    )


def test_the_clocks_are_told_apart_after_the_login(tmp_path: Path) -> None:
    done = look(tmp_path, "here")
    assert done.code == 0, done.out
    asked = re.search(r"asked=([\d.]+)", done.out)
    assert asked is not None, done.out
    assert float(asked[1]) > float((tmp_path / "login").read_text())


def test_a_host_that_is_not_reached_is_left_out_where_that_is_allowed(tmp_path: Path) -> None:
    done = look(tmp_path, "here", "gone", tolerant=True)
    assert (done.code, done.told("seen=here asked=")) == (0, True), done.out
    # It is not waited for a second time.
    assert (tmp_path / "gone").read_text() == "\n"


def test_a_host_that_is_not_reached_ends_its_part_elsewhere(tmp_path: Path) -> None:
    done = look(tmp_path, "here", "gone")
    assert (done.code, done.told("seen=here asked=")) == (4, True), done.out
    assert set(done.faults) == {"gone"}
