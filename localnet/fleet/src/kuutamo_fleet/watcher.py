# SPDX-License-Identifier: Apache-2.0
"""The watcher of a fleet's chain: a background process on the controller, which sees the processes of all hosts.

A killed process can't tell its end. The watcher waits for the end of every process that loads a key and writes it into
the journal, so that the referee knows to a few milliseconds for how long a key was held and for how long by nobody.
`python -m kuutamo_fleet.watcher CHAIN_DIRECTORY` is what runs; one for each chain.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kuutamo_localnet.process import send_signal
from kuutamo_localnet.reaper import read_process
from neard_standin.journal import Event, JournalWriter, Record
from neard_standin.referee import KeyInterval, Referee

from .errors import FleetError
from .site import Site

START_DEADLINE = 15.0  # seconds
STOP_DEADLINE = 5.0
_LOOK_SECONDS = 0.5


def _lock_file(chain: Path) -> Path:
    return chain.with_name("watcher.lock")


def ensure_watcher(site: Site) -> bool:
    """Start the watcher of a fleet unless it runs; True when it was started. Raises FleetError when it does not."""
    if _holder(site.chain) is not None:
        return False
    with (site.directory / "watcher.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "kuutamo_fleet.watcher", str(site.chain)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )
    end = time.monotonic() + START_DEADLINE
    while _holder(site.chain) is None:
        if time.monotonic() > end:
            raise FleetError(f"the watcher of the chain did not start; see {site.directory / 'watcher.log'}")
        time.sleep(0.05)
    return True


def stop_watcher(site: Site) -> None:
    """End the watcher of a fleet, when there is one."""
    pid = _holder(site.chain)
    process = None if pid is None else read_process(pid)
    if process is None:
        return
    end = time.monotonic() + STOP_DEADLINE
    number = signal.SIGTERM
    while _holder(site.chain) == process.pid and send_signal(process, number):
        if time.monotonic() > end:
            number = signal.SIGKILL
        time.sleep(0.05)


def _holder(chain: Path) -> int | None:
    """The pid of the watcher that holds the lock of this chain; None when nobody does."""
    try:
        with _lock_file(chain).open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = lock.read().strip()
                return int(text) if text.isdecimal() else None
    except FileNotFoundError:
        pass
    return None


def death_of(interval: KeyInterval) -> Record:
    """The record of the end of an interval whose process did not tell it."""
    assert interval.ended_at is not None
    return Record(
        Event.DEATH,
        interval.ended_at,
        interval.pid,
        interval.starttime,
        interval.home,
        "",
        account=interval.account,
        public_key=interval.public_key,
        host=interval.host,
        namespace=interval.namespace or None,
        alive_at=interval.alive_at,
    )


def watch(chain: Path) -> None:
    """Watch the chain in the directory `chain` until it is removed or a signal comes."""
    stop = False

    def ask(*_unused: object) -> None:
        nonlocal stop
        stop = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    with _lock_file(chain).open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal = JournalWriter(chain / "journal.jsonl")
        inode = chain.stat().st_ino
        with Referee(chain, on_death=lambda interval: journal.append(death_of(interval))) as referee:
            # The pid appears when the watch has begun.
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            while not stop and _is_same(chain, inode):
                time.sleep(_LOOK_SECONDS)
                referee.verdict("")  # raises what ended the watching thread


def _is_same(chain: Path, inode: int) -> bool:
    try:
        return chain.stat().st_ino == inode
    except FileNotFoundError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch the chain whose directory is the only argument."""
    watch(Path((sys.argv[1:] if arguments is None else arguments)[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
