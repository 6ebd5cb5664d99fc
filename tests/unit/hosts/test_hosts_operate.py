# SPDX-License-Identifier: Apache-2.0
"""What the operator of a fleet reads out of its status, and which strikes there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kuutamo_fleet.errors import FleetError
from kuutamo_fleet.operate import holder_of, standbys_of
from kuutamo_fleet.own_neard import boot_nodes
from kuutamo_fleet.strikes import FROZEN_SECONDS, STRIKES, choose, longest_gap
from kuutamod.core.lease import LeaseLaw

MOLECULE = Path(__file__).parents[3] / "extensions" / "molecule"


def _status(holder: str | None, **states: str) -> dict[str, Any]:
    nodes = [
        {"node": name, "live": state != "gone", "state": state, "eligible": state == "Voting"}
        for name, state in states.items()
    ]
    return {"lock": {"holder": holder}, "nodes": nodes}


def test_the_holder_counts_when_it_validates() -> None:
    assert holder_of(_status("a", a="Validating", b="Voting")) == "a"
    assert holder_of(_status("a", a="Voting", b="Voting")) is None
    assert holder_of(_status("a", a="gone")) is None
    assert holder_of(_status(None, a="Voting")) is None
    assert holder_of({}) is None


def test_standbys_are_those_that_could_take_over() -> None:
    assert standbys_of(_status("a", a="Validating", b="Voting", c="Syncing", d="gone")) == ["b"]
    assert standbys_of({}) == []


def test_strikes_are_chosen_by_name() -> None:
    assert choose([]) == STRIKES
    assert [item.name for item in choose(["partition", "kill-neard"])] == ["partition", "kill-neard"]
    with pytest.raises(FleetError, match="strike nuke: unknown; there are kill-neard, "):
        choose(["nuke"])


def test_the_scenario_strikes_in_every_way() -> None:
    play = yaml.safe_load((MOLECULE / "failover" / "side_effect.yml").read_text())[1]
    assert play["vars"]["failover_all"] == [item.name for item in STRIKES]


def test_a_frozen_host_wakes_before_its_fence() -> None:
    law = LeaseLaw()
    assert law.heartbeat_interval + law.request_deadline + FROZEN_SECONDS < law.fence_deadline


def test_the_bound_is_longer_than_a_guard_time_and_no_eternity() -> None:
    assert LeaseLaw().guard_time < longest_gap() < 180


def test_the_validator_may_be_on_every_host() -> None:
    assert boot_nodes(["10.0.0.1", "10.0.0.2"], {"public_key": "ed25519:k"}) == [
        "ed25519:k@10.0.0.1:24567",
        "ed25519:k@10.0.0.2:24567",
    ]


def test_the_table_of_scenarios_has_every_scenario() -> None:
    rows = [line.split("|")[1].strip() for line in (MOLECULE / "README.md").read_text().splitlines() if "| " in line]
    scenarios = {directory.parent.name for directory in MOLECULE.glob("*/molecule.yml")}
    assert scenarios <= set(rows), scenarios - set(rows)


def test_every_playbook_runs_in_some_scenario() -> None:
    told = "".join(path.read_text() for path in MOLECULE.rglob("*.yml"))
    playbooks = {path.stem for path in (MOLECULE.parents[1] / "playbooks").glob("*.yml")}
    assert {name for name in playbooks if f"kuutamo.near.{name}" not in told} == set()
