# SPDX-License-Identifier: Apache-2.0
"""validator_maintenance on a real Consul."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from integration.between import between, lost
from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import maintenance_key
from unit.plugins.rig import Answer, address, run, shared

Ask = Callable[..., Answer]
NAME = "validator_maintenance"


def test_one_run_at_a_time(server: ConsulServer, account: str, ask: Ask) -> None:
    client, key = server.client(), maintenance_key(account)
    taken = ask(NAME, diff=True, reason="kernel update", by="alice@desk")
    assert (taken.told, taken["previous"]) == ((False, True), None)
    assert taken["diff"]["after"]["maintenance"]["by"] == "alice@desk"
    session = client.session_info(taken["session"])
    assert session is not None
    checks = [session.get(name) for name in ("Checks", "NodeChecks", "ServiceChecks")]
    assert (session["TTL"], session["Behavior"], session["LockDelay"]) == ("3600s", "release", 0)
    assert not any(checks)
    other = ask(NAME, reason="other", by="bob@desk")
    assert (other.told, other["reason"], other["maintenance"]["by"]) == ((True, False), "held", "alice@desk")
    assert "alice@desk holds the maintenance lock since " in other["msg"]
    assert ": kernel update: wait for its end, or " in other["msg"]
    entry = client.kv_get(key)
    assert entry is not None
    assert entry.session == taken["session"]
    renewed = ask(NAME, session=taken["session"])
    assert (renewed.told, renewed["session"]) == ((False, False), taken["session"])
    freed = ask(NAME, state="absent", session=taken["session"], diff=True)
    assert (freed.told, freed["session"], freed["maintenance"]) == ((False, True), None, None)
    assert client.kv_get(key) is None
    assert client.session_info(taken["session"]) is None
    assert ask(NAME, state="absent", session=taken["session"]).told == (False, False)
    assert ask(NAME, by="bob@desk").told == (False, True)


def test_sessions_of_those_who_came_too_late_don_t_stay(server: ConsulServer, ask: Ask) -> None:
    taken = ask(NAME)
    before = server.client().session_list()
    ask(NAME)
    assert server.client().session_list() == before
    ask(NAME, state="absent", session=taken["session"])


def test_a_lost_lock_is_told_and_ends_the_run(server: ConsulServer, account: str, ask: Ask) -> None:
    taken = ask(NAME, by="alice@desk", reason="old")
    server.client().session_destroy(taken["session"])
    lost = ask(NAME, session=taken["session"])
    assert (lost.told, lost["reason"]) == ((True, False), "lost")
    assert "nobody holds it now. End this run" in lost["msg"]
    new = ask(NAME, by="bob@desk", reason="new")
    assert new.told == (False, True)
    lost = ask(NAME, session=taken["session"])
    assert (lost["reason"], lost["maintenance"]["by"]) == ("lost", "bob@desk")
    # A run that ends lets the next one have what it has lost.
    ended = ask(NAME, state="absent", session=taken["session"])
    assert (ended.told, ended["maintenance"]["by"]) == ((False, False), "bob@desk")
    assert "was lost: bob@desk holds" in ended.warnings
    assert ask(NAME, session=new["session"]).told == (False, False)


def test_the_lock_of_a_dead_run_is_freed_by_force_only(server: ConsulServer, account: str, ask: Ask) -> None:
    ghost = ask(NAME, by="alice@desk", reason="gone")
    refused = ask(NAME, state="absent")
    assert (refused.told, refused["reason"]) == ((True, False), "held")
    assert "alice@desk holds the maintenance lock" in refused["msg"]
    assert ask(NAME, state="absent", force=True, check=True).told == (False, True)
    assert ask(NAME, session=ghost["session"]).told == (False, False)
    freed = ask(NAME, state="absent", force=True)
    assert (freed.told, freed["previous"]["by"], freed["maintenance"]) == ((False, True), "alice@desk", None)
    assert ask(NAME, state="absent", force=True).told == (False, False)
    assert ask(NAME, session=ghost["session"])["reason"] == "lost"
    assert ask(NAME, by="bob@desk").told == (False, True)


def test_a_run_that_dies_loses_it_after_its_time(account: str) -> None:
    with ConsulServer(session_ttl_min=1.0) as server:
        to = {"account_id": account, **address(server.url)}
        assert run(NAME, ttl=10, **to).told == (False, True)
        begun = time.monotonic()
        assert run(NAME, **to)["reason"] == "held"
        eventually(lambda: run(NAME, check=True, **to).told == (False, True), 40, "the session has ended", 0.5)
        assert time.monotonic() - begun > 9


def test_check_mode_writes_nothing(server: ConsulServer, account: str, ask: Ask) -> None:
    sessions = server.client().session_list()
    planned = ask(NAME, check=True, diff=True, by="alice@desk")
    assert (planned.told, planned["session"], planned["maintenance"]["by"]) == ((False, True), None, "alice@desk")
    assert server.client().kv_get(maintenance_key(account)) is None
    assert server.client().session_list() == sessions
    assert ask(NAME, check=True, state="absent").told == (False, False)
    taken = ask(NAME)
    assert ask(NAME, check=True)["reason"] == "held"
    assert ask(NAME, check=True, session=taken["session"]).told == (False, False)
    assert ask(NAME, check=True, state="absent", session=taken["session"]).told == (False, True)
    assert ask(NAME, session=taken["session"]).told == (False, False)


def test_a_nodes_session_is_never_ended(fleet: WrittenFleet, ask: Ask) -> None:
    told = ask(NAME, state="absent", session=fleet.sessions["n1"])
    assert told.told == (False, False)
    assert fleet.client.session_info(fleet.sessions["n1"]) is not None
    assert ask(NAME, session=fleet.sessions["n1"])["reason"] == "lost"
    assert ask("validator_info")["holder"] == "n1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ttl": 9}, "ttl: 9 is not a time of 10 to 86400 seconds"),
        ({"ttl": 86401}, "ttl: 86401 is not a time of 10 to 86400 seconds"),
        ({"force": True}, "force: it goes with state=absent"),
        ({"reason": "x" * 201}, "reason: it has 201 characters"),
    ],
)
def test_what_cannot_be_is_refused(
    server: ConsulServer, account: str, ask: Ask, options: dict[str, object], words: str
) -> None:
    told = ask(NAME, **options)
    assert (told.told, told["reason"]) == ((True, False), "options")
    assert words in told["msg"]
    assert server.client().kv_get(maintenance_key(account)) is None


def test_a_value_that_is_not_ours_is_respected(server: ConsulServer, account: str, ask: Ask) -> None:
    client = server.client()
    session = client.session_create("somebody", LockDelay="0s")
    assert client.kv_put(maintenance_key(account), "what?", acquire=session)
    told = ask(NAME)
    assert (told["reason"], told["maintenance"]) == (
        "held",
        {"by": None, "since": None, "reason": None, "session": session},
    )
    assert ask("validator_info")["maintenance"]["session"] == session
    assert ask(NAME, state="absent", force=True).told == (False, True)
    client.session_destroy(session)


def test_a_session_that_ends_while_it_is_renewed_has_lost_the_lock(
    server: ConsulServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, sessions = ask(NAME), shared("consul.sessions")
    real = sessions.renew

    def renew(client: object, session: str) -> None:
        server.client().session_destroy(session)
        real(client, session)

    monkeypatch.setattr(sessions, "renew", renew)
    told = ask(NAME, session=taken["session"])
    assert (told.told, told["reason"], told["maintenance"]) == ((True, False), "lost", None)
    assert "nobody holds it now. End this run" in told["msg"]


@pytest.mark.parametrize("late", [True, False])
def test_a_lock_whose_answer_comes_too_late_is_given_back(server: ConsulServer, account: str, late: bool) -> None:
    """``late``: the lock is asked for on the way for so long that nobody waits for it any more."""
    before, over, done = server.client().session_list(), threading.Event(), threading.Event()

    def meddle(_body: str, apply: Callable[[], None]) -> bool:
        if not late:
            apply()
        over.wait(60)
        if late:
            apply()
        done.set()
        return True

    with between(server.url, meddle) as slow:
        told = run(NAME, account_id=account, consul_timeout=3.0, **address(slow))
        assert server.client().session_list() == before, "its end does not wait for the answer"
        over.set()
        assert done.wait(60)
    assert (told.told, told["reason"]) == ((True, False), "unreachable")
    assert "session" not in told.results
    assert server.client().session_list() == before
    entry = server.client().kv_get(maintenance_key(account))
    assert entry is None or not entry.session
    assert run(NAME, account_id=account, **address(server.url)).told == (False, True)


def test_a_lock_that_may_be_held_by_us_is_told_and_can_be_freed(
    server: ConsulServer, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = shared("consul.faults")

    def gone(*_unused: object) -> None:
        raise faults.ConsulError(faults.Fault.UNREACHABLE, "Connection refused")

    monkeypatch.setattr(shared("consul.maintenance"), "_end", gone)
    with between(server.url, lost(maintenance_key(account))) as broken:
        told = run(NAME, account_id=account, **address(broken))
    session = told["session"]
    assert (told.told, told["reason"]) == ((True, True), "unreachable")
    assert f"the maintenance lock may be held by session {session} all the same, for 3600 to 7200 seconds" in told["msg"]
    assert f"Free it with state=absent and session={session}" in told["msg"]
    to = {"account_id": account, **address(server.url)}
    entry = server.client().kv_get(maintenance_key(account))
    assert entry is not None
    assert entry.session == session, "the test shows what it should"
    assert run(NAME, state="absent", session=session, **to).told == (False, True)
    assert run(NAME, **to).told == (False, True)
