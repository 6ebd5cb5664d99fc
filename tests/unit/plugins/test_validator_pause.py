# SPDX-License-Identifier: Apache-2.0
"""validator_pause on a real Consul."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from integration.between import between, lost
from integration.written_fleet import WrittenFleet
from kuutamod.core.protocol import FleetConfig, Pause, config_key
from unit.plugins.rig import Answer, address, run

Ask = Callable[..., Answer]


def config_of(fleet: WrittenFleet) -> FleetConfig:
    entry = fleet.client.kv_get(config_key(fleet.account))
    config = FleetConfig.from_json(entry.value if entry is not None else None)
    assert config is not None
    return config


def test_a_pause_begins_lasts_and_ends(fleet: WrittenFleet, ask: Ask) -> None:
    begun = ask("validator_pause", diff=True, reason="new switch", by="alice@desk", **{"for": "45m"})
    assert begun.told == (False, True)
    assert (begun["previous"], begun["diff"]["before"]) == (None, {"pause": None})
    assert 2690 < begun["pause"]["left"] <= 2700
    [pause] = config_of(fleet).pauses
    assert (pause.node, pause.by, pause.reason) == ("", "alice@desk", "new switch")
    again = ask("validator_pause", diff=True, reason="new switch", **{"for": "45m"})
    assert again.told == (False, False)
    assert again["diff"]["before"] == again["diff"]["after"]
    assert config_of(fleet).pauses == (pause,)
    ended = ask("validator_pause", state="absent", diff=True)
    assert (ended.told, ended["pause"], ended["previous"]["by"]) == ((False, True), None, "alice@desk")
    assert config_of(fleet).pauses == ()
    assert ask("validator_pause", state="absent").told == (False, False)


@pytest.mark.parametrize(
    ("left", "reason", "changed"), [(1000.0, "", False), (800.0, "", True), (1700.0, "other", True), (-1.0, "", True)]
)
def test_a_pause_that_lasts_long_enough_is_left_alone(
    fleet: WrittenFleet, ask: Ask, left: float, reason: str, changed: bool
) -> None:
    old = Pause(time.time() + left, "", "bob@desk", "why")
    assert fleet.client.kv_put(config_key(fleet.account), FleetConfig(pauses=(old,)).to_json())
    assert ask("validator_pause", reason=reason).told == (False, changed)
    [now] = config_of(fleet).pauses
    assert (now == old) is not changed


def test_a_nodes_pause_and_the_fleets_are_two(fleet: WrittenFleet, ask: Ask) -> None:
    assert ask("validator_pause", node="n2").told == (False, True)
    assert ask("validator_pause").told == (False, True)
    assert {pause.node for pause in config_of(fleet).pauses} == {"", "n2"}
    assert ask("validator_pause", state="absent").told == (False, True)
    assert [pause.node for pause in config_of(fleet).pauses] == ["n2"]
    assert ask("validator_pause", state="absent", node="n3").told == (False, False)
    assert ask("validator_pause", state="absent", node="n2").told == (False, True)
    assert config_of(fleet).pauses == ()


def test_check_mode_writes_nothing(fleet: WrittenFleet, ask: Ask) -> None:
    told = ask("validator_pause", check=True, diff=True, node="n2")
    assert (told.told, told["pause"]["node"]) == ((False, True), "n2")
    assert fleet.client.kv_get(config_key(fleet.account)) is None
    ask("validator_pause")
    before = config_of(fleet)
    told = ask("validator_pause", check=True, state="absent")
    assert (told.told, told["pause"]) == ((False, True), None)
    assert config_of(fleet) == before


def test_what_others_have_set_stays(fleet: WrittenFleet, ask: Ask) -> None:
    config = FleetConfig(fingerprint="ed25519:x", no_takeover=("n3",), extra={"later": 1})
    assert fleet.client.kv_put(config_key(fleet.account), config.to_json())
    assert ask("validator_pause").told == (False, True)
    assert replace(config_of(fleet), pauses=()) == config


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        ({"node": "n9"}, "no_node", "there is no node n9; there are n1, n2, n3"),
        ({"for": "25h"}, "options", "for: '25h' is not a time like 90s, 30m or 2h, of 24h at most"),
        ({"node": " "}, "options", "node: the name is empty"),
        ({"by": "x" * 201}, "options", "by: it has 201 characters"),
    ],
)
def test_what_cannot_be_is_refused(
    fleet: WrittenFleet, ask: Ask, options: dict[str, object], reason: str, words: str
) -> None:
    told = ask("validator_pause", **options)
    assert (told.told, told["reason"]) == ((True, False), reason)
    assert words in told["msg"]
    assert fleet.client.kv_get(config_key(fleet.account)) is None


def test_settings_that_are_not_ours_are_not_overwritten(fleet: WrittenFleet, ask: Ask) -> None:
    assert fleet.client.kv_put(config_key(fleet.account), "[]")
    told = ask("validator_pause")
    assert (told.told, told["reason"]) == ((True, False), "conflict")
    assert "is not a JSON object; repair or delete it" in told["msg"]


def test_a_pause_whose_answer_is_lost_may_have_been_written(fleet: WrittenFleet) -> None:
    with between(fleet.client.url, lost(config_key(fleet.account))) as broken:
        told = run("validator_pause", account_id=fleet.account, **address(broken))
    assert (told.told, told["reason"]) == ((True, True), "unreachable")
    assert "the change may have been written all the same: look with `kuutamoctl status`" in told["msg"]
    assert len(config_of(fleet).pauses) == 1
