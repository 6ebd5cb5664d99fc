# SPDX-License-Identifier: Apache-2.0
"""Where Consul does what it is asked and its answer gets lost: nothing is made twice, and nothing is lost."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from unit.consul.answering import Answer as Said
from unit.consul.answering import answering
from unit.plugins.consul_rig import secret
from unit.plugins.rig import Answer, address, run

WANTED = secret()
LOST = 4.0
"""Seconds that a lost answer takes; the module waits 2."""


@dataclass
class Consul:
    """One that has bootstrapped once ``bootstrapped`` is true; ``lose`` are the requests whose answers get lost."""

    bootstrapped: bool = False
    chooses: bool = False
    lose: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    first: list[Said] = field(default_factory=list)

    def __call__(self, method: str, path: str) -> Said:
        what = f"{method} {path.split('?', maxsplit=1)[0].removeprefix('/v1/')}"
        self.asked.append(what)
        said = self._do(what)
        if what in self.lose:
            time.sleep(LOST)
        return said

    def _do(self, what: str) -> Said:
        if what == "PUT acl/bootstrap":
            if self.first:
                return self.first.pop()
            if self.bootstrapped:
                return Said(403, "Permission denied: ACL bootstrap no longer allowed (reset index: 13)")
            self.bootstrapped = True
            made = secret() if self.chooses else WANTED
            self.known.add(made)
            return Said(200, json.dumps({"AccessorID": "a1", "SecretID": made}))
        if what == "GET acl/token/self":
            known = WANTED in self.known
            return Said(200, json.dumps({"AccessorID": "a1", "SecretID": WANTED})) if known else Said(403, "ACL not found")
        if what == "PUT acl/token":
            self.known.add(WANTED)
            return Said(200, json.dumps({"AccessorID": "a2", "SecretID": WANTED}))
        if what == "PUT acl/policy":
            return Said(200, json.dumps({"ID": "p1"}))
        return Said(200, "[]" if what.startswith("GET") else "{}")


def bootstrap(consul: Callable[[str, str], Said], **options: Any) -> Answer:
    with answering(consul) as (url, _asked):
        return run(
            "consul_acl", **{**address(url), "token": WANTED, "timeout": 2.0, "wait": 10.0, "bootstrap": True, **options}
        )


def test_a_bootstrap_whose_answer_is_lost_is_found_and_not_repeated() -> None:
    consul = Consul(lose=["PUT acl/bootstrap"])
    done = bootstrap(consul)
    assert done.told == (False, True) and done["bootstrapped"]
    assert consul.asked.count("PUT acl/bootstrap") == 1
    # The token gets its name all the same.
    assert "PUT acl/token/a1" in consul.asked


def test_a_bootstrap_that_an_earlier_run_has_not_seen_the_answer_of() -> None:
    consul = Consul(bootstrapped=True)
    consul.first = [Said(403, "Permission denied: ACL bootstrap no longer allowed (reset index: 13)")]

    def late(method: str, path: str) -> Said:
        # It becomes known between the first question and the refusal.
        said = consul(method, path)
        if path.endswith("acl/bootstrap"):
            consul.known.add(WANTED)
        return said

    assert bootstrap(late).told == (False, True)


def test_a_first_token_that_is_lost_is_told_with_its_remedy() -> None:
    consul = Consul(chooses=True, lose=["PUT acl/bootstrap"])
    lost = bootstrap(consul)
    assert lost.failed and consul.asked.count("PUT acl/bootstrap") == 1
    assert "may have been done all the same" in lost["msg"]
    consul.lose.clear()
    again = bootstrap(consul)
    assert again["reason"] == "forbidden"
    assert "an earlier run was cut off" in again["msg"] and "reset the ACL system" in again["msg"]


def test_the_operators_token_in_its_place_whose_answer_is_lost() -> None:
    consul = Consul(chooses=True, lose=["PUT acl/token"])
    assert bootstrap(consul).told == (False, True)
    assert consul.asked.count("PUT acl/token") == 1 and "DELETE acl/token/a1" in consul.asked


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("PUT acl/token", {"tokens": [{"description": "x", "agent": "agent"}]}),
        ("PUT acl/policy", {"policies": [{"name": "x", "rules": 'operator = "read"'}]}),
    ],
)
def test_nothing_is_made_twice(what: str, options: dict[str, Any]) -> None:
    consul = Consul(known={WANTED}, lose=[what])
    lost = bootstrap(consul, bootstrap=False, **options)
    assert lost.told == (True, True) and "run it again" in lost["msg"]
    assert consul.asked.count(what) == 1


def test_what_was_surely_not_done_is_tried_again() -> None:
    consul = Consul()
    consul.first = [Said(500, "No cluster leader"), Said(500, "The ACL system is currently in legacy mode.")]
    assert bootstrap(consul).told == (False, True)
    assert consul.asked.count("PUT acl/bootstrap") == 3


@contextmanager
def breaking_off(status: str, reset: bool) -> Iterator[str]:
    """A server that begins a refusal and does not end it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                asker, _where = listening.accept()
            except OSError:
                return
            with asker:
                asker.recv(65536)
                asker.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 100\r\n\r\nPermission".encode())
                if reset:
                    time.sleep(0.2)
                    asker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("status", ["403 Forbidden", "500 Internal Server Error"])
def test_a_refusal_that_breaks_off_is_no_answer(status: str, reset: bool) -> None:
    with breaking_off(status, reset) as url:
        broken = run("consul_autopilot", **address(url), token=WANTED, min_quorum=3)
    assert broken.failed and broken["reason"] == "unreachable"
    assert f"breaks off its answer {status[:3]}" in broken["msg"]


def keyring(wanted: str, refusals: dict[str, Said]) -> Answer:
    """The ring knows the wanted key and another one, which is in use."""
    other = base64.b64encode(b"o" * 32).decode()
    ring = [{"NumNodes": 3, "Keys": {wanted: 3, other: 3}, "PrimaryKeys": {other: 3}}]

    def say(method: str, _path: str) -> Said:
        return refusals.get(method, Said(200, json.dumps(ring)))

    with answering(say) as (url, _asked):
        return run("consul_keyring", **address(url), token=WANTED, key=wanted)


@pytest.mark.parametrize(
    ("method", "said", "changed"),
    [
        ("GET", Said(500, "it is ill"), False),
        ("PUT", Said(403, "Permission denied"), False),
        ("PUT", Said(500, "1/3 nodes reported failure"), True),
        ("DELETE", Said(403, "Permission denied"), True),
    ],
)
def test_a_keyring_that_is_changed_in_part_is_told_so(method: str, said: Said, changed: bool) -> None:
    assert keyring(base64.b64encode(b"w" * 32).decode(), {method: said}).told == (True, changed)
