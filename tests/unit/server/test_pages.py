# SPDX-License-Identifier: Apache-2.0
"""Each page's status code, type and body; and that no text, wherever it came from, takes a secret key out."""

from __future__ import annotations

import dataclasses
import enum
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from kuutamod.core.model import Giveup, NodeState
from kuutamod.server.metrics import CONTENT_TYPE, Metrics
from kuutamod.server.pages import JSON, PLAIN, Pages, Reply
from unit.server import snapshots

PATHS = ("/metrics", "/health", "/neard-pid", "/status", "/active", "/standby", "/ready", "/history")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def ask(
    target: str, state: NodeState = snapshots.ELIGIBLE, accept: str = "", said: str = "", metrics: Metrics | None = None
) -> Reply:
    return Pages(metrics or Metrics(lambda: 0)).answer(target, accept, snapshots.view(state, said=said))


def test_a_path_that_is_not_there_names_those_that_are() -> None:
    for target in ("/", "/elsewhere", "/active/", "/ACTIVE", "status", "//status"):
        reply = ask(target)
        assert (reply.status, reply.kind) == (HTTPStatus.NOT_FOUND, PLAIN)
        assert reply.body.decode() == f"not found; there are {', '.join(PATHS)}\n"


@pytest.mark.parametrize("path", PATHS)
def test_every_path_that_is_named_is_there(path: str) -> None:
    assert ask(path).status is not HTTPStatus.NOT_FOUND
    assert ask(f"{path}?name=x").status is ask(path).status


def test_upstreams_pages() -> None:
    assert (ask("/metrics").kind, ask("/metrics").body[:6]) == (CONTENT_TYPE, b"# HELP")
    assert ask("/health") == Reply(HTTPStatus.OK, PLAIN, b"OK")
    assert ask("/neard-pid") == Reply(HTTPStatus.OK, PLAIN, b"77")
    assert ask("/neard-pid", snapshots.FRESH) == Reply(HTTPStatus.OK, PLAIN, b"")


def test_status_is_json_with_the_newest_decision() -> None:
    reply = ask("/status", said="taking the lock")
    assert (reply.status, reply.kind) == (HTTPStatus.OK, JSON)
    assert json.loads(reply.body)["decision"] == "taking the lock"


@pytest.mark.parametrize(
    ("state", "answers"),
    [
        (snapshots.HOLDER, {"/active": 200, "/standby": 503, "/ready": 200}),
        (snapshots.ELIGIBLE, {"/active": 503, "/standby": 200, "/ready": 200}),
        (snapshots.PAUSED, {"/active": 503, "/standby": 503, "/ready": 503}),
        (snapshots.PROMOTING, {"/active": 503, "/standby": 503, "/ready": 503}),
        (snapshots.FRESH, {"/active": 503, "/standby": 503, "/ready": 503}),
    ],
)
def test_the_code_is_the_answer(state: NodeState, answers: Mapping[str, int]) -> None:
    assert {path: int(ask(path, state).status) for path in answers} == answers
    assert {path: int(ask(f"{path}?format=json", state).status) for path in answers} == answers


def test_one_line_says_why() -> None:
    assert ask("/active", snapshots.HOLDER).body == b"active: it validates in term 5, proven 1.0 s ago\n"
    assert ask("/standby", snapshots.HOLDER).body == b"not standby: it holds the lock in term 5\n"
    assert ask("/ready").body == b"ready: it is eligible; b holds the lock in term 4\n"
    reply = ask("/active", replace(snapshots.HOLDER, giveup=Giveup("two\nlines\x1b[2J\t\u0085of\u2028it", fault=False)))
    assert reply.body.count(b"\n") == 1
    assert reply.body == b"not active: it gives the lock of term 5 up: two lines?[2J of it\n"


def test_the_same_as_json() -> None:
    reply = ask("/active?format=json", snapshots.HOLDER)
    assert (reply.status, reply.kind) == (HTTPStatus.OK, JSON)
    assert json.loads(reply.body) == {
        "active": True,
        "why": "it validates in term 5, proven 1.0 s ago",
        "node": "a",
        "account": "acct",
        "at": snapshots.WALL + 151.0,
        "state": "Validating",
        "phase": "active",
        "term": 5,
        "ineligible": [],
    }
    found = json.loads(ask("/standby?format=json", snapshots.PAUSED).body)
    assert (found["standby"], found["phase"], found["term"], found["ineligible"]) == (False, None, None, ["paused"])


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "", PLAIN),
        ("", "*/*", PLAIN),
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", PLAIN),
        ("", "application/json", JSON),
        ("", "text/plain;q=0.5, Application/JSON;q=0.9", JSON),
        ("?format=json", "text/plain", JSON),
        ("?format=text", "application/json", PLAIN),
        ("?x=1&format=json", "", JSON),
        ("?format=text&format=json", "", JSON),
    ],
)
def test_how_json_is_asked_for(query: str, accept: str, kind: str) -> None:
    assert {ask(path + query, accept=accept).kind for path in ("/active", "/standby", "/ready")} == {kind}


@pytest.mark.parametrize("form", ["xml", "", "JSON", "%0d%0aX:y", "x" * 1000])
def test_a_format_that_is_not_there(form: str) -> None:
    reply = ask(f"/active?format={form}")
    assert (reply.status, reply.kind) == (HTTPStatus.BAD_REQUEST, PLAIN)
    assert reply.body.endswith(b" in the address; it must be json or text\n")
    assert reply.body.count(b"\n") == 1
    assert len(reply.body) < 200


def test_history_of_a_holder() -> None:
    reply = ask("/history", snapshots.HOLDER)
    assert (reply.status, reply.kind) == (HTTPStatus.OK, JSON)
    found = json.loads(reply.body)
    assert (found["account"], found["node"], found["at"]) == ("acct", "a", snapshots.WALL + 151.0)
    assert [(term["term"], term["node"]) for term in found["terms"]] == [(5, "a"), (4, "b")]
    assert found["terms"][0]["gap"] == 11.5
    assert (found["terms"][0]["cause"], found["terms"][0]["until"]) == ("steal", None)


def test_history_keeps_what_was_told() -> None:
    metrics = Metrics(lambda: 0)
    for state, now in ((snapshots.HOLDER, 150.0), (replace(snapshots.ELIGIBLE, watch=None, child=None), 151.0)):
        metrics.observed.state(state, now)
    found = json.loads(ask("/history", snapshots.FRESH, metrics=metrics).body)
    assert [term["term"] for term in found["terms"]] == [5, 4]
    assert found["terms"][0]["until"] == snapshots.WALL + 151.0


def test_no_history_yet() -> None:
    assert json.loads(ask("/history", snapshots.FRESH).body)["terms"] == []


# --- secrets ---


def with_secret(value: Any, secret: str) -> Any:
    """A copy in which every text, however deep, also holds the secret."""
    if isinstance(value, enum.Enum):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{each.name: with_secret(getattr(value, each.name), secret) for each in dataclasses.fields(value)}
        )
    if isinstance(value, tuple | frozenset):
        return type(value)(with_secret(item, secret) for item in value)
    return f"{value} {secret}" if isinstance(value, str) else value


def spoken(state: NodeState) -> NodeState:
    """With a text in each place that is empty otherwise."""
    child = state.child
    if child is not None:
        child = replace(child, stranger="x", key_fault="x", stopping="x" if child.stopping else None)
    return replace(
        state,
        child=child,
        home_why="x",
        session_fault="x",
        member_fault="x",
        memory_fault="x",
        history_fault="x",
        giveup=Giveup("x", fault=True, successor="x", request="x"),
        lease=replace(state.lease, doubt="x") if state.lease is not None else None,
    )


STATES = [
    *snapshots.BY_STATE.values(),
    *snapshots.BY_PHASE.values(),
    *(snapshots.ELIGIBLE, snapshots.HOLDER, snapshots.ASKED, snapshots.PAUSED, snapshots.DRAINED),
    replace(snapshots.HOLDER, lease=replace(snapshots.LEASE, lost="x")),
]


@pytest.mark.parametrize("number", range(len(STATES)))
@pytest.mark.parametrize("form", ["plain", "field"])
def test_no_page_ever_shows_a_secret_key(number: int, form: str) -> None:
    key = "".join(secrets.choice(BASE58) for _unused in range(88))
    text = f"ed25519:{key}" if form == "plain" else json.dumps({"public_key": "ed25519:x", "secret_key": f"ed25519:{key}"})
    state = with_secret(spoken(STATES[number]), text)
    assert str(state).count(key) > 20, "the test puts it everywhere"
    metrics = Metrics(lambda: 0)
    metrics.observed.state(STATES[number], 150.0)
    metrics.observed.state(state, 150.5)
    for path in PATHS:
        for query in ("", "?format=json", f"?format={text}"):
            reply = ask(path + query, state, said=f"because of {text}", metrics=metrics)
            shown = reply.body.decode()
            assert key[:60] not in shown, f"{path}{query}"
            if reply.kind == JSON:
                json.loads(shown)
