# SPDX-License-Identifier: Apache-2.0
"""neard's home: one supervisor at a time, no orphan, no key while standby. Blocking; run it in a lane."""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..core.events import HomeInspected
from ..core.model import Home
from ..guard.child import place_link, remove_link, start_time
from . import procfs

LOCK_FILE = "kuutamod.lock"
VALIDATOR_KEY = "validator_key.json"
NODE_KEY = "node_key.json"


class HomeBusy(Exception):
    """Another supervisor has this home, or the guard of an earlier one is still at work; names both sides."""

    def __init__(self, message: str, guard_only: bool) -> None:
        super().__init__(message)
        self.guard_only = guard_only


@dataclass(frozen=True)
class Owner:
    """Who wrote the lock file."""

    node_id: str
    pid: int
    started: int
    hostname: str

    @property
    def alive(self) -> bool:
        """Does that supervisor still run (on this host)?"""
        return self.started != 0 and start_time(self.pid) == self.started


class HomeLock:
    """flock on ``<home>/kuutamod.lock``. Guards inherit it, so that a next supervisor waits for their work."""

    def __init__(self, home: Path, fd: int) -> None:
        self._path = home / LOCK_FILE
        self.fd = fd

    @classmethod
    def acquire(cls, home: Path, owner: Owner) -> HomeLock:
        """Take the home. :raises HomeBusy: somebody has it. :raises OSError: the home is not writable."""
        path = home / LOCK_FILE
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read_owner(fd)
            os.close(fd)
            mine = f"this is node {owner.node_id}, pid {owner.pid}"
            if other is not None and other.alive:
                raise HomeBusy(
                    f"{home} is in use by kuutamod node {other.node_id}, pid {other.pid} ({mine}): "
                    "stop that one, or give this one its own --neard-home",
                    guard_only=False,
                ) from None
            raise HomeBusy(
                f"the guard of an earlier kuutamod on {home} is still ending its neard ({mine})", guard_only=True
            ) from None
        except OSError:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(owner.__dict__).encode(), 0)
        return cls(home, fd)

    def still_ours(self) -> bool:
        """Is the file under the name still the one we hold the lock on?"""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self.fd))
        except OSError:
            return False


def read_owner(home: Path) -> Owner | None:
    """Who took the home last, whether or not he lives; None: nobody yet, or nobody that can be read."""
    try:
        fd = os.open(home / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _read_owner(fd)
    finally:
        os.close(fd)


def _read_owner(fd: int) -> Owner | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Owner(**json.loads(os.pread(fd, 4096, 0)))
    return None


def inspect(home: Path, store: Path) -> HomeInspected:
    """May neard be started here? An orphan of an earlier life is killed, a foreign neard is left alone and named.

    Call it while holding the home's lock and with no child of our own.
    """
    holder = procfs.lock_holder(store / "LOCK")
    orphans = procfs.guarded_processes(home)
    for pid in orphans:
        procfs.end_process(pid, start_time(pid))
    if orphans:
        pids = ", ".join(str(pid) for pid in orphans)
        return HomeInspected(Home.BUSY, f"killing neard pid {pids}, left on {home} by an earlier kuutamod")
    if holder is None:
        return HomeInspected(Home.CLEAR, "")
    return HomeInspected(
        Home.BUSY,
        f"{store}/LOCK is held by pid {holder} ({procfs.command_line(holder) or 'not visible from here'}), which "
        "kuutamod did not start: stop it, neard must be run by kuutamod only",
    )


def prepare(home: Path, node_key: Path, validator_key: Path) -> str | None:
    """Before every start: no validator key in the home, the role's node key in its place.

    A regular file is never lost: a copy of the configured key is removed, anything else is moved aside; the answer says so.
    :raises OSError: the home can't be changed.
    """
    said = _clear(home / VALIDATOR_KEY, validator_key)
    link = home / NODE_KEY
    said = _clear(link, node_key) or said
    place_link(link, node_key)
    return said


def _clear(path: Path, configured: Path) -> str | None:
    if path.is_symlink():
        remove_link(path)
        return None
    if not path.exists():
        return None
    if filecmp.cmp(path, configured, shallow=False):
        path.unlink()
        return None
    aside = path.with_name(f"{path.name}.before-kuutamod")
    serial = 1
    while aside.exists():
        serial += 1
        aside = path.with_name(f"{path.name}.before-kuutamod.{serial}")
    path.rename(aside)
    return f"{path} was a file of its own and is now {aside.name}; kuutamod manages {path.name}"
