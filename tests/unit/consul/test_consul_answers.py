# SPDX-License-Identifier: Apache-2.0
"""The adapter and answers that no healthy Consul gives: only an answer that shows its result counts."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuutamod.consul.settings import ConsulSettings
from kuutamod.core import events as ev
from kuutamod.core.actions import (
    CreateSession,
    DestroySession,
    Heartbeat,
    Publish,
    ReadFleet,
    ReadLock,
    Release,
    RenewSession,
    Take,
    TakeKind,
)
from kuutamod.core.claim import Claim
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import LockView
from unit.consul.answering import KEY, MEMBER, RECORD, SESSION, Answer, Behaviour, adapter, answering, close_adapters

# python-consul2 warns of parts of Consul that are not used here.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base")

HEARTBEAT = Heartbeat(SESSION, RECORD)
EVERY = [
    HEARTBEAT,
    Take(SESSION, LockView(5), TakeKind.FREE, RECORD, Claim()),
    Release(SESSION, RECORD),
    ReadLock(),
    ReadFleet(),
    Publish(SESSION, MEMBER),
    CreateSession(),
    RenewSession(SESSION),
    DestroySession(SESSION),
]
FAILED = (ev.LockReadFailed, ev.FleetFailed, ev.MemberRefused, ev.SessionFailed)


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    yield
    close_adapters()


def failed(event: ev.Event) -> bool:
    if isinstance(event, ev.HeartbeatAnswered | ev.TakeAnswered | ev.ReleaseAnswered):
        return event.outcome is ev.Outcome.UNKNOWN and bool(event.why)
    return isinstance(event, FAILED) and bool(event.why)


def txn(key: str = KEY, session: str | None = SESSION, errors: object = None) -> str:
    kv = {"Key": key, "Value": None, "ModifyIndex": 9} | ({} if session is None else {"Session": session})
    return json.dumps({"Results": [{"KV": kv}], "Errors": errors})


NONSENSE = [
    Answer(200, "<html>a captive portal</html>"),
    Answer(200, ""),
    Answer(200, "null"),
    Answer(200, '{"Results": [], "Errors": null}'),
    Answer(200, '[{"Key": "another", "ModifyIndex": 4, "ID": "another"}]'),
    Answer(200, txn("another-key")),
    Answer(404, "page not found", index=None),
    Answer(409, "conflict"),
    Answer(429, "Your IP is issuing too many concurrent connections"),
    Answer(500, "No cluster leader"),
    Answer(302, location="http://127.0.0.1:1/elsewhere"),
]


def shows_its_body(action: object, answer: Answer) -> bool:
    """Both libraries hide the body of a good answer to ``destroy``; a session that lives on expires by itself."""
    return answer.status != 200 or not isinstance(action, DestroySession)


@pytest.mark.parametrize(
    ("action", "answer"),
    [pair for pair in itertools.product(EVERY, NONSENSE) if shows_its_body(*pair)],
    ids=lambda value: f"{value.status}-{value.body[:24]}" if isinstance(value, Answer) else type(value).__name__,
)
def test_nonsense_is_a_failure_and_never_a_fact(action: object, answer: Answer) -> None:
    with answering(lambda _method, _path: answer) as (url, _unused):
        node = adapter(ConsulSettings(urls=(url,)))
        event = asyncio.run(node.execute(action))  # type: ignore[arg-type]
    assert failed(event), event


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (txn(), ev.Outcome.APPLIED),
        (txn(session="another"), ev.Outcome.UNKNOWN),
        (txn(session=None), ev.Outcome.UNKNOWN),
        (txn(errors=[{"OpIndex": 0, "What": "?"}]), ev.Outcome.UNKNOWN),
    ],
)
def test_a_heartbeat_counts_only_with_its_result(body: str, outcome: ev.Outcome) -> None:
    with answering(lambda _method, _path: Answer(200, body)) as (url, _unused):
        event = asyncio.run(adapter(ConsulSettings(urls=(url,))).execute(HEARTBEAT))
    assert isinstance(event, ev.HeartbeatAnswered)
    assert event.outcome is outcome


@pytest.mark.parametrize("value", [None, base64.b64encode(b"not json").decode(), base64.b64encode(b'{"a": 1}').decode()])
def test_an_unreadable_value_is_still_a_view(value: str | None) -> None:
    item = {"Key": KEY, "Value": value, "ModifyIndex": 12, "Session": SESSION}
    with answering(lambda _method, _path: Answer(200, json.dumps([item]))) as (url, _unused):
        event = asyncio.run(adapter(ConsulSettings(urls=(url,))).execute(ReadLock()))
    assert isinstance(event, ev.LockSeen)
    assert event.view == LockView(12, SESSION, None)
    assert event.sent <= event.at


def test_every_call_ends_by_its_deadline_however_slow_the_answer() -> None:
    law = LeaseLaw(request_deadline=0.3)
    silence, before = threading.Event(), set(threading.enumerate())

    def never(_method: str, _path: str) -> Answer:
        silence.wait(60)
        return Answer(500)

    with answering(never) as (url, _unused):
        node = adapter(ConsulSettings(urls=(url,)), law)
        for action in EVERY:
            begun = time.monotonic()
            event = asyncio.run(node.execute(action))  # type: ignore[arg-type]
            assert failed(event), event
            assert time.monotonic() - begun < 10, "the server would have kept it for 60 s"
        node.close()
        left = [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("consul-")]
        for thread in left:  # each ends by its socket's timeout
            thread.join(20)
        assert not any(thread.is_alive() for thread in left)
        silence.set()


def test_a_stuck_call_does_not_hold_up_a_heartbeat() -> None:
    release = threading.Event()

    def answer(method: str, path: str) -> Answer:
        if method == "GET":
            release.wait(30)
        return Answer(200, txn())

    async def both(url: str) -> tuple[ev.Event, bool]:
        node = adapter(ConsulSettings(urls=(url,)), LeaseLaw(request_deadline=20.0))
        read = asyncio.create_task(node.execute(ReadLock()))
        beat = await node.execute(HEARTBEAT)
        waiting = not read.done()
        release.set()
        await read
        return beat, waiting

    with answering(answer) as (url, _unused):
        event, waiting = asyncio.run(both(url))
    assert isinstance(event, ev.HeartbeatAnswered)
    assert event.outcome is ev.Outcome.APPLIED
    assert waiting


@pytest.mark.parametrize(
    ("bad", "moves_on"),
    [
        (Answer(500, "No cluster leader"), True),
        (Answer(500, "rpc error making call: EOF"), True),
        (Answer(429, "too many"), True),
        (Answer(200, "<html>"), True),
        (Answer(403, "Permission denied"), False),
        (Answer(409, '{"Results": null, "Errors": [{"OpIndex": 0, "What": "invalid session"}]}'), False),
    ],
    ids=lambda value: str(getattr(value, "body", value))[:20],
)
def test_the_next_call_goes_elsewhere_and_stays_with_what_works(bad: Answer, moves_on: bool) -> None:
    good: Behaviour = lambda _method, _path: Answer(200, txn())  # noqa: E731
    with answering(lambda _method, _path: bad) as (first, first_asked), answering(good) as (second, second_asked):
        node = adapter(ConsulSettings(urls=(first, second)))
        for _unused in range(4):
            asyncio.run(node.execute(HEARTBEAT))
    assert (len(first_asked.requests), len(second_asked.requests)) == ((1, 3) if moves_on else (4, 0))


def test_a_redirect_is_not_followed() -> None:
    with answering(lambda _method, _path: Answer(200, txn())) as (elsewhere, asked):
        redirect = Answer(307, location=f"{elsewhere}/v1/txn")
        with answering(lambda _method, _path: redirect) as (url, _unused):
            event = asyncio.run(adapter(ConsulSettings(urls=(url,), token="hush")).execute(HEARTBEAT))
    assert isinstance(event, ev.HeartbeatAnswered)
    assert event.outcome is ev.Outcome.UNKNOWN
    assert asked.requests == []


def test_a_refused_connection_moves_on_too() -> None:
    with answering(lambda _method, _path: Answer(200, txn())) as (url, _unused):
        node = adapter(ConsulSettings(urls=("http://127.0.0.1:1", url)))
        first, second = asyncio.run(node.execute(HEARTBEAT)), asyncio.run(node.execute(HEARTBEAT))
    assert isinstance(first, ev.HeartbeatAnswered)
    assert isinstance(second, ev.HeartbeatAnswered)
    assert (first.outcome, second.outcome) == (ev.Outcome.UNKNOWN, ev.Outcome.APPLIED)
    assert first.why == "http://127.0.0.1:1: Connection refused"


def test_environment_and_netrc_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    for name, value in {
        "CONSUL_HTTP_ADDR": "nonsense:::",
        "CONSUL_HTTP_TOKEN": "someone-elses",
        "CONSUL_HTTP_SSL": "true",
        "CONSUL_HTTP_SSL_VERIFY": "false",
        "http_proxy": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "REQUESTS_CA_BUNDLE": "/nonexistent",
        "NETRC": str(netrc),
    }.items():
        monkeypatch.setenv(name, value)
    with answering(lambda _method, _path: Answer(200, txn())) as (url, asked):
        event = asyncio.run(adapter(ConsulSettings(urls=(url,), token="ours")).execute(HEARTBEAT))
        bare = asyncio.run(adapter(ConsulSettings(urls=(url,))).execute(HEARTBEAT))
    assert isinstance(event, ev.HeartbeatAnswered)
    assert isinstance(bare, ev.HeartbeatAnswered)
    assert (event.outcome, bare.outcome) == (ev.Outcome.APPLIED, ev.Outcome.APPLIED)
    assert asked.tokens == ["ours", None]


def test_a_denied_token_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old\n")

    def answer(_method: str, _path: str) -> Answer:
        return Answer(403, "ACL not found") if asked.tokens[-1] == "old" else Answer(200, txn())

    with answering(answer) as (url, asked):
        node = adapter(ConsulSettings(urls=(url,), token_file=path))
        denied = asyncio.run(node.execute(HEARTBEAT))
        path.write_text("new\n")
        admitted = asyncio.run(node.execute(HEARTBEAT))
        path.write_text("spoilt token\n")
        kept = asyncio.run(node.execute(HEARTBEAT))
    assert asked.tokens == ["old", "new", "new"]
    assert isinstance(denied, ev.HeartbeatAnswered)
    assert denied.outcome is ev.Outcome.UNKNOWN
    assert "ermission denied" in denied.why
    for event in (admitted, kept):
        assert isinstance(event, ev.HeartbeatAnswered)
        assert event.outcome is ev.Outcome.APPLIED


def test_a_missing_token_file_is_told(tmp_path: Path) -> None:
    with answering(lambda _method, _path: Answer(200, txn())) as (url, asked):
        event = asyncio.run(adapter(ConsulSettings(urls=(url,), token_file=tmp_path / "gone")).execute(HEARTBEAT))
    assert isinstance(event, ev.HeartbeatAnswered)
    assert event.outcome is ev.Outcome.UNKNOWN
    assert str(tmp_path / "gone") in event.why
    assert asked.requests == []


def test_calls_are_observed() -> None:
    seen: list[tuple[str, str]] = []
    bodies = iter([Answer(200, txn()), Answer(500, "No cluster leader")])
    with answering(lambda _method, _path: next(bodies)) as (url, _unused):
        node = adapter(
            ConsulSettings(urls=(url,)), observe=lambda operation, outcome, _seconds: seen.append((operation, outcome))
        )
        asyncio.run(node.execute(HEARTBEAT))
        asyncio.run(node.execute(HEARTBEAT))
    assert seen == [("heartbeat", "ok"), ("heartbeat", "no-leader")]


def test_a_session_that_is_not_as_asked_for_is_destroyed() -> None:
    info = {"ID": SESSION, "TTL": "10s", "LockDelay": 9_000_000_000, "Behavior": "release", "NodeChecks": ["serfHealth"]}

    def answer(_method: str, path: str) -> Answer:
        if path.startswith("/v1/session/create"):
            return Answer(200, json.dumps({"ID": SESSION}))
        return Answer(200, json.dumps([info])) if path.startswith("/v1/session/info") else Answer(200, "true")

    with answering(answer) as (url, asked):
        event = asyncio.run(adapter(ConsulSettings(urls=(url,))).execute(CreateSession()))
    assert isinstance(event, ev.SessionFailed)
    assert "serfHealth" in event.why
    assert asked.requests[-1] == f"PUT /v1/session/destroy/{SESSION}"
