# SPDX-License-Identifier: Apache-2.0
"""The referee has teeth: hand-made processes that hold keys, overlap, stop and die under its eyes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neard_standin.journal import Event, JournalWriter, Record, read_journal
from neard_standin.ledger import Kind, Ledger, Validator
from neard_standin.procfs import ProcessId, boottime, is_alive, own_process, starttime_of
from neard_standin.referee import Referee, judge_journal, main

_ACCOUNT, _KEY = "a.near", "ed25519:key"
_DEADLINE_S = 10.0


class Holder:
    """A process that does nothing, in whose name the test writes the journal."""

    def __init__(self, ledger: Ledger) -> None:
        command = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
        starttime = starttime_of(self.process.pid)
        assert starttime is not None
        self.id = ProcessId(self.process.pid, starttime)
        self._journal = JournalWriter(ledger.journal_path)

    def tell(self, event: Event, height: int | None = None, at: float | None = None) -> float:
        now = boottime() if at is None else at
        kind = None if height is None else Kind.ENDORSEMENT
        self._journal.append(
            Record(event, now, self.id.pid, self.id.starttime, "/home", "node", _ACCOUNT, _KEY, height, kind)
        )
        return now

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.kill()
        self._journal.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger", validators=[Validator(_ACCOUNT, _KEY)])


@pytest.fixture
def holder(ledger: Ledger) -> Iterator[Callable[[], Holder]]:
    holders: list[Holder] = []

    def make() -> Holder:
        holders.append(Holder(ledger))
        return holders[-1]

    yield make
    for made in holders:
        made.end()


def test_two_live_holders_are_an_overlap(ledger: Ledger, holder: Callable[[], Holder]) -> None:
    first, second = holder(), holder()
    with Referee(ledger.path) as referee:
        first.tell(Event.KEY_LOADED)
        second.tell(Event.KEY_LOADED)
        overlaps = referee.wait_for(lambda seen: seen.verdict().overlaps, _DEADLINE_S)
        assert {overlaps[0].first.pid, overlaps[0].second.pid} == {first.id.pid, second.id.pid}
        with pytest.raises(AssertionError, match="OVERLAP"):
            referee.verdict(_ACCOUNT).assert_safe()


def test_killed_holder_ends_when_it_dies_not_before(ledger: Ledger, holder: Callable[[], Holder]) -> None:
    first, second = holder(), holder()
    with Referee(ledger.path) as referee:
        first.tell(Event.KEY_LOADED)
        referee.wait_for(lambda seen: seen.current_holder(_ACCOUNT), _DEADLINE_S)
        before = boottime()
        first.kill()
        after = boottime()
        interval = referee.wait_for(lambda seen: [i for i in seen.intervals() if i.how == "died"], _DEADLINE_S)[0]
        assert interval.alive_at <= after
        assert interval.ended_at is not None
        assert interval.ended_at >= before
        second.tell(Event.KEY_LOADED)
        referee.wait_for(lambda seen: seen.current_holder(_ACCOUNT), _DEADLINE_S)
        verdict = referee.verdict()
    verdict.assert_safe()
    assert len(verdict.gaps) == 1


def test_stopped_holder_still_holds(ledger: Ledger, holder: Callable[[], Holder]) -> None:
    first, second = holder(), holder()
    with Referee(ledger.path) as referee:
        first.tell(Event.KEY_LOADED)
        first.process.send_signal(signal.SIGSTOP)
        second.tell(Event.KEY_LOADED)
        assert referee.wait_for(lambda seen: seen.verdict().overlaps, _DEADLINE_S)


def test_dead_but_unreaped_holder_holds_nothing(ledger: Ledger, holder: Callable[[], Holder]) -> None:
    zombie = holder()
    with Referee(ledger.path) as referee:
        zombie.tell(Event.KEY_LOADED)
        zombie.process.send_signal(signal.SIGKILL)
        referee.wait_for(lambda seen: [i for i in seen.intervals() if i.how == "died"], _DEADLINE_S)
        assert referee.current_holder(_ACCOUNT) is None
        assert starttime_of(zombie.id.pid) == zombie.id.starttime, "it is still there, as a zombie"
        assert not is_alive(zombie.id)


def test_unloaded_key_ends_the_interval_of_a_live_process(ledger: Ledger, holder: Callable[[], Holder]) -> None:
    first, second = holder(), holder()
    with Referee(ledger.path) as referee:
        first.tell(Event.KEY_LOADED)
        unloaded_at = first.tell(Event.KEY_UNLOADED)
        second.tell(Event.KEY_LOADED)
        referee.wait_for(lambda seen: len(seen.intervals()) == 2, _DEADLINE_S)
        ended = referee.intervals()[0]
        referee.verdict().assert_safe()
    assert (ended.how, ended.ended_at) == ("unloaded", unloaded_at)


def test_reused_pid_is_not_taken_for_the_holder(ledger: Ledger, holder: Callable[[], Holder]) -> None:
    reused = holder()
    reused.id = ProcessId(reused.id.pid, reused.id.starttime - 1)
    with Referee(ledger.path) as referee:
        reused.tell(Event.KEY_LOADED)
        referee.wait_for(lambda seen: [i for i in seen.intervals() if i.how == "died"], _DEADLINE_S)
        assert referee.current_holder(_ACCOUNT) is None


def test_height_signed_twice_is_seen_without_an_overlap(ledger: Ledger, holder: Callable[[], Holder]) -> None:
    first, second = holder(), holder()
    with Referee(ledger.path) as referee:
        for signer in (first, second):
            signer.tell(Event.KEY_LOADED)
            signer.tell(Event.SIGNATURE, height=5)
            signer.tell(Event.KEY_UNLOADED)
        doubles = referee.wait_for(lambda seen: seen.verdict().heights_signed_twice, _DEADLINE_S)
        assert not referee.verdict().overlaps
    assert doubles[0].height == 5


def test_waiting_in_vain_tells_the_story(ledger: Ledger) -> None:
    with Referee(ledger.path) as referee, pytest.raises(TimeoutError, match="key holders: 0"):
        referee.wait_for(lambda _unused: False, 0.0)


def test_damaged_journal_is_never_called_safe(ledger: Ledger) -> None:
    with Referee(ledger.path) as referee:
        with ledger.journal_path.open("ab") as journal:
            journal.write(b"not json\n")
        for _unused in range(2):
            with pytest.raises(RuntimeError, match="failed to watch"):
                referee.wait_for(lambda seen: seen.verdict() is None, _DEADLINE_S)


def test_after_the_fact_from_the_journal_alone(
    ledger: Ledger, holder: Callable[[], Holder], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = holder(), holder()
    start = boottime()
    first.tell(Event.KEY_LOADED, at=start)
    first.tell(Event.SIGNATURE, height=1, at=start + 1)
    second.tell(Event.KEY_LOADED, at=start + 2)
    second.tell(Event.EXIT, at=start + 3)
    first.kill()
    second.kill()
    assert judge_journal(ledger.path).safe
    assert main([str(ledger.path)]) == 0
    second.tell(Event.SIGNATURE, height=1, at=start + 2.5)
    capsys.readouterr()
    assert main([str(ledger.path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["heights_signed_twice"][0]["height"] == 1


def test_after_the_fact_a_live_process_still_holds(ledger: Ledger, holder: Callable[[], Holder]) -> None:
    holder().tell(Event.KEY_LOADED)
    second = holder()
    second.tell(Event.KEY_LOADED)
    second.kill()
    verdict = judge_journal(ledger.path)
    assert [interval.how for interval in verdict.intervals] == ["running", "died"]


def test_after_the_fact_a_slot_that_ends_while_the_journal_is_read_is_not_judged(
    ledger: Ledger, holder: Callable[[], Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = holder()
    signer.tell(Event.KEY_LOADED, at=ledger.start_of(1))
    clock = ledger.start_of(3) + 0.1

    def slow(path: Path) -> list[Record]:
        nonlocal clock
        records = read_journal(path)
        # The last signature of slot 3 comes too late for this reader.
        clock = ledger.start_of(4) + 0.1
        signer.tell(Event.SIGNATURE, height=3, at=clock - 0.2)
        return records

    monkeypatch.setattr("neard_standin.referee.read_journal", slow)
    monkeypatch.setattr("neard_standin.referee.boottime", lambda: clock)
    verdict = judge_journal(ledger.path)
    assert {miss.height for miss in verdict.misses} == {2}
    assert all(miss.held for miss in verdict.misses)
    monkeypatch.setattr("neard_standin.referee.read_journal", read_journal)
    later = [miss for miss in judge_journal(ledger.path).misses if miss.kind is Kind.ENDORSEMENT]
    assert [miss.height for miss in later] == [2], "nothing that was counted as missed is found to be done"


def test_the_live_referee_judges_no_slot_that_ends_while_it_reads(
    ledger: Ledger, holder: Callable[[], Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder().tell(Event.KEY_LOADED, at=ledger.start_of(1))
    clock, here = ledger.start_of(3) + 0.1, threading.current_thread()
    with Referee(ledger.path) as referee:
        referee.wait_for(lambda seen: seen.intervals(), _DEADLINE_S)
        look = referee._look

        def slow() -> None:
            nonlocal clock
            look()
            # The watching thread looks, too.
            if threading.current_thread() is here:
                clock = ledger.start_of(4) + 0.1

        monkeypatch.setattr(referee, "_look", slow)
        monkeypatch.setattr("neard_standin.referee.boottime", lambda: clock)
        assert {miss.height for miss in referee.verdict().misses} == {2}


def test_own_process_is_alive_and_a_namesake_is_not() -> None:
    own = own_process()
    assert is_alive(own)
    assert not is_alive(ProcessId(own.pid, own.starttime - 1))
    assert own.started_at < boottime()
