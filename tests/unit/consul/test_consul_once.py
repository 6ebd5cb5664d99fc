# SPDX-License-Identifier: Apache-2.0
"""How long one question of a program may take, and how long each of the daemon's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from kuutamod.consul.endpoint import CONNECT_DEADLINE, Link, TokenSource
from kuutamod.consul.faults import ConsulError, Fault
from kuutamod.consul.once import ask_once
from kuutamod.consul.settings import ConsulSettings

# python-consul2 warns of parts of Consul that are not used here.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base")
ONE = ConsulSettings(("http://127.0.0.1:1",))
TWO = ConsulSettings(("http://127.0.0.1:1", "http://127.0.0.1:2"))


@pytest.fixture
def timeouts(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What every request was given, to connect and to read; none gets an answer."""
    seen: list[object] = []

    def send(_self: HTTPAdapter, _request: requests.PreparedRequest, **options: Any) -> None:
        seen.append(options["timeout"])
        raise requests.ConnectTimeout

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return seen


def test_one_question_may_use_its_time_to_connect(timeouts: list[object]) -> None:
    with pytest.raises(ConsulError) as caught:
        ask_once(ONE, 8.0, lambda client: client.status.leader())
    assert caught.value.fault is Fault.TIMEOUT
    assert timeouts == [(8.0, 8.0)]


def test_each_url_has_its_share_to_connect(timeouts: list[object]) -> None:
    with pytest.raises(ConsulError):
        ask_once(TWO, 8.0, lambda client: client.status.leader())
    assert timeouts == [(4.0, 4.0), (4.0, 4.0)]


def test_the_daemon_does_not_wait_long_for_a_host_that_is_not_there(timeouts: list[object]) -> None:
    link = Link("test", ONE, TokenSource(ONE), read_deadline=1.0)
    with pytest.raises(ConsulError):
        asyncio.run(link.ask(lambda client: client.status.leader(), 1.0))
    link.close()
    assert timeouts == [(CONNECT_DEADLINE, 1.0)] == [(0.5, 1.0)]
