# SPDX-License-Identifier: Apache-2.0
"""A deploy begins on no fleet that another run is changing; the lock is in a real Consul."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from kuutamo_localnet.consul import ConsulServer
from unit.playbooks.rig import ROOT
from unit.playbooks.test_lock import Playing
from unit.plays import Json, Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base")

LOOK = "tasks/look.yml"


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulServer]:
    """Without ACLs."""
    with ConsulServer() as server:
        yield server


@pytest.fixture
def playing(consul: ConsulServer, tmp_path: Path) -> Playing:
    """Nobody has the lock yet; no kuutamod runs on the hosts."""
    return Playing(consul, tmp_path, variables={"__fleet_node": {"running": None}})


def _checks() -> Json:
    """The play of deploy that is through before anything is changed."""
    plays = yaml.safe_load((ROOT / "playbooks/deploy.yml").read_text(encoding="utf-8"))
    found: Json = plays[1]
    assert found["name"] == "Check the hosts"
    return found


def judge(playing: Playing, *looked: Json, arguments: Sequence[str] = ()) -> Run:
    """What deploy does with what it has seen of the fleet, before anything is changed."""
    imported = [task["ansible.builtin.import_tasks"] for task in _checks()["tasks"]]
    after = imported[imported.index(LOOK) + 1 :]
    judged = [{"name": name, "ansible.builtin.import_tasks": str(ROOT / "playbooks" / name)} for name in after]
    done = {"name": "Deploy", "ansible.builtin.debug": {"msg": "it would begin"}}
    return playing.play(*looked, *judged, done, arguments=arguments)


LOOKED: list[Json] = [
    {"name": "Look", "kuutamo.near.validator_info": {}, "register": "seen", "run_once": True},
    {"name": "Keep it", "ansible.builtin.set_fact": {"__fleet_seen": "{{ seen }}"}, "run_once": True},
]
NOTHING: Json = {"name": "See nothing", "ansible.builtin.set_fact": {"__fleet_seen": {}}}


def test_it_is_judged_whatever_tags_are_chosen() -> None:
    assert _checks()["tags"] == ["always"]


def test_a_fleet_that_nobody_changes_is_deployed(playing: Playing) -> None:
    done = judge(playing, *LOOKED)
    assert (done.code, done.told("it would begin")) == (0, True), done.out


def test_the_lock_of_another_run_keeps_a_deploy_off(playing: Playing) -> None:
    playing.maintain(reason="removal of c", by="eve")
    refused = judge(playing, *LOOKED)
    assert (refused.code, refused.told("it would begin")) == (2, False), refused.out
    assert refused.told("Nothing has been changed. The fleet is under the maintenance lock of eve (removal of c)")
    assert playing.locked()


def test_check_mode_says_so_too(playing: Playing) -> None:
    playing.maintain(reason="removal of c")
    refused = judge(playing, *LOOKED, arguments=["--check"])
    assert (refused.code, refused.told("Nothing has been changed. The fleet is under the maintenance lock")) == (2, True)


def test_the_operator_may_say_that_the_other_run_is_dead(playing: Playing) -> None:
    playing.maintain(reason="a dead run")
    playing.variables["break_maintenance_lock"] = True
    done = judge(playing, *LOOKED)
    assert (done.code, done.told("it would begin")) == (0, True), done.out


def test_hosts_that_have_nothing_yet_have_no_lock(playing: Playing) -> None:
    done = judge(playing, NOTHING)
    assert (done.code, done.told("it would begin")) == (0, True), done.out
