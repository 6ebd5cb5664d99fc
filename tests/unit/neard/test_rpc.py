# SPDX-License-Identifier: Apache-2.0
"""What neard says by its RPC, what is taken from it, and what no answer of it can do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from kuutamo_localnet.wait import eventually
from kuutamod.core.desk import Windows
from kuutamod.neard import rpc
from kuutamod.neard.rpc import LARGEST_NUMBER, BadAnswer, StatusClient, parse, parse_windows
from unit.neard.stub_rpc import StubRpc, client_of, status, text

PATIENCE = 30.0
LONG = 300.0

DEEP = b"[" * 100_000
INFINITE = text(status()).replace(b"120", b"1e999")
NONSENSE = [
    b"",
    b"null",
    b"7",
    b'"error"',
    b"[]",
    b"[1, 2]",
    b'{"error": 1',
    b"\xff\xfe{}",
    b"<html>504 Gateway Time-out</html>",
    DEEP,
    INFINITE,
    text(status(latest_block_height="120")),
    text(status(latest_block_height=-1)),
    text(status(latest_block_height=True)),
    text(status(latest_block_height=1.5)),
    text(status(latest_block_height=None)),
    text(status(latest_block_height=LARGEST_NUMBER + 1)),
    text(status()).replace(b"120", b"1" * 5000),
    text(status(version="2.11.0")),
    text({**status(), "sync_info": 3}),
    text({**status(), "sync_info": []}),
    text({**status(), "node_public_key": json.loads("[" * 900 + "]" * 900)}).replace(b"node_public_key", b"other"),
]


@pytest.fixture
def stub() -> StubRpc:
    return StubRpc({"/status": text(status())})


@pytest.fixture
def client(stub: StubRpc, tmp_path: Path) -> Iterator[StatusClient]:
    with stub.served() as address, client_of(address, tmp_path) as made:
        yield made


# --- /status ---


def test_a_status() -> None:
    wall = 1772359210.123456
    found = parse(text(status(validator_account_id="v.near", validator_public_key="ed25519:v")), 7, True, 12, wall)
    assert (found.height, found.syncing, found.node_key, found.version) == (120, False, "ed25519:node", "2.11.0")
    assert (found.validator_account, found.validator_key) == ("v.near", "ed25519:v")
    assert (found.lock_pid, found.home_locked, found.peers) == (7, True, 12)
    assert (found.protocol, found.latest_protocol) == (83, 84)
    assert found.head_age == pytest.approx(10.0, abs=0.001)


def test_a_node_without_a_key_shows_none() -> None:
    found = parse(text(status()), None, False)
    assert (found.validator_account, found.validator_key, found.lock_pid, found.home_locked) == (None, None, None, False)
    assert found.peers is None


@pytest.mark.parametrize("told", [None, 17, "yesterday", "", "0001-01-01T00:00:00", "9999-12-31T23:59:59-23:00", [], {}])
def test_a_time_of_the_head_that_is_none_is_an_unknown_age(told: object) -> None:
    found = parse(text(status(latest_block_time=told)), None, True, wall=1.0)
    assert found.head_age is None or isinstance(found.head_age, float)
    assert found.height == 120


def test_a_head_without_a_time_has_an_unknown_age() -> None:
    data = status()
    del data["sync_info"]["latest_block_time"]
    assert parse(text(data), None, True).head_age is None


@pytest.mark.parametrize("told", [None, "83", -1, 8.3, True, [], 10**30])
def test_a_protocol_version_that_is_none_is_unknown(told: object) -> None:
    found = parse(text(status(protocol_version=told, latest_protocol_version=told)), None, True)
    assert (found.protocol, found.latest_protocol) == (0, 0)


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_an_answer_that_can_not_be_used(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="/status is not what neard answers"):
        parse(body, None, True)


def test_an_error_of_the_server_is_no_status(client: StatusClient, stub: StubRpc) -> None:
    stub.replies.clear()
    with pytest.raises(BadAnswer, match="/status answered 404"):
        client.ask(PATIENCE)


def test_an_answer_by_the_drop_is_too_late(client: StatusClient, stub: StubRpc) -> None:
    stub.replies["/status"] = _drop_by_drop
    with pytest.raises(TimeoutError):
        client.ask(0.5)


# --- the peers ---


def _drop_by_drop(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    for _unused in range(10_000):
        request.wfile.write(b" ")
        time.sleep(0.02)


def test_the_peers_are_counted_beside_the_status(client: StatusClient, stub: StubRpc) -> None:
    stub.replies["/network_info"] = text({"num_active_peers": 14, "known_producers": []})
    eventually(lambda: client.ask(PATIENCE).peers == 14, PATIENCE, "the peers are known")


@pytest.mark.parametrize(
    "body", [b"", b"[]", DEEP, b'{"num_active_peers": 1e999}', b'{"num_active_peers": -1}', b'{"num_active_peers": "9"}']
)
def test_peers_that_are_none_are_unknown(
    client: StatusClient, stub: StubRpc, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "PEERS_INTERVAL", 0.0)
    stub.replies["/network_info"] = text({"num_active_peers": 14})
    eventually(lambda: client.ask(PATIENCE).peers == 14, PATIENCE, "the peers are known")
    stub.replies["/network_info"] = body
    eventually(lambda: client.ask(PATIENCE).peers is None, PATIENCE, "the peers are unknown")


@pytest.mark.parametrize("how", ["silent", "by the drop"])
def test_a_neard_that_does_not_tell_its_peers_answers_as_fast_as_ever(
    client: StatusClient, stub: StubRpc, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "PEERS_INTERVAL", 0.0)
    monkeypatch.setattr(rpc, "PEERS_DEADLINE", LONG)
    go_on = threading.Event()

    def silent(_unused: BaseHTTPRequestHandler) -> None:
        go_on.wait(LONG)

    stub.replies["/network_info"] = _drop_by_drop if how == "by the drop" else silent
    try:
        found = [client.ask(PATIENCE) for _unused in range(20)]
        eventually(
            lambda: [path for path, _unused in stub.asked if path == "/network_info"], PATIENCE, "the peers are asked for"
        )
        found += [client.ask(PATIENCE) for _unused in range(20)]
    finally:
        go_on.set()
    assert {(each.height, each.peers) for each in found} == {(120, None)}
    assert [path for path, _unused in stub.asked].count("/network_info") == 1, "one question at a time"


def test_a_question_for_the_peers_ends_by_itself(
    client: StatusClient, stub: StubRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "PEERS_INTERVAL", 0.0)
    stub.replies["/network_info"] = _drop_by_drop
    client.ask(PATIENCE)
    stub.replies["/network_info"] = text({"num_active_peers": 3})
    eventually(lambda: client.ask(PATIENCE).peers == 3, PATIENCE, "the next question is answered")


# --- maintenance windows ---


def test_windows_in_both_shapes() -> None:
    spans = ((120, 131), (140, 141))
    pairs, objects = [[120, 131], [140, 141]], [{"start": 120, "end": 131}, {"start": 140, "end": 141}]
    for shape in (pairs, objects):
        assert parse_windows(text({"jsonrpc": "2.0", "id": "kuutamod", "result": shape})) == Windows(spans)


def test_no_window_is_known_to_be_none() -> None:
    assert parse_windows(text({"result": []})) == Windows(())


def test_an_error_makes_the_windows_unknown_and_not_none() -> None:
    error = {"name": "HANDLER_ERROR", "cause": {"name": "UNKNOWN_EPOCH"}, "code": -32000, "message": "Server error"}
    found = parse_windows(text({"jsonrpc": "2.0", "error": error, "id": "kuutamod"}))
    assert found.spans == ()
    assert found.why.startswith("neard refuses: ")
    assert "UNKNOWN_EPOCH" in found.why


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'"error"',
        b"[]",
        b"{}",
        DEEP,
        b'{"error": ' + DEEP,
        b'{"result": null}',
        b'{"result": 3}',
        b'{"result": [[1]]}',
        b'{"result": ["ab"]}',
        b'{"result": [[1, 1e999]]}',
        b'{"result": [[1, null]]}',
        b'{"result": [[-1, 5]]}',
        b'{"result": [{"start": 1}]}',
        b'{"result": [{"start": "1", "end": "2"}]}',
    ],
)
def test_nonsense_makes_the_windows_unknown(body: bytes) -> None:
    found = parse_windows(body)
    assert found.spans == ()
    assert found.why.startswith("not what neard answers")


def test_windows_are_asked_for_the_account_by_name(client: StatusClient, stub: StubRpc) -> None:
    stub.replies["/"] = text({"result": [[5, 9]]})
    assert client.windows("v.near", PATIENCE) == Windows(((5, 9),))
    path, body = stub.asked[-1]
    asked = json.loads(body)
    assert (path, asked["method"], asked["params"]) == ("/", "maintenance_windows", {"account_id": "v.near"})


def test_a_server_that_fails_makes_the_windows_unknown(client: StatusClient) -> None:
    assert client.windows("v.near", PATIENCE) == Windows((), "/ answered 404")


def test_no_neard_makes_the_windows_unknown(stub: StubRpc, tmp_path: Path) -> None:
    with stub.served() as address, client_of(address, tmp_path) as client:
        pass
    assert client.windows("v.near", PATIENCE).why


def test_each_answer_tells_whether_the_validator_key_can_still_be_read(client: StatusClient, tmp_path: Path) -> None:
    (tmp_path / "key.json").touch()
    assert client.ask(5.0).key_present
    (tmp_path / "key.json").unlink()
    assert not client.ask(5.0).key_present
