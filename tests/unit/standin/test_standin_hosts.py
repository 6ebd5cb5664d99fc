# SPDX-License-Identifier: Apache-2.0
"""A chain that several hosts share: who is alive is told by locks, and the journal alone finds every overlap."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neard_standin.journal import Event, JournalWriter, Record
from neard_standin.ledger import Ledger, Validator
from neard_standin.presence import prepare, seen_alive
from neard_standin.procfs import ProcessId, boottime, find_pid, own_process
from neard_standin.referee import Referee, judge_journal

_KEY, _ACCOUNT = "ed25519:key", "a.near"
_PROGRAM = """
import os, sys
from neard_standin.ledger import Ledger
from neard_standin.presence import announce
from neard_standin.procfs import own_process
os.umask(0o077)
me = own_process(many_hosts=True)
announce(Ledger.open(sys.argv[1]), me)
print(me.pid, me.starttime, me.namespace, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.create(tmp_path / "chain", validators=[Validator(_ACCOUNT, _KEY)], many_hosts=True)
    prepare(made)
    return made


Start = Callable[[], tuple[subprocess.Popen[str], ProcessId]]


@pytest.fixture
def start(ledger: Ledger) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin() -> tuple[subprocess.Popen[str], ProcessId]:
        argv = [sys.executable, "-c", _PROGRAM, str(ledger.path)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, ProcessId(*map(int, process.stdout.readline().split()))

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def _record(event: Event, process: ProcessId, at: float, host: str, **more: object) -> Record:
    fields = {"account": _ACCOUNT, "public_key": _KEY, "host": host, "namespace": process.namespace, **more}
    return Record(event, at, process.pid, process.starttime, "/home", "node", **fields)  # type: ignore[arg-type]


def test_a_process_is_present_until_its_end_stopped_or_not(ledger: Ledger, start: Start) -> None:
    process, identity = start()
    alive = seen_alive(ledger)
    assert identity.namespace
    assert alive(identity)
    process.send_signal(signal.SIGSTOP)
    assert alive(identity)
    process.kill()
    process.wait()
    assert not alive(identity), "whoever has collected the exit status finds it gone"


def test_a_presence_is_readable_for_other_users(ledger: Ledger, start: Start) -> None:
    start()
    files = list((ledger.path / "present").iterdir())
    assert [file.stat().st_mode & 0o777 for file in files] == [0o644]


def test_a_process_that_never_came_is_not_present(ledger: Ledger) -> None:
    assert not seen_alive(ledger)(ProcessId(1, 1, 1))


def test_a_chain_of_one_host_knows_no_namespaces(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "chain", validators=[Validator(_ACCOUNT, _KEY)])
    assert Ledger.open(ledger.path).many_hosts is False
    assert own_process().namespace == 0
    assert seen_alive(ledger)(own_process())


def test_pids_of_the_own_namespace_are_found(start: Start) -> None:
    process, identity = start()
    assert find_pid(identity) == process.pid
    assert find_pid(replace(identity, starttime=identity.starttime - 1)) is None
    assert find_pid(replace(identity, namespace=1)) is None


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a pid namespace of its own")
def test_a_process_of_another_pid_namespace_is_found(ledger: Ledger) -> None:
    argv = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", _PROGRAM, str(ledger.path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        identity = ProcessId(*map(int, process.stdout.readline().split()))
        try:
            assert identity.pid == 1
            assert identity.namespace != own_process(many_hosts=True).namespace
            found = find_pid(identity)
            assert found is not None
            assert found > 1
            assert seen_alive(ledger)(identity)
            os.kill(found, signal.SIGKILL)
        finally:
            process.communicate()
    assert find_pid(identity) is None
    assert not seen_alive(ledger)(identity)


def test_an_overlap_with_a_holder_that_died_silently_is_found_afterwards(ledger: Ledger) -> None:
    first, second = ProcessId(5, 100, 7), ProcessId(5, 100, 8)
    now = boottime()
    journal = JournalWriter(ledger.journal_path)
    journal.append(_record(Event.KEY_LOADED, first, now - 9, "node0"))
    # Its last word is long before the second load, but the second host has seen it alive.
    journal.append(_record(Event.KEY_LOADED, second, now - 2, "node1", others_alive=(first,)))
    journal.close()
    verdict = judge_journal(ledger.path)
    assert len(verdict.overlaps) == 1
    assert "of node0" in verdict.story()


def test_a_holder_that_was_dead_when_the_next_one_loaded_is_no_overlap(ledger: Ledger) -> None:
    first, second = ProcessId(5, 100, 7), ProcessId(5, 100, 8)
    now = boottime()
    journal = JournalWriter(ledger.journal_path)
    journal.append(_record(Event.KEY_LOADED, first, now - 9, "node0"))
    journal.append(_record(Event.KEY_LOADED, second, now - 2, "node1"))
    # An observer noticed the death late: the second host's own look settles it.
    journal.append(_record(Event.DEATH, first, now - 1, "node0", alive_at=now - 3))
    journal.close()
    verdict = judge_journal(ledger.path)
    assert verdict.safe, verdict.story()
    assert verdict.intervals[0].ended_at == pytest.approx(now - 2)


def test_an_observed_death_ends_the_interval_to_the_moment(ledger: Ledger) -> None:
    holder = ProcessId(5, 100, 7)
    now = boottime()
    journal = JournalWriter(ledger.journal_path)
    journal.append(_record(Event.KEY_LOADED, holder, now - 9, "node0"))
    journal.append(_record(Event.DEATH, holder, now - 4, "node0", alive_at=now - 4.01))
    journal.close()
    verdict = judge_journal(ledger.path, until=now)
    assert [gap.seconds for gap in verdict.gaps] == [pytest.approx(4)], "it lasts"
    interval = verdict.intervals[0]
    assert interval.how == "died"
    assert interval.ended_at == pytest.approx(now - 4)


def test_the_live_referee_tells_of_deaths_once(ledger: Ledger, start: Start) -> None:
    process, identity = start()
    deaths: list[float | None] = []
    with Referee(ledger.path, on_death=lambda interval: deaths.append(interval.ended_at)) as referee:
        journal = JournalWriter(ledger.journal_path)
        journal.append(_record(Event.KEY_LOADED, identity, boottime(), "node0"))
        referee.wait_for(lambda judge: judge.current_holder(_ACCOUNT), 5)
        process.kill()
        killed = boottime()
        referee.wait_for(lambda judge: judge.current_holder(_ACCOUNT) is None, 5)
        journal.append(_record(Event.DEATH, identity, boottime(), "node0"))
        referee.wait_for(lambda judge: len(judge.verdict().intervals) == 1, 5)
        journal.close()
    assert len(deaths) == 1
    assert deaths[0] == pytest.approx(killed, abs=0.3)
