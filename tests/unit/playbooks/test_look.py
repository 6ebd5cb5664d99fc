# SPDX-License-Identifier: Apache-2.0
"""Whether the playbooks take what Consul says of its servers, or look once more."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from unit.playbooks.rig import ROOT
from unit.plays import Json

SOUND: Json = {"servers": 3, "failure_tolerance": 1, "estimated": False}


def taken(consul: Any, attempts: int = 1) -> bool:
    """Is this answer taken, that came after so many looks?"""
    tasks = yaml.safe_load((ROOT / "playbooks/tasks/look.yml").read_text(encoding="utf-8"))
    (task,) = [task for task in tasks if "until" in task]
    given = {name: trust_as_template(text) for name, text in task["vars"].items()}
    answer = {"attempts": attempts, **({} if consul is None else {"consul": consul})}
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
