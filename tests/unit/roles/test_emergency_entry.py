# SPDX-License-Identifier: Apache-2.0
"""While a neard that was started by hand signs, the role starts and restarts no kuutamod on any host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.plays import Json, include, play
from unit.roles.rig import systemctl

HOSTS: dict[str, Json] = {"node0": {}, "node1": {}}
SILENT: Json = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}


@pytest.mark.parametrize("state", ["active", "activating"])
@pytest.mark.parametrize("entry", ["emergency", "restart"])
def test_it_is_refused_by_the_names_of_the_hosts(tmp_path: Path, entry: str, state: str) -> None:
    programs = systemctl(tmp_path / "bin", f"ActiveState={state}")
    done = play(tmp_path, [include("kuutamod", entry)], HOSTS, programs=programs)
    assert done.code != 0
    assert done.told("neard-emergency.service runs on node0, node1: a neard that signs")
    assert done.told("systemctl stop neard-emergency.service")
    assert "restart" not in (programs / "log").read_text()


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_what_has_ended_is_no_hindrance(tmp_path: Path, state: str) -> None:
    programs = systemctl(tmp_path / "bin", f"ActiveState={state}")
    assert play(tmp_path, [include("kuutamod", "emergency")], HOSTS, programs=programs).code == 0


def test_a_host_that_the_run_leaves_out_is_asked_too(tmp_path: Path) -> None:
    programs = systemctl(tmp_path / "bin", "ActiveState=active")
    tasks = [include("kuutamod", "emergency")]
    done = play(tmp_path, tasks, HOSTS, "--limit=node0", groups={"validators": ["node0", "node1"]}, programs=programs)
    assert done.code != 0
    assert done.told("neard-emergency.service runs on node0, node1: a neard that signs")


@pytest.mark.parametrize("limit", ["node0", "all,!node2"])
def test_a_host_that_cannot_be_asked_is_a_reason_to_stop_unless_it_is_known_to_be_off(tmp_path: Path, limit: str) -> None:
    programs = systemctl(tmp_path / "bin", "ActiveState=inactive")
    tasks = [include("kuutamod", "emergency"), {"name": "Done", "ansible.builtin.debug": {"msg": "went on"}}]
    tasks = [{"name": "As the playbooks do", "any_errors_fatal": True, "block": tasks}]
    hosts, groups = HOSTS | {"node2": SILENT}, {"validators": [*HOSTS, "node2"]}
    done = play(tmp_path, tasks, hosts, f"--limit={limit}", groups=groups, programs=programs)
    assert done.code != 0
    assert not done.told("went on")
    assert done.told("whether neard-emergency.service runs on node2: ")
    off = {"kuutamod_hosts_off": ["node2"]}
    assert done.told(f"-e '{json.dumps(off)}'")
    done = play(tmp_path, tasks, hosts, f"--limit={limit}", groups=groups, programs=programs, extra=off)
    assert done.code == 0, done.out
    assert done.told("went on")


def test_a_host_that_is_said_to_be_off_and_answers_nonsense_is_not_off(tmp_path: Path) -> None:
    programs = systemctl(tmp_path / "bin", "ActiveState=inactive")
    hosts: dict[str, Json] = {"node0": {}, "node1": {"ansible_python_interpreter": "/nowhere/python"}}
    off = {"kuutamod_hosts_off": ["node1"]}
    tasks, groups = [include("kuutamod", "emergency")], {"validators": [*hosts]}
    done = play(tmp_path, tasks, hosts, "--limit=node0", groups=groups, programs=programs, extra=off)
    assert done.code != 0
    assert done.told("whether neard-emergency.service runs on node1: ")


def test_a_host_that_is_said_to_be_off_and_is_not_is_asked(tmp_path: Path) -> None:
    programs = systemctl(tmp_path / "bin", "ActiveState=active")
    off = {"kuutamod_hosts_off": ["node0", "node1"]}
    done = play(tmp_path, [include("kuutamod", "emergency")], HOSTS, programs=programs, extra=off)
    assert done.told("neard-emergency.service runs on node0, node1")
