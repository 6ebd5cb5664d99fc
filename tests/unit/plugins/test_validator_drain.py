# SPDX-License-Identifier: Apache-2.0
"""validator_drain on a real Consul, with nodes played by the test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integration.written_fleet import WrittenFleet
from kuutamod.core.protocol import FleetConfig, Outcome, config_key, member_key
from unit.plugins.obedient import Obedient
from unit.plugins.rig import Answer
from unit.plugins.test_validator_handover import request_of
from unit.plugins.test_validator_pause import config_of

Ask = Callable[..., Answer]


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
