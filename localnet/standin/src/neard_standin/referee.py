# SPDX-License-Identifier: Apache-2.0
"""The referee: watches who holds a validator key in a simulated network, and judges it.

It trusts nobody's account of the end: for every process that loads a key it opens a pidfd, so it knows when that
process really was gone (a stopped process still holds its key). `python -m neard_standin.referee LEDGER_DIR` judges
after the fact, from the journal and what still runs.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from neard_standin.journal import Event, JournalReader, Record, read_journal
from neard_standin.ledger import Ledger
from neard_standin.presence import seen_alive
from neard_standin.procfs import ProcessId, boottime, find_pid, starttime_of
from neard_standin.verdict import Ending, KeyInterval, Verdict, judge

__all__ = ["KeyInterval", "Referee", "Verdict", "judge_journal", "main"]

_POLL_SECONDS = 0.02
_Answer = TypeVar("_Answer")


class KeyBook:
    """Key-holding intervals, kept from journal records and observed deaths."""

    def __init__(self) -> None:
        self._closed: list[KeyInterval] = []
        self._open: dict[ProcessId, KeyInterval] = {}
        self.records: list[Record] = []

    def intervals(self) -> list[KeyInterval]:
        """Every interval so far, ended or not."""
        return [*self._closed, *self._open.values()]

    def holders(self) -> list[ProcessId]:
        """The processes that hold a key as far as is known."""
        return list(self._open)

    def note(self, record: Record) -> None:
        """Take one journal record into account."""
        self.records.append(record)
        match record.event:
            case Event.KEY_LOADED:
                assert record.account is not None
                assert record.public_key is not None
                self._end(record.process, record.boottime, exact=True, unloaded=True)
                self._open[record.process] = KeyInterval(
                    home=record.home,
                    pid=record.pid,
                    starttime=record.starttime,
                    account=record.account,
                    public_key=record.public_key,
                    loaded_at=record.boottime,
                    alive_at=record.boottime,
                    others_alive=record.others_alive,
                    host=record.host,
                    namespace=record.namespace or 0,
                )
            case Event.KEY_UNLOADED | Event.REEXEC:
                self._end(record.process, record.boottime, exact=True, unloaded=True)
            case Event.EXIT:
                self._end(record.process, record.boottime, exact=True, unloaded=False)
            case Event.DEATH:
                self.alive(record.process, record.boottime if record.alive_at is None else record.alive_at)
                self.died(record.process, record.boottime)
            case Event.START | Event.SIGNATURE:
                self.alive(record.process, record.boottime)

    def alive(self, process: ProcessId, at: float) -> None:
        """Note that `process` was alive at `at` (seconds of CLOCK_BOOTTIME)."""
        if (interval := self._open.get(process)) is not None:
            self._open[process] = replace(interval, alive_at=max(at, interval.alive_at))

    def died(self, process: ProcessId, at: float) -> KeyInterval | None:
        """Note that `process` was found dead at `at` (seconds of CLOCK_BOOTTIME); it died at some time before.

        Returns the interval that ended with it, None when it held no key.
        """
        return self._end(process, at, exact=False, unloaded=False)

    def _end(self, process: ProcessId, at: float, *, exact: bool, unloaded: bool) -> KeyInterval | None:
        interval = self._open.pop(process, None)
        if interval is None:
            return None
        alive_at = at if exact else interval.alive_at
        how: Ending = "unloaded" if unloaded else "died"
        ended = replace(interval, ended_at=at, alive_at=alive_at, how=how)
        self._closed.append(ended)
        return ended


class Referee:
    """Watches one network from a background thread; a context manager.

    Start it before the nodes: a process that is gone before the referee sees it has no exact end. `on_death` is called,
    from the background thread, with each interval that ended with a process which did not tell its end itself.
    """

    def __init__(self, ledger_dir: Path | str, on_death: Callable[[KeyInterval], None] | None = None) -> None:
        self.ledger = Ledger.open(ledger_dir)
        self._on_death = on_death
        self._book = KeyBook()
        self._reader = JournalReader(self.ledger.journal_path)
        self._pidfds: dict[int, ProcessId] = {}
        self._gone: list[ProcessId] = []
        # Unlike poll objects, an epoll object may be waited on by two threads.
        self._poll = select.epoll()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="referee", daemon=True)

    def __enter__(self) -> Referee:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        with self._lock:
            for descriptor in self._pidfds:
                os.close(descriptor)
            self._pidfds.clear()
            self._poll.close()
        self._reader.close()

    def intervals(self, account: str | None = None) -> tuple[KeyInterval, ...]:
        """The key-holding intervals of `account`, or of all, in the order of loading."""
        with self._lock:
            found = [interval for interval in self._book.intervals() if account in (None, interval.account)]
        return tuple(sorted(found, key=lambda interval: interval.loaded_at))

    def signatures(self, account: str | None = None) -> tuple[Record, ...]:
        """Every signature in the journal by `account`, or by all, in the order of writing."""
        with self._lock:
            records = list(self._book.records)
        return tuple(record for record in records if record.event is Event.SIGNATURE and account in (None, record.account))

    def current_holder(self, account: str) -> KeyInterval | None:
        """The process that holds the key of `account` now (the latest, should there be several), or None."""
        running = [interval for interval in self.intervals(account) if interval.ended_at is None]
        return running[-1] if running else None

    def verdict(self, account: str | None = None) -> Verdict:
        """The findings up to now on `account`, or on everyone who ever loaded a key.

        Raises RuntimeError when the watching thread has failed: then there is nothing to conclude.
        """
        with self._lock:
            read_at = boottime()
            self._look()
            if self._failure is not None:
                raise RuntimeError("the referee failed to watch the journal") from self._failure
            return judge(self.ledger, self._book.intervals(), self._book.records, boottime(), account, read_at)

    def wait_for(self, predicate: Callable[[Referee], _Answer], deadline_s: float) -> _Answer:
        """The first truthy answer of `predicate(self)`; TimeoutError with the findings after `deadline_s` seconds."""
        until = time.monotonic() + deadline_s
        while not (answer := predicate(self)):
            if time.monotonic() > until:
                raise TimeoutError(f"not within {deadline_s} s\n{self.verdict().story()}")
            time.sleep(_POLL_SECONDS / 2)
        return answer

    def _watch(self) -> None:
        while self._failure is None and not self._stop.is_set():
            # The wait happens outside the lock; a death wakes it at once, a new record is found at its end.
            self._poll.poll(_POLL_SECONDS)
            with self._lock:
                self._look()

    def _look(self) -> None:
        if self._failure is not None or self._stop.is_set():
            return
        try:
            self._observe()
        except Exception as error:
            # Kept for every verdict() to come: a watch that lost a record must never call anything safe.
            self._failure = error

    def _observe(self) -> None:
        # Deaths first: whoever is found alive here was alive at `now`.
        now = boottime()
        dead = {descriptor for descriptor, _unused in self._poll.poll(0)}
        noticed = boottime()
        for descriptor, process in list(self._pidfds.items()):
            if descriptor not in dead:
                self._book.alive(process, now)
        # A clean exit is told by the process itself, more exactly than its death is noticed: read on before using it.
        for record in self._reader.read_new():
            self._book.note(record)
            if record.event is Event.KEY_LOADED:
                self._follow(record.process)
        # Not before the last record is read: it may have told its end itself.
        for process in self._gone:
            self._found_dead(process, boottime())
        self._gone.clear()
        for descriptor in dead:
            self._poll.unregister(descriptor)
            os.close(descriptor)
            self._found_dead(self._pidfds.pop(descriptor), noticed)

    def _found_dead(self, process: ProcessId, at: float) -> None:
        interval = self._book.died(process, at)
        if interval is not None and self._on_death is not None:
            self._on_death(interval)

    def _follow(self, process: ProcessId) -> None:
        if process in self._pidfds.values():
            return
        pid = find_pid(process)
        try:
            descriptor = None if pid is None else os.pidfd_open(pid)
        except ProcessLookupError:
            descriptor = None
        if pid is None or descriptor is None:
            self._gone.append(process)
            return
        # The pid may have been given to another process before the descriptor was opened; afterwards it cannot be.
        if starttime_of(pid) != process.starttime:
            os.close(descriptor)
            self._gone.append(process)
            return
        self._pidfds[descriptor] = process
        self._poll.register(descriptor, select.EPOLLIN)


def judge_journal(ledger_dir: Path | str, until: float | None = None) -> Verdict:
    """The verdict from the journal alone, after the fact, up to its last record or `until` (CLOCK_BOOTTIME, seconds).

    A process that neither told its end nor runs any more is taken to have held its key until its last record: the true
    end may be later, so a short overlap can stay unseen. Heights signed twice are always seen.
    """
    ledger = Ledger.open(ledger_dir)
    book = KeyBook()
    read_at = boottime()
    for record in read_journal(ledger.journal_path):
        book.note(record)
    last_seen = {record.process: record.boottime for record in book.records}
    for record in book.records:
        for other in record.others_alive:
            last_seen[other] = max(last_seen.get(other, 0.0), record.boottime)
    alive = seen_alive(ledger)
    for process in book.holders():
        if not alive(process):
            book.died(process, last_seen[process])
    end = max((record.boottime for record in book.records), default=ledger.genesis_boottime)
    now = boottime() if book.holders() else max(end, until or 0.0)
    return judge(ledger, book.intervals(), book.records, now, read_at=read_at)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the verdict on a ledger directory; exit 0 when it was safe, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m neard_standin.referee", description=main.__doc__)
    parser.add_argument("ledger_dir", type=Path, help="directory with ledger.json and journal.jsonl")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    options = parser.parse_args(arguments)
    try:
        verdict = judge_journal(options.ledger_dir)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    sys.stdout.write((json.dumps(asdict(verdict), indent=2) if options.json else verdict.story()) + "\n")
    return 0 if verdict.safe else 1


if __name__ == "__main__":
    sys.exit(main())
