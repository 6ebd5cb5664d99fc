# SPDX-License-Identifier: Apache-2.0
"""The Ansible modules on real processes: what they ask for is done, once, and the referee sees no second signer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.operator_line import ctl, ended, in_order, request
from integration.scenario import SHORT_HOLD_OFF, Stage, heal, rested, single
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import Outcome, Step, maintenance_key
from unit.plugins.rig import Answer, address, collections, run

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]
Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("modules"), FleetSpec(environment=SHORT_HOLD_OFF)) as made:
        yield made


@pytest.fixture
def stage(fleet: Stage) -> Iterator[Stage]:
    heal(fleet)
    for node in fleet.fleet.nodes:
        ctl(fleet, "undrain", node.name)
    yield fleet
    fleet.safe()


@pytest.fixture
def ask(stage: Stage) -> Ask:
    """Run a module about the fleet."""

    def asking(name: str, **options: Any) -> Answer:
        return run(name, **{"account_id": stage.account, **address(stage.client().url), **options})

    return asking


def test_a_handover_is_planned_done_and_not_repeated(stage: Stage, ask: Ask) -> None:
    holder = rested(stage)
    term, candidate = stage.term(), stage.fleet.standbys(holder)[-1]
    options = {"target": candidate.name, "expect_holder": holder.name, "reason": "new disk", "by": "alice@desk"}
    seen = ask("validator_info")
    assert (seen["holder"], seen["health"], len(seen["candidates"])) == (holder.name, "well", 2)
    plan = ask("validator_handover", check=True, diff=True, **options)
    assert (plan.told, plan["outcome"], plan["candidate"]) == ((False, True), "planned", candidate.name)
    assert stage.term() == term
    done = ask("validator_handover", diff=True, **options)
    assert (done.told, done["outcome"]) == ((False, True), "done"), done
    assert (done["previous_holder"], done["holder"], done["term"]) == (holder.name, candidate.name, term + 1)
    assert done["diff"] == plan["diff"]
    assert in_order([each["phase"] for each in done["phases"]]), done["phases"]
    assert 0 <= done["gap"] <= done["duration"]
    assert stage.holder() is candidate
    again = ask("validator_handover", **options)
    assert (again.told, again["outcome"], stage.term()) == ((False, False), "already", term + 1)
    changed = ask("validator_handover", expect_holder=holder.name)
    assert (changed.told, changed["reason"]) == ((True, False), "holder_changed")
    stage.healthy()


def test_the_holder_is_drained_after_a_handover(stage: Stage, ask: Ask) -> None:
    holder = rested(stage)
    done = ask("validator_drain", node=holder.name)
    assert (done.told, done["drained"], done["outcome"]) == ((False, True), True, "done")
    assert stage.holder().name == done["holder"] != holder.name
    assert ask("validator_drain", node=holder.name).told == (False, False)

    def is_member() -> bool:
        """It has no record while its neard starts again."""
        return holder.name in [each["node"] for each in ask("validator_info")["members"]]

    eventually(is_member, 60, "the former holder is a member again")
    refused = ask("validator_handover", target=holder.name)
    assert (refused["reason"], "is drained" in refused["msg"]) == ("no_candidate", True), refused["msg"]
    assert ask("validator_drain", node=holder.name, state="absent").told == (False, True)
    stage.healthy()


def test_a_pause_and_the_maintenance_lock_are_shown(stage: Stage, ask: Ask) -> None:
    rested(stage)
    assert ask("validator_pause", reason="new switch", by="alice@desk").told == (False, True)
    lock = ask("validator_maintenance", reason="kernel update", by="bob@desk")
    table = " ".join(ctl(stage, "status").stdout.split())
    shown = ask("validator_info")
    assert ask("validator_maintenance", state="absent", session=lock["session"]).told == (False, True)
    assert ask("validator_pause", state="absent").told == (False, True)
    assert "by alice@desk: new switch" in table
    assert "maintenance by bob@desk for " in table
    assert shown["maintenance"]["reason"] == "kernel update"
    assert stage.client().kv_get(maintenance_key(stage.account)) is None
    stage.healthy()


def test_a_run_that_is_killed_leaves_the_handover_to_the_fleet(stage: Stage) -> None:
    holder = rested(stage)
    candidate, before = stage.fleet.standbys(holder)[0], request(stage)
    holder.behaviour(close_delay=3.0)
    to = {"account_id": stage.account, "target": candidate.name, **address(stage.client().url)}
    text = (
        "import json, sys\nfrom ansible.module_utils.testing import patch_module_args\n"
        "from ansible_collections.kuutamo.near.plugins.modules import validator_handover as module\n"
        "with patch_module_args(json.loads(sys.argv[1])):\n    module.main()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(collections())}
    argv = [sys.executable, "-W", "ignore", "-c", text, json.dumps(to)]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as process:

        def begun() -> bool:
            found = request(stage)
            new = found is not None and (before is None or found.id != before.id)
            return found is not None and new and found.marked(Step.CONFIRMED) is not None

        eventually(begun, 90, "the handover has begun", interval=0.01)
        process.kill()
        assert process.communicate()[0] == ""
    assert ended(stage).outcome is Outcome.DONE
    assert stage.holder() is candidate
    stage.healthy()
