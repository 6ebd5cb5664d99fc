# SPDX-License-Identifier: Apache-2.0
"""`kuutamoctl status` and `history` as an operator runs them on a real Consul, in a pipe and in a real terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.operator_terminal import ENTER, LEAVE, Terminal, widest
from integration.scenario import BUSY
from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.fleet_plan import installed
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import Ask, FleetConfig, Pause, Request, TermRecord, config_key, lock_key, request_key

pytestmark = pytest.mark.integration

CTL = installed("kuutamoctl")
SURROUNDINGS = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    with ConsulServer(tmp_path_factory.mktemp("view") / "consul") as server:
        yield server


@pytest.fixture
def fleet(server: ConsulServer) -> Iterator[WrittenFleet]:
    """An account of the test's own, with two nodes; nobody holds the lock yet."""
    fleet = WrittenFleet(server.client(), f"a{uuid.uuid4().hex[:10]}.near")
    fleet.join("n1")
    fleet.join("n2", eligible=True, height=997)
    yield fleet
    fleet.end()


def ctl(server: ConsulServer, account: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run kuutamoctl; its output goes into a pipe."""
    return subprocess.run(
        [CTL, *arguments, "--account-id", account],
        env={**SURROUNDINGS, "KUUTAMO_CONSUL_URL": server.url, "COLUMNS": "160", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60.0,
        check=False,
    )


def status(server: ConsulServer, fleet: WrittenFleet) -> tuple[int, str]:
    """Exit code and text of `status`."""
    done = ctl(server, fleet.account, "status")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    return done.returncode, done.stdout


def as_json(server: ConsulServer, fleet: WrittenFleet, command: str = "status") -> dict[str, Any]:
    """The object that the command prints."""
    done = ctl(server, fleet.account, command, "--json")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    assert found.get("code", done.returncode) == done.returncode
    return found


# --- status ---


def test_each_exit_code(server: ConsulServer, fleet: WrittenFleet) -> None:
    code, text = status(server, fleet)
    assert (code, text.splitlines()[0]) == (2, f"{fleet.account}: held by nobody, there is no lock yet")
    fleet.hold("n1", 7)
    code, text = status(server, fleet)
    assert code == 0
    assert f"{fleet.account}: held by n1, term 7\n" in text
    assert "n1 holds the lock; n2 can take over\n" in text
    assert re.search(r"n1 +validator +Validating/active +7 +1000 +0 +7 +\d+\.\ds +2\.10\.0 +84 +0 +- ", text)
    assert re.search(r"n2 +standby +Voting +- +997 +3 +7 +- +2\.10\.0 +84 +0 +- ", text)
    fleet.join("n2", eligible=False, ineligible=["syncing"])
    code, text = status(server, fleet)
    assert (code, "no eligible standby" in text, "syncing" in text) == (1, True, True)
    fleet.join("n2", eligible=True)
    fleet.silence("n2")
    code, text = status(server, fleet)
    assert (code, "silent" in text) == (1, True)
    fleet.silence("n1")
    code, text = status(server, fleet)
    assert code == 2
    assert "held by nobody, free without a release since term 7 of n1: the guard time runs" in text


def test_a_released_lock(server: ConsulServer, fleet: WrittenFleet) -> None:
    fleet.hold("n1", 7)
    fleet.release("n1", 7, "stopped: SIGTERM")
    code, text = status(server, fleet)
    assert code == 2
    assert f"{fleet.account}: held by nobody, n1 released it in term 7: stopped: SIGTERM\n" in text
    found = as_json(server, fleet)
    assert (found["code"], found["lock"]["released"], found["lock"]["holder"]) == (2, True, None)


def test_a_holder_whose_record_is_gone_does_not_count(server: ConsulServer, fleet: WrittenFleet) -> None:
    fleet.hold("n1", 7)
    fleet.client.kv_delete(f"kuutamod/{fleet.account}/members/n1")
    code, text = status(server, fleet)
    assert (code, "n1 holds the lock, but has no live member record; n2 can take over" in text) == (2, True)


def test_consul_can_not_be_asked() -> None:
    with ConsulServer() as server:
        fleet = WrittenFleet(server.client(), "a.near")
        fleet.join("n1")
        server.kill()
        for command in ("status", "history"):
            done = ctl(server, fleet.account, command)
            assert (done.returncode, done.stdout) == (3, "")
            assert done.stderr == f"kuutamoctl: Consul can't be asked: {server.url}: Connection refused\n"
        found = as_json(server, fleet)
        assert (found["code"], found["health"], found["nodes"]) == (3, "unknown", [])


def test_pause_request_and_drained_node(server: ConsulServer, fleet: WrittenFleet) -> None:
    fleet.hold("n1", 7)
    now = time.time()
    config = FleetConfig(pauses=(Pause(now + 1800, by="alice", reason="kernel update"),), no_takeover=("n2",))
    fleet.client.kv_put(config_key(fleet.account), config.to_json())
    request = Request("r1", Ask.HANDOVER, "n1", 7, now, now + 600, node="n2", by="bob")
    fleet.client.kv_put(request_key(fleet.account), request.to_json())
    code, text = status(server, fleet)
    assert code == 1
    assert re.search(
        r"\nPAUSED: no automatic takeover or handover for (30m00|29m5\d)s more, until .* UTC by alice: kernel", text
    )
    assert re.search(
        r"\npending request: handover from n1 to n2 by bob, asked for .* ago, expires in .*: no node has", text
    )
    assert re.search(r"n2 +standby .* drained ", text)
    found = as_json(server, fleet)
    assert [pause["reason"] for pause in found["pauses"]] == ["kernel update"]
    assert (found["request"]["id"], found["request"]["outcome"]) == ("r1", None)
    assert [node["flags"] for node in found["nodes"]] == [[], ["drained"]]
    assert found["last_term"]["term"] == 7


def test_values_of_others_reach_no_terminal_as_they_are(server: ConsulServer, fleet: WrittenFleet) -> None:
    fleet.hold("n1", 7)
    evil = "\x1b]0;title\x07\x1b[2J\u202e\n\u65e5\u672c"
    fleet.join("n2", eligible=False, ineligible=[evil], neard_version=evil, state=evil)
    fleet.record(TermRecord(8, evil, time.time(), cause=evil, began=evil, by=evil))
    for command in ("status", "history"):
        for width in ("60", "80", "120"):
            text = ctl(server, fleet.account, command, COLUMNS=width).stdout
            assert text
            assert all(line.isprintable() for line in text.splitlines())
    # An output that has no such signs gets others for them.
    done = ctl(server, fleet.account, "status", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout.isascii()) == (1, True)
    assert done.stdout.splitlines()[1].startswith("+---")


# --- history ---


def test_history(server: ConsulServer, fleet: WrittenFleet) -> None:
    done = ctl(server, fleet.account, "history")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{fleet.account}: there is no lock yet", "no term has been recorded"]
    for term in range(1, 31):
        fleet.record(
            TermRecord(term, f"n{term % 2}", 1e9 + term, until=1e9 + term + 1, cause="release", ended=f"end of {term}")
        )
    fleet.hold("n1", 31)
    lines = ctl(server, fleet.account, "history").stdout.splitlines()
    assert lines[0] == f"{fleet.account}: term 31, held by n1"
    assert [int(line.split()[1]) for line in lines[4:-1]] == list(range(31, 11, -1))
    assert re.search(r"31 +n1 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +now .* 0\.5s +first ", lines[4])
    assert re.search(r"30 +n0 +2001-09-09 01:47:10 +2001-09-09 01:47:11 +1\.0s +- +release .* end of 30 ", lines[5])
    found = json.loads(ctl(server, fleet.account, "history", "-n", "2", "--json").stdout)
    assert [term["term"] for term in found["terms"]] == [31, 30]
    assert (found["account"], found["lock"]["holder"], found["terms"][0]["until"]) == (fleet.account, "n1", None)


def test_history_of_a_term_that_only_the_lock_knows_to_be_over(server: ConsulServer, fleet: WrittenFleet) -> None:
    fleet.hold("n1", 3)
    fleet.release("n1", 3, "stopped: SIGTERM", last_height=1234)
    text = ctl(server, fleet.account, "history").stdout
    assert f"{fleet.account}: term 3, held by nobody\n" in text
    assert "term 3 is over: n1 released the lock at height 1234: stopped: SIGTERM\n" in text
    assert re.search(r"3 +n1 +\S+ \S+ +released ", text)


def test_history_needs_the_right_to_read_it(tmp_path: Path) -> None:
    with ConsulServer(acl=True) as server:
        fleet = WrittenFleet(server.client(), "a.near")
        fleet.join("n1", eligible=True)
        fleet.join("n2", eligible=True)
        fleet.hold("n1", 3)
        admin = server.acl()
        rules = (
            f'key "{lock_key("a.near")}" {{ policy = "read" }} key_prefix "kuutamod/a.near/members/" {{ policy = "read" }}'
        )
        secret = admin.token(admin.policy("onlooker", rules)).secret
        done = ctl(server, "a.near", "history", KUUTAMO_CONSUL_TOKEN=secret)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("kuutamoctl: the history can't be read: ")
        assert "permission denied" in done.stderr
        # The table does without; it says so.
        done = ctl(server, "a.near", "status", KUUTAMO_CONSUL_TOKEN=secret)
        assert done.returncode == 0
        assert "the history can't be read: " in done.stdout
        assert "operator:read" in done.stdout
        # Who may read nothing does not know how the fleet is.
        done = ctl(server, "a.near", "status")
        assert (done.returncode, "the lock can't be read: " in done.stdout) == (3, True)


# --- a terminal ---


@contextlib.contextmanager
def watching(server: ConsulServer, account: str, *arguments: str, **env: str) -> Iterator[Terminal]:
    """`status --watch` on a terminal."""
    argv = [str(CTL), "status", "--watch=0.5", "--account-id", account, *arguments]
    terminal = Terminal(argv, {**SURROUNDINGS, "KUUTAMO_CONSUL_URL": server.url, "TERM": "xterm", **env})
    try:
        yield terminal
    finally:
        terminal.close()


def test_watching_a_fleet_until_ctrl_c(server: ConsulServer, fleet: WrittenFleet) -> None:
    fleet.hold("n1", 7)
    with watching(server, fleet.account) as terminal:
        frame = terminal.shows("held by n1, term 7", "n1 holds the lock; n2 can take over")
        assert terminal.text().startswith(ENTER)
        assert "\x1b[32mvalidator\x1b[0m" in frame
        assert "Ctrl-C ends" in frame
        fleet.release("n1", 7, "asked to")
        fleet.join("n1")
        fleet.hold("n2", 8)
        terminal.shows("held by n2, term 8", "no eligible standby")
        terminal.press(b"\x03")
        assert terminal.ended() == 1
        text = terminal.text()
        assert (text.count(ENTER), text.count(LEAVE)) == (1, 1)
        assert "Traceback" not in text
        # Nothing but the echo of the key comes after the old screen is back.
        assert text.endswith(LEAVE)


def test_watching_follows_the_terminals_size(server: ConsulServer, fleet: WrittenFleet) -> None:
    fleet.hold("n1", 7)
    with watching(server, fleet.account) as terminal:
        assert 60 < widest(terminal.shows("Peers  Lock age")) <= 100
        seen = len(terminal.frames())
        terminal.resize(24, 60)
        assert widest(terminal.shows("lock age", beyond=seen)) <= 60
        seen = len(terminal.frames())
        terminal.resize(4, 60)
        eventually(lambda: "more lines" in terminal.text(), BUSY, "only what fits is shown")
        terminal.press(b"\x03")
        assert terminal.ended() == 0


def test_the_last_table_stays_while_consul_is_away(tmp_path: Path) -> None:
    with ConsulServer(tmp_path / "consul", persistent=True) as server:
        fleet = WrittenFleet(server.client(), "a.near")
        fleet.join("n1")
        fleet.join("n2", eligible=True)
        fleet.hold("n1", 7)
        with watching(server, fleet.account) as terminal:
            terminal.shows("n1 holds the lock; n2 can take over")
            server.kill()
            frame = terminal.shows("Consul can't be asked: ", "Connection refused", "The table is ")
            assert "\x1b[1;31mConsul can't be asked" in frame
            assert "held by n1, term 7" in frame
            seen = len(terminal.frames())
            server.restart()
            server.wait_ready(60)
            frame = terminal.shows("n1 holds the lock; n2 can take over", "Consul: leader", beyond=seen + 1)
            eventually(lambda: "can't be asked" not in terminal.frames()[-1], BUSY, "the red line is gone")
            server.kill()
            seen = len(terminal.frames())
            terminal.shows("Connection refused", beyond=seen)
            terminal.press(b"\x03")
            assert terminal.ended() == 3


def test_ctrl_c_while_consul_is_frozen() -> None:
    with ConsulServer() as server:
        fleet = WrittenFleet(server.client(), "a.near")
        fleet.join("n1")
        fleet.join("n2", eligible=True)
        fleet.hold("n1", 7)
        with watching(server, fleet.account) as terminal:
            terminal.shows("n1 holds the lock; n2 can take over")
            server.freeze()
            try:
                terminal.shows("Consul can't be asked: ", "no answer", "The table is ")
                seen = len(terminal.frames())
                terminal.shows("Consul can't be asked: ", beyond=seen)
                # In the middle of the next question, which takes as long as the last one.
                terminal.press(b"\x03")
                assert terminal.ended() == 3
                assert terminal.text().endswith(LEAVE)
            finally:
                server.thaw()


@pytest.mark.parametrize(("env", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_watching_without_colours(server: ConsulServer, fleet: WrittenFleet, env: str, value: str) -> None:
    fleet.hold("n1", 7)
    with watching(server, fleet.account, **{env: value}) as terminal:
        eventually(lambda: terminal.text().count("n2 can take over") > 1, BUSY, "two pictures")
        terminal.press(b"\x03")
        assert terminal.process.wait(BUSY) == 0
        assert not re.search(r"\x1b\[[0-9;]*m", terminal.text())
        if env == "TERM":
            assert "\x1b" not in terminal.text()


def test_sigterm_and_a_closed_terminal_end_the_watch(server: ConsulServer, fleet: WrittenFleet) -> None:
    fleet.hold("n1", 7)
    with watching(server, fleet.account) as terminal:
        terminal.shows("n2 can take over")
        terminal.process.terminate()
        assert terminal.ended() == 0
    with watching(server, fleet.account) as terminal:
        terminal.shows("n2 can take over")
        terminal.hang_up()
        terminal.process.wait(BUSY)
