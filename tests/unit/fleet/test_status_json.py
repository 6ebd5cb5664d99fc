# SPDX-License-Identifier: Apache-2.0
"""The objects that `--json` prints: their fields are a promise."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kuutamod.cli.history_view import to_json
from kuutamod.consul import orders
from kuutamod.consul.health import ConsulHealth
from kuutamod.consul.overview import Overview, Unread
from kuutamod.core.model import LockView
from kuutamod.core.protocol import FleetConfig, Mark, Pause, Request, Step
from kuutamod.fleet import status_json
from kuutamod.fleet.verdict import Health, Verdict
from unit.cli.fleets import DONE, MAINTENANCE, NOW, PAST, PAUSE, PRESENT, RECORD, REQUEST, WELL, changed, free

TERM_42 = {
    "term": 42,
    "node": "node-a",
    "taken": NOW - 7380,
    "since": NOW - 7379,
    "until": None,
    "cause": "handover",
    "began": "asked for: update of node-b",
    "ended": "",
    "fault": False,
    "gap": 0.83,
    "first_height": None,
    "last_height": None,
    "by": "alice",
}
LOCK = {
    "holder": "node-a",
    "holder_live": True,
    "session": "session-a",
    "index": 9,
    "node": "node-a",
    "term": 42,
    "phase": "active",
    "released": False,
    "fault": False,
    "reason": "",
    "last_height": 123_456_789,
    "successor": None,
}


def printed(overview: Overview) -> dict[str, Any]:
    """The object as a script reads it."""
    found = json.loads(status_json.text(status_json.status(overview, NOW)))
    assert isinstance(found, dict)
    return found


_PARTS = ("lock", "nodes", "config", "request", "history", "consul", "maintenance")


def test_a_whole_object() -> None:
    overview = replace(
        WELL,
        maintenance=MAINTENANCE,
        request=REQUEST,
        config=FleetConfig(pauses=(PAUSE, Pause(NOW - 1)), no_takeover=("node-c",)),
    )
    found = printed(overview)
    nodes = found.pop("nodes")
    assert found == {
        "account": "pool.near",
        "at": NOW,
        "code": 0,
        "health": "well",
        "verdict": "node-a holds the lock; node-b can take over",
        "lock": LOCK,
        "pauses": [{"node": None, "until": NOW + 750, "left": 750, "by": "alice", "reason": "kernel update"}],
        "request": {
            "id": "r1",
            "ask": "handover",
            "holder": "node-a",
            "term": 42,
            "node": "node-b",
            "when": "window",
            "by": "alice",
            "reason": "update",
            "issued": NOW - 12,
            "expires": NOW + 48,
            "phases": [
                {"phase": "planned", "at": NOW - 11, "note": ""},
                {"phase": "waiting for window", "at": NOW - 5, "note": "next at 123456900"},
            ],
            "outcome": None,
            "ended": None,
            "why": "",
            "pending": True,
        },
        "last_term": TERM_42,
        "consul": {
            "leader": "10.0.0.1:8300",
            "servers": 3,
            "healthy_voters": 3,
            "failure_tolerance": 1,
            "estimated": None,
        },
        "maintenance": {"by": "alice@desk", "since": NOW - 300, "reason": "kernel update", "session": "session-m"},
        "unreadable": {},
    }
    assert nodes[0] == {
        "node": "node-a",
        "hostname": "host-a",
        "role": "validator",
        "live": True,
        "eligible": False,
        "flags": [],
        "state": "Validating",
        "phase": "active",
        "term": 42,
        "height": 123_456_789,
        "lag": 0,
        "peers": 31,
        "lock_age": 7380,
        "priority": 100,
        "neard_version": "2.10.0",
        "protocol": 84,
        "latest_protocol": 85,
        "kuutamod_version": "0.1.0",
        "address": "10.0.0.1:2233",
    }
    assert [node["flags"] for node in nodes[1:]] == [[], ["drained", "syncing", "few-peers"]]
    assert [node["eligible"] for node in nodes[1:]] == [True, False]
    assert {frozenset(node) for node in nodes} == {frozenset(nodes[0])}


def test_the_fields_do_not_depend_on_what_is_there() -> None:
    full = printed(replace(WELL, request=DONE))
    nothing = Unread("denied")
    empty = printed(Overview("a", *[nothing] * len(_PARTS)))
    unreachable = json.loads(status_json.text(status_json.unreachable("a", NOW, Verdict(Health.UNKNOWN, "down"))))
    assert list(full) == list(empty) == list(unreachable)
    assert empty["unreadable"] == dict.fromkeys(_PARTS, "denied")
    assert (empty["code"], empty["health"], empty["lock"], empty["nodes"]) == (3, "unknown", None, [])
    assert (unreachable["code"], unreachable["verdict"]) == (3, "down")
    assert (full["request"]["outcome"], full["request"]["ended"]) == ("done", NOW - 120)


def test_a_request_is_pending_while_somebody_may_be_at_it() -> None:
    """Its node has died for good, so nobody gives it an outcome; a new one takes its place all the same."""
    begun = replace(REQUEST, marks=(Mark(Step.CONFIRMED, NOW),))

    def pending(request: Request, later: float) -> object:
        found = status_json.request(request, request.expires + later)
        assert found is not None
        return found["pending"]

    assert (pending(REQUEST, orders.STALE), pending(REQUEST, orders.STALE + 1)) == (True, False)
    assert (pending(begun, orders.STALE + 1), pending(begun, orders.LOST + 1)) == (True, False)
    assert pending(DONE, -1) is False


def test_locks_that_nobody_holds() -> None:
    released = printed(replace(WELL, lock=free(replace(RECORD, released=True, reason="full", successor="node-b"))))["lock"]
    assert list(released) == list(LOCK)
    assert (released["holder"], released["holder_live"], released["released"]) == (None, False, True)
    assert (released["reason"], released["successor"], released["node"]) == ("full", "node-b", "node-a")
    missing = printed(replace(WELL, lock=LockView(0)))["lock"]
    assert list(missing) == list(LOCK)
    assert (missing["index"], missing["term"], missing["released"]) == (0, None, None)
    # The marker of a lock that is held means nothing.
    assert printed(replace(WELL, lock=LockView(9, "s", replace(RECORD, released=True))))["lock"]["released"] is False


def test_strange_numbers_are_null() -> None:
    overview = replace(
        WELL,
        history=(replace(PRESENT, taken=math.inf, until=math.nan),),
        config=FleetConfig(pauses=(Pause(math.inf),)),
        consul=ConsulHealth("", 1, None, 0, "x"),
    )
    found = printed(overview)
    assert (found["last_term"]["taken"], found["last_term"]["until"], found["pauses"][0]["left"]) == (None, None, None)
    assert found["consul"] == {
        "leader": None,
        "servers": 1,
        "healthy_voters": None,
        "failure_tolerance": 0,
        "estimated": "x",
    }


@given(st.text())
def test_any_text_is_printed_as_plain_ascii(text: str) -> None:
    overview = changed(WELL, 1, node_id=text, state=text, ineligible=(text,))
    shown = status_json.text(status_json.status(overview, NOW))
    assert shown.isascii()
    assert all(line.isprintable() for line in shown.split("\n"))
    assert json.loads(shown)["nodes"][1]["node"] == text


def test_history() -> None:
    found = json.loads(status_json.text(to_json(WELL, NOW)))
    assert list(found) == ["account", "at", "lock", "terms"]
    assert found["lock"] == LOCK
    assert found["terms"][0] == TERM_42
    assert [term["term"] for term in found["terms"]] == [42, 41]
    assert (found["terms"][1]["until"], found["terms"][1]["last_height"]) == (PAST.until, PAST.last_height)
