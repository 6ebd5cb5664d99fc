# SPDX-License-Identifier: Apache-2.0
"""consul_info, consul_autopilot and consul_keyring against a real Consul."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from kuutamo_localnet.consul import ConsulServer
from unit.consul.answering import Answer as Said
from unit.consul.answering import answering
from unit.plugins.consul_rig import Ask, asking
from unit.plugins.rig import address, refused, run


def key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture(scope="module")
def first_key() -> str:
    return key()


@pytest.fixture(scope="module")
def server(first_key: str) -> Iterator[ConsulServer]:
    with ConsulServer(persistent=True, acl=True, extra={"encrypt": first_key}) as server:
        yield server


@pytest.fixture(scope="module")
def ask(server: ConsulServer) -> Ask:
    return asking(server, server.token)


def test_info_of_a_single_server(server: ConsulServer, ask: Ask) -> None:
    seen = ask("info")
    assert seen.told == (False, False)
    assert (seen["leader"], seen["voters"], seen["failure_tolerance"]) == ("consul", 1, 0)
    assert seen["agent"]["name"] == "consul" and seen["agent"]["server"]
    assert seen["certificate"] is None and seen["lock"] is None
    assert [member["status"] for member in seen["members"]] == ["alive"]


def test_info_names_the_holder_of_a_lock(server: ConsulServer, ask: Ask) -> None:
    client = server.client()
    session = client.call("PUT", "session/create", body={"TTL": "60s", "NodeChecks": []})["ID"]
    assert client.call("PUT", f"kv/the-lock?acquire={session}", body="x")
    assert ask("info", lock_key="the-lock")["lock"] == {"session": session, "node": "consul"}
    client.call("PUT", f"session/destroy/{session}")
    assert ask("info", lock_key="the-lock")["lock"] is None


@pytest.mark.parametrize(("name", "options"), [("info", {}), ("autopilot", {"min_quorum": 3}), ("keyring", {"key": key()})])
def test_without_the_right_nothing_is_done(server: ConsulServer, name: str, options: dict[str, Any]) -> None:
    refused(asking(server, None)(name, **options), "forbidden")


def test_autopilot_is_changed_once(ask: Ask) -> None:
    assert ask("autopilot", min_quorum=3, check=True).told == (False, True)
    changed = ask("autopilot", min_quorum=3, diff=True)
    assert changed.told == (False, True)
    assert changed["diff"] == {
        "before": {"MinQuorum": 0, "CleanupDeadServers": True},
        "after": {"MinQuorum": 3, "CleanupDeadServers": True},
    }
    assert ask("autopilot", min_quorum=3).told == (False, False)


def test_the_gossip_key_is_changed_step_by_step(ask: Ask, first_key: str) -> None:
    new = key()
    told = []
    for state in ("installed", "primary", "only"):
        assert ask("keyring", key=new, state=state, check=True).told == (False, True)
        step = ask("keyring", key=new, state=state, diff=True)
        assert step.told == (False, True)
        assert ask("keyring", key=new, state=state).told == (False, False)
        assert new not in json.dumps(step.results) and first_key not in json.dumps(step.results)
        told.append(step["diff"]["after"])
    assert told == [
        "the wanted key is known everywhere\n",
        "the wanted key is in use, others are known\n",
        "the wanted key is in use, alone\n",
    ]
    # All at once, as after an interruption.
    again = ask("keyring", key=first_key)
    assert again.told == (False, True) and again["nodes"] == 1
    assert ask("keyring", key=first_key).told == (False, False)


def test_no_key_is_changed_while_an_agent_is_away(ask: Ask) -> None:
    refused(ask("keyring", key=key(), nodes=2), "refused", "1 of 2 agents are there")


@pytest.mark.parametrize("bad", ["short", base64.b64encode(b"16 bytes are few").decode()])
def test_a_bad_key_is_refused(ask: Ask, bad: str) -> None:
    refused(ask("keyring", key=bad), "options", "not 32 bytes in base64")


STALLED = Said(500, "3/4 nodes reported success")


class Ring:
    """Four agents, of which one stalls at the first question of each kind, though it has been told."""

    def __init__(self, old: str, new: str) -> None:
        self.keys, self.primary, self.new = [old], old, new
        self.asked: list[str] = []

    def __call__(self, method: str, _path: str) -> Said:
        self.asked.append(method)
        if method == "POST":
            self.keys = [*{*self.keys, self.new}]
        elif method == "PUT":
            self.primary = self.new
        elif method == "DELETE":
            self.keys = [self.new]
        if self.asked.count(method) == 1:
            return STALLED
        pool = {"NumNodes": 4, "Keys": dict.fromkeys(self.keys, 4), "PrimaryKeys": {self.primary: 4}}
        return Said(200, json.dumps([pool]) if method == "GET" else "")


def test_an_agent_that_stalls_for_a_moment_is_asked_again() -> None:
    old, new = key(), key()
    ring = Ring(old, new)
    with answering(ring) as (url, _asked):
        done = run("consul_keyring", **address(url), key=new, wait=60.0, diff=True)
    assert done.told == (False, True)
    assert done["diff"]["after"] == "the wanted key is in use, alone\n"
    assert ring.asked == ["GET", "GET", "POST", "POST", "PUT", "PUT", "DELETE", "DELETE", "GET"]


@pytest.mark.parametrize(
    ("said", "wait", "reason"),
    [
        (STALLED, 0.0, "unreachable"),
        (Said(500, "1/4 nodes reported failure"), 60.0, "answer"),
        (Said(500, "Permission denied: 3/4 nodes reported success"), 60.0, "forbidden"),
    ],
)
def test_what_the_agents_refuse_is_asked_once(said: Said, wait: float, reason: str) -> None:
    with answering(lambda _method, _path: said) as (url, asked):
        refused(run("consul_keyring", **address(url), key=key(), wait=wait), reason, "reported")
    assert asked.requests == ["GET /v1/operator/keyring"]


def test_only_of_the_keyring_it_passes() -> None:
    with answering(lambda _method, _path: STALLED) as (url, asked):
        refused(run("consul_autopilot", **address(url), min_quorum=3, wait=60.0), "answer")
    assert len(asked.requests) == 1
