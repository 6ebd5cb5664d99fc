# SPDX-License-Identifier: Apache-2.0
"""Consul's health and history as odd answers tell them; a server of the test's own gives those."""

from __future__ import annotations

import base64
import json
import re

import pytest

from kuutamod.consul.faults import ConsulError, Fault
from kuutamod.consul.health import ConsulHealth
from kuutamod.consul.overview import SINGLY, Overview, Unread, read_overview
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core.model import LockView
from kuutamod.core.protocol import FleetConfig, TermRecord, config_key, history_key, history_prefix, lock_key, request_key
from unit.consul.answering import Answer, Asked, answering

# python-consul2 warns of parts of Consul that are not used here.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base")

ACCOUNT = "pool.near"
LEADER, PEERS, AUTOPILOT = "/v1/status/leader", "/v1/status/peers", "/v1/operator/autopilot/health"
MISSING = Answer(404)
PEER_LIST = Answer(200, json.dumps(["10.0.0.1:8300", "10.0.0.2:8300", "10.0.0.3:8300"]))
DENIED = Answer(403, "Permission denied")


def report(*servers: tuple[bool, bool], tolerance: int = 1, status: int = 200) -> Answer:
    """Autopilot's report; each server votes or not, and is healthy or not."""
    listed = [{"Voter": voter, "Healthy": healthy} for voter, healthy in servers]
    return Answer(status, json.dumps({"Healthy": status == 200, "FailureTolerance": tolerance, "Servers": listed}))


def entries(values: dict[str, str]) -> Answer:
    """Keys with their values."""
    return Answer(
        200,
        json.dumps(
            [
                {"Key": k, "Value": base64.b64encode(v.encode()).decode(), "ModifyIndex": 5, "Flags": 0}
                for k, v in values.items()
            ]
        ),
    )


def asked(answers: dict[str, Answer], terms: int = 3) -> tuple[Overview, Asked]:
    """What is read from a Consul that gives these answers, by path, and has no keys else."""
    given = {LEADER: Answer(200, '"10.0.0.1:8300"'), PEERS: PEER_LIST, AUTOPILOT: report((True, True)), **answers}

    def answer(_method: str, path: str) -> Answer:
        bare, _unused, query = path.partition("?")
        return given.get(f"{bare}?keys" if "keys" in query else bare, MISSING)

    with answering(answer) as (url, seen):
        return read_overview(ConsulSettings((url,)), ACCOUNT, terms, 10.0), seen


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (report((True, True), (True, True), (True, True)), ConsulHealth("10.0.0.1:8300", 3, 3, 1)),
        # Unhealthy is no error.
        (
            report((True, True), (True, False), (False, True), tolerance=0, status=429),
            ConsulHealth("10.0.0.1:8300", 3, 1, 0),
        ),
        (
            DENIED,
            ConsulHealth("10.0.0.1:8300", 3, None, 1, "the Consul token may not read it; it needs operator:read"),
        ),
        (report(), ConsulHealth("10.0.0.1:8300", 3, None, 1, "autopilot has not judged the servers yet")),
        (
            Answer(429, "Your IP is issuing too many connections"),
            ConsulHealth("10.0.0.1:8300", 3, None, 1, "HTTP 429: Your IP is issuing too many connections"),
        ),
        (
            Answer(200, '{"Servers": [{}], "FailureTolerance": 1}'),
            ConsulHealth("10.0.0.1:8300", 3, None, 1, "autopilot's report is not in the known form"),
        ),
        (Answer(500, "no\r\nleader"), ConsulHealth("10.0.0.1:8300", 3, None, 1, "HTTP 500: no leader")),
    ],
)
def test_health(answer: Answer, health: ConsulHealth) -> None:
    assert asked({AUTOPILOT: answer})[0].consul == health


@pytest.mark.parametrize(("count", "tolerance"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 2)])
def test_tolerance_by_the_number_of_peers(count: int, tolerance: int) -> None:
    found = asked({AUTOPILOT: DENIED, PEERS: Answer(200, json.dumps(["10.0.0.1:8300"] * count))})[0].consul
    assert isinstance(found, ConsulHealth)
    assert (found.servers, found.tolerance) == (count, tolerance)


def test_no_leader() -> None:
    found = asked({LEADER: Answer(200, '""')})[0].consul
    assert isinstance(found, ConsulHealth)
    assert found.leader == ""


@pytest.mark.parametrize("path", [LEADER, PEERS])
def test_a_server_that_is_not_consul(path: str) -> None:
    """Nothing it says is believed."""
    with pytest.raises(ConsulError) as caught:
        asked({AUTOPILOT: DENIED, path: Answer(200, "{}")})
    assert caught.value.fault is Fault.UNUSABLE


def test_an_empty_consul() -> None:
    assert asked({})[0] == Overview(
        ACCOUNT, LockView(0), (), FleetConfig(), None, (), ConsulHealth("10.0.0.1:8300", 1, 1, 1)
    )


def test_values_that_are_not_ours() -> None:
    found, _unused = asked(
        {
            f"/v1/kv/{lock_key(ACCOUNT)}": entries({lock_key(ACCOUNT): "scribble"}),
            f"/v1/kv/{config_key(ACCOUNT)}": entries({config_key(ACCOUNT): "[]"}),
            f"/v1/kv/{request_key(ACCOUNT)}": entries({request_key(ACCOUNT): '{"id": "x", "ask": "dance"}'}),
        }
    )
    assert found.lock == LockView(5)
    assert isinstance(found.config, Unread)
    assert isinstance(found.request, Unread)
    assert found.config.why == f"key {config_key(ACCOUNT)} is not a JSON object; repair or delete it"
    assert f"key {request_key(ACCOUNT)} holds no request that this version knows" in found.request.why
    assert (found.config.fault, found.request.fault) == (Fault.CONFLICT, Fault.CONFLICT)


def history(count: int) -> dict[str, Answer]:
    """The answers of a Consul with so many terms, a key that is not ours, and one whose value is not its term's."""
    prefix = history_prefix(ACCOUNT)
    values = {history_key(ACCOUNT, term): TermRecord(term, "n", 1.0).to_json() for term in range(1, count + 1)}
    values |= {f"{prefix}zzz": "{}", history_key(ACCOUNT, count + 1): TermRecord(7777, "n", 1.0).to_json()}
    single = {f"/v1/kv/{key}": entries({key: value}) for key, value in values.items()}
    return {**single, f"/v1/kv/{prefix}": entries(values), f"/v1/kv/{prefix}?keys": Answer(200, json.dumps(list(values)))}


@pytest.mark.parametrize(("terms", "singly"), [(3, True), (SINGLY, True), (SINGLY + 1, False), (1000, False)])
def test_the_newest_terms_are_read(terms: int, singly: bool) -> None:
    found, seen = asked(history(20), terms)
    assert isinstance(found.history, tuple)
    # One of the newest keys has another term's record.
    assert [record.term for record in found.history] == list(range(20, max(0, 21 - terms), -1))[: terms - 1]
    whole = re.compile(rf"GET /v1/kv/{re.escape(history_prefix(ACCOUNT))}\?.*recurse")
    assert any(whole.match(request) for request in seen.requests) == (not singly)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_short_history_is_read_at_once(count: int) -> None:
    found, seen = asked(history(count))
    assert isinstance(found.history, tuple)
    assert len(found.history) == count
    assert sum(history_prefix(ACCOUNT) in request for request in seen.requests) == 2
