# SPDX-License-Identifier: Apache-2.0
"""Which processes of a chain that several hosts share are alive: told by a file lock, which the kernel drops with them.

A process of another host has a pid that means nothing here, but all hosts see the same files: each process holds a lock
on a file of its own for as long as it lives, stopped or not. The kernel closes the files of a killed process before
anybody can collect its exit status, so whoever waited for its end finds the lock free.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from neard_standin.ledger import Ledger
from neard_standin.procfs import ProcessId, is_alive

DIRECTORY = "present"


def _file(ledger: Ledger, process: ProcessId) -> Path:
    return ledger.path / DIRECTORY / f"{process.namespace}-{process.pid}-{process.starttime}"


def prepare(ledger: Ledger) -> None:
    """Make the directory of the locks, writable by the users of all hosts."""
    directory = ledger.path / DIRECTORY
    directory.mkdir(exist_ok=True)
    directory.chmod(0o1777)


def announce(ledger: Ledger, process: ProcessId) -> None:
    """Show `process`, the calling one, to the other hosts until its end. Nothing to do on a chain of one host."""
    if not ledger.many_hosts:
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(_file(ledger, process), flags, 0o644)
    # Readable for the neard users of other hosts, which have other numbers, whatever this unit's umask is.
    os.fchmod(descriptor, 0o644)
    # Waits for at most the moment in which somebody else looks.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    # Never closed: the descriptor goes with the process.


def seen_alive(ledger: Ledger) -> Callable[[ProcessId], bool]:
    """A function that tells whether a process of this chain, on whatever host, can still run code at this moment."""
    return (lambda process: _is_present(ledger, process)) if ledger.many_hosts else is_alive


def _is_present(ledger: Ledger, process: ProcessId) -> bool:
    try:
        descriptor = os.open(_file(ledger, process), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
