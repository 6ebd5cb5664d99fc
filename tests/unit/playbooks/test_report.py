# SPDX-License-Identifier: Apache-2.0
"""What the status report says, and what of it an operator has to see to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unit.playbooks.rig import fleet, member, node, rules, three
from unit.plays import Json

ALL = ("a", "b", "c")
NOW = 1_000_000.0
DAY = 86400


def report(
    seen: Json | None = None, nodes: dict[str, Json] | None = None, servers: tuple[str, ...] = ALL, **more: Any
) -> dict[str, Any]:
    """The report on a fleet of three, which is well unless something else is given."""
    shown: dict[str, Any] = rules("fleet_report", "filter").fleet_report(
        three() if seen is None else seen,
        {name: node() for name in ALL} if nodes is None else nodes,
        validators=ALL,
        servers=servers,
        **more,
    )
    return shown


def with_b(**changes: Any) -> dict[str, Json]:
    """The hosts, of which b is different."""
    return {"a": node(), "b": node(**changes), "c": node()}


def test_a_fleet_that_is_well_needs_no_attention() -> None:
    found = report()
    assert (found["attention"], found["drift"], found["pending_restarts"]) == ([], [], {})
    assert (found["holder"], found["term"], found["candidates"]) == ("a", 4, ["b", "c"])
    assert found["text"].splitlines()[0] == "pool.near: a holds the lock (term 4)"
    assert found["text"].splitlines()[-1] == "nothing needs attention"
    assert "consul: leader 10.0.0.1:8300, 3 of 3 servers healthy, may lose 1" in found["text"]
    assert "maintenance: nobody has the lock" in found["text"]


def test_it_can_be_written_as_json() -> None:
    found = report(nodes=with_b(pending=["neard"]))
    assert json.loads(json.dumps(found)) == found


def test_each_host_is_a_line_with_its_columns_below_one_another() -> None:
    lines = report(nodes=with_b(pending=["environment", "neard"]))["text"].splitlines()[2:6]
    titles = lines[0].split("  ")
    assert titles[0] == "HOST"
    assert [line.split()[0] for line in lines[1:]] == list(ALL)
    assert lines[2].endswith("environment, neard")
    column = lines[0].index("RESTART PENDING")
    assert [line[column:] for line in lines] == ["RESTART PENDING", "-", "environment, neard", "-"]


TROUBLES: list[tuple[str, Json, str]] = [
    ("a restart that waits", {"pending": ["environment"]}, "b: restart pending (environment changed)"),
    (
        "an agent that waits",
        {"consul_pending": ["config"]},
        "b: Consul's agent waits for a restart (config changed); use restart_consul",
    ),
    (
        "a unit that has failed",
        {
            "units": {
                "consul.service": {"active": "active", "sub": "running"},
                "kuutamod.service": {"active": "failed", "sub": "failed"},
            }
        },
        "b: kuutamod.service is failed/failed",
    ),
    (
        "a certificate that ends soon",
        {"certificates": [{"path": "/agent.pem", "expires": NOW + 5 * DAY + 60, "fault": ""}]},
        "b: certificate /agent.pem expires on 1970-01-17 13:47 UTC, in 5 days",
    ),
    (
        "a certificate that has ended",
        {"certificates": [{"path": "/agent.pem", "expires": NOW - 60, "fault": ""}]},
        "b: certificate /agent.pem expired on 1970-01-12 13:45 UTC",
    ),
    (
        "a certificate that can't be read",
        {"certificates": [{"path": "/agent.pem", "expires": None, "fault": "no certificate can be read there"}]},
        "b: certificate /agent.pem: no certificate can be read there",
    ),
    (
        "a token that ends soon",
        {"tokens": [{"path": "/consul-token", "expires": NOW + DAY, "fault": ""}]},
        "b: token /consul-token expires on 1970-01-13 13:46 UTC, in 1 days",
    ),
    (
        "a token that nobody knows",
        {"tokens": [{"path": "/consul-token", "expires": None, "fault": "Consul does not know this token"}]},
        "b: token /consul-token: Consul does not know this token",
    ),
]


@pytest.mark.parametrize(("changes", "words"), [case[1:] for case in TROUBLES], ids=[case[0] for case in TROUBLES])
def test_what_needs_attention_on_a_host(changes: Json, words: str) -> None:
    found = report(nodes=with_b(**changes))
    assert found["attention"] == [words]
    assert f"  - {words}" in found["text"]


def test_what_is_good_for_a_month_or_for_ever_needs_none() -> None:
    lasting = [
        {"path": "/agent.pem", "expires": NOW + 31 * DAY, "fault": ""},
        {"path": "/ca.pem", "expires": None, "fault": ""},
    ]
    found = report(nodes=with_b(certificates=lasting, tokens=[{"path": "/t", "expires": None, "fault": ""}]))
    assert found["attention"] == []
    assert "certificates: 2 looked at, the first expires: 1970-02-12" in found["text"]
    assert "tokens: 1 looked at, the first expires: never" in found["text"]


def test_a_server_without_kuutamod_is_no_trouble() -> None:
    server = node(
        running=None,
        wanted=None,
        units={
            "consul.service": {"active": "active", "sub": "running"},
            "kuutamod.service": {"active": "inactive", "sub": "dead"},
        },
    )
    found = report(nodes={**{name: node() for name in ALL}, "d": server}, servers=(*ALL, "d"))
    assert found["attention"] == []


def test_a_host_that_is_not_reached_is_named() -> None:
    nodes = {"a": node(), "c": node()}
    assert report(nodes=nodes)["attention"] == ["b: not reached"]


def test_a_quorum_that_tolerates_no_loss() -> None:
    weak = {"leader": "x", "servers": 3, "healthy_voters": 2, "failure_tolerance": 0}
    assert "Consul tolerates no loss: 2 of 3 servers are healthy" in report(three(consul=weak))["attention"]
    single = {"leader": "x", "servers": 1, "healthy_voters": 1, "failure_tolerance": 0}
    assert report(three(consul=single))["attention"] == []


def test_a_fleet_that_is_not_well_comes_first() -> None:
    ill = three(health="no-holder", verdict="nobody holds the lock", pauses=[{"node": None, "reason": "audit"}])
    found = report(ill, nodes=with_b(pending=["unit"]))
    assert found["attention"] == [
        "nobody holds the lock",
        "b: restart pending (unit changed)",
        "the fleet is paused: audit",
    ]


def test_clocks_that_differ() -> None:
    nodes = {"a": node(clock_offset=0.0), "b": node(clock_offset=7.4), "c": node()}
    assert report(nodes=nodes)["attention"] == ["the hosts' clocks differ by 7 s; see to NTP"]


def test_inventory_and_consul_that_differ() -> None:
    found = report(fleet(member("a"), member("b"), member("x")))
    assert found["drift"] == [
        "c is in the inventory, but has no live member record in Consul; start it or remove it",
        "x is a live member in Consul, but not in the inventory; add it or use remove_node",
    ]
    assert found["attention"] == found["drift"]


def test_different_releases_are_drift() -> None:
    nodes = {"a": node(), "b": node(neard="n2"), "c": node()}
    assert report(nodes=nodes)["drift"] == ["the hosts run different neard: a n1, b n2, c n1"]


def test_the_same_kuutamod_for_another_python_is_none() -> None:
    older = node("k1-for-3.11")
    older["kuutamod"] = {**older["kuutamod"], "python": "3.11"}
    assert report(nodes={"a": node(), "b": older, "c": node()})["drift"] == []
    newer = node("k2")
    words = "the hosts run different kuutamod: a k1, b k1-for-3.11, c k2"
    assert report(nodes={"a": node(), "b": older, "c": newer})["drift"] == [words]


def test_a_release_that_is_only_installed_is_told_beside_the_one_that_runs() -> None:
    waiting = node(pending=["neard"])
    waiting["neard"] = {"current": "n2", "releases": ["n1", "n2"], "versions": {}}
    assert "n1 (installed n2)" in report(nodes={"a": node(), "b": waiting, "c": node()})["text"]


def test_the_lock_and_the_request_are_told() -> None:
    asked = three(request={"outcome": None, "pending": True, "ask": "handover", "node": None, "by": "eve"})
    found = report(asked, maintenance={"by": "eve", "reason": "upgrade"})
    assert "maintenance: locked by eve: upgrade" in found["text"]
    assert "pending request: handover to the best standby by eve" in found["text"]
    done = three(request={"outcome": "done", "pending": False, "ask": "handover", "node": None, "by": "eve"})
    assert report(done)["request"] is None


def test_a_consul_that_can_not_be_asked_is_a_report_all_the_same() -> None:
    found = report({}, refused={"a": {"msg": "Consul does not answer"}}, maintenance={})
    assert (found["health"], found["holder"], found["consul"]) == ("unknown", None, None)
    assert "a: Consul can't be asked from there: Consul does not answer" in found["attention"]
    assert found["text"].startswith("unknown account: Consul could not be asked through any host (term None)")
    assert "consul: its health is not known" in found["text"]
