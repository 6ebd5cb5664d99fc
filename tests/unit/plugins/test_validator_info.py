# SPDX-License-Identifier: Apache-2.0
"""validator_info on a real Consul."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulServer
from kuutamod.core.protocol import Ask as Kind
from kuutamod.core.protocol import FleetConfig, Pause, Request, config_key, lock_key, request_key
from unit.plugins.rig import Answer, address, run

Ask = Callable[..., Answer]


def test_it_tells_who_holds_the_lock_and_who_could_take_it(fleet: WrittenFleet, ask: Ask) -> None:
    told = ask("validator_info")
    assert told.told == (False, False), told
    assert (told["holder"], told["holder_live"], told["term"]) == ("n1", True, 7)
    assert told["session"] == fleet.sessions["n1"]
    assert (told["health"], told["candidates"], told["drained"]) == ("well", ["n2", "n3"], [])
    assert told["verdict"] == "n1 holds the lock; n2, n3 can take over"
    assert [(each["node"], each["role"], each["eligible"], each["reasons"]) for each in told["members"]] == [
        ("n1", "validator", False, []),
        ("n2", "standby", True, []),
        ("n3", "standby", True, []),
    ]
    assert (told["pauses"], told["request"], told["maintenance"], told["unreadable"]) == ([], None, None, {})
    assert told["consul"]["servers"] == 1
    assert told["fleet"]["account"] == fleet.account


def test_check_mode_and_diff_mode_are_no_different(fleet: WrittenFleet, ask: Ask) -> None:
    plain, checked = ask("validator_info").results, ask("validator_info", check=True, diff=True).results

    def lasting(results: dict[str, Any]) -> dict[str, Any]:
        # What tells the time differs.
        kept = {name: value for name, value in results.items() if name not in ("fleet", "invocation", "consul")}
        return {**kept, "members": [{**each, "lock_age": None} for each in kept["members"]]}

    assert lasting(plain) == lasting(checked)
    assert "diff" not in checked


def test_a_fleet_that_nobody_validates_for_is_an_answer(server: ConsulServer, fleet: WrittenFleet, ask: Ask) -> None:
    fleet.release("n1", 7, "stopped")
    told = ask("validator_info")
    assert told.told == (False, False)
    assert (told["holder"], told["holder_live"], told["session"], told["term"]) == (None, False, None, 7)
    assert told["health"] == "no-holder"
    empty = run("validator_info", account_id="nobody.near", **address(server.url))
    assert (empty["holder"], empty["term"], empty["members"]) == (None, None, [])


def test_a_holder_without_a_live_record_is_told_apart(fleet: WrittenFleet, ask: Ask) -> None:
    other = fleet.client.session_create("other", LockDelay="0s")
    fleet.release("n1", 7, "stopped")
    held = fleet.client.kv_get(lock_key(fleet.account))
    assert held is not None
    assert fleet.client.kv_put(lock_key(fleet.account), held.value.decode(), acquire=other)
    told = ask("validator_info")
    fleet.client.session_destroy(other)
    assert (told["holder_live"], told["health"], told["session"]) == (False, "no-holder", other)


def test_what_operators_have_asked_for_is_shown(fleet: WrittenFleet, ask: Ask) -> None:
    now = time.time()
    config = FleetConfig(pauses=(Pause(now + 600, "", "alice", "new switch"), Pause(now - 5)), no_takeover=("n3",))
    request = Request("r1", Kind.HANDOVER, "n1", 7, now, now + 60, node="n2", by="alice")
    assert fleet.client.kv_put(config_key(fleet.account), config.to_json())
    assert fleet.client.kv_put(request_key(fleet.account), request.to_json())
    lock = ask("validator_maintenance", reason="kernel", by="bob@desk")
    told = ask("validator_info")
    assert [(each["node"], each["by"], each["reason"]) for each in told["pauses"]] == [(None, "alice", "new switch")]
    assert 590 < told["pauses"][0]["left"] <= 600
    assert (told["drained"], told["candidates"]) == (["n3"], ["n2"])
    assert (told["request"]["node"], told["request"]["outcome"]) == ("n2", None)
    assert (told["maintenance"]["by"], told["maintenance"]["session"]) == ("bob@desk", lock["session"])
    assert told["fleet"]["maintenance"] == told["maintenance"]
