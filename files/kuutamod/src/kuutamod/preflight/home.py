# SPDX-License-Identifier: Apache-2.0
"""neard's home: whose it is, who works in it now, what lies in it that should not, and how much room is left."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..neard import procfs
from ..neard.config import NeardConfig
from ..neard.home import VALIDATOR_KEY, read_owner
from ..neard.memory import MemoryFault, MemoryFile
from ..settings import Settings
from ..trust import distrust, user_name
from .finding import Finding, Topic, fault, ok, warning
from .viewer import Viewer

GIB = 1024**3
LEAST_SPACE, ENOUGH_SPACE = 2 * GIB, 20 * GIB
"""Bytes: below the first neither neard's database nor kuutamod's own files can be relied on; the second is worth a word."""


def home(found: Settings, config: NeardConfig | None, viewer: Viewer) -> Iterable[Finding]:
    """The home, if there is one. ``config``: where its database is; None: that is not known."""
    path = found.neard_home
    if not path.is_dir():
        return
    yield ok(Topic.HOME, f"{path} is {user_name(path.stat().st_uid)}'s")
    if stranger := distrust(path, viewer.user):
        yield warning(Topic.HOME, f"others could change what neard runs with: {stranger}", "chmod go-w it")
    running = _supervisor(path, found.node_id)
    yield from running
    if config is not None:
        yield from _database(path, config.store, viewer, supervised=bool(running))
    yield from _stray_key(path, found.validator_key)
    yield from _memory(path, viewer)
    yield from _space(path)
    if config is not None and config.store.is_dir() and _disk(config.store) != _disk(path):
        yield from _space(config.store)


def _supervisor(home: Path, node_id: str) -> tuple[Finding, ...]:
    """The kuutamod that runs on this home, if one does."""
    owner = read_owner(home)
    if owner is None or not owner.alive:
        return ()
    if owner.node_id != node_id:
        text = f"kuutamod of node {owner.node_id} runs on it as pid {owner.pid}, this is node {node_id}"
        return (fault(Topic.HOME, text, "give every node its own --neard-home, and this one its right --node-id"),)
    return (ok(Topic.HOME, f"kuutamod of this node runs on it as pid {owner.pid}"),)


def _database(home: Path, store: Path, viewer: Viewer, supervised: bool) -> Iterable[Finding]:
    lock = store / "LOCK"
    try:
        pid = procfs.lock_holder(lock)
    except PermissionError:
        yield warning(Topic.HOME, f"whether a neard holds {lock} can't be seen by {user_name(viewer.uid)}", viewer.remedy)
        return
    except OSError as error:
        text = f"whether a neard holds {lock} can't be seen: {error.strerror}"
        yield warning(Topic.HOME, text, "look at the disk and the kernel's log, then again")
        return
    if pid is None:
        yield ok(Topic.HOME, f"no neard has its database {store} open")
        return
    guarded = procfs.guarded_home(pid) == str(home)
    command = procfs.command_line(pid) or "its command line is not visible from here"
    if guarded and supervised:
        yield ok(Topic.HOME, f"neard has its database open as pid {pid}, started by kuutamod")
    elif guarded:
        yield warning(
            Topic.HOME,
            f"neard has its database open as pid {pid}, started by a kuutamod that is gone",
            "its guard ends it by itself; if not, kuutamod does when it starts",
        )
    elif viewer.blind:
        yield warning(Topic.HOME, f"{lock} is held by pid {pid} ({command}); whose it is can't be seen", viewer.remedy)
    else:
        text = f"{lock} is held by pid {pid} ({command}), which kuutamod did not start"
        yield fault(Topic.HOME, text, "stop it: neard must be run by kuutamod only")


def _stray_key(home: Path, configured: Path) -> Iterable[Finding]:
    stray = home / VALIDATOR_KEY
    if stray.is_symlink() or not stray.exists():
        return
    yield warning(
        Topic.HOME,
        f"{stray} is a file of its own: any neard that is started there by hand validates with it",
        f"remove it if it is a copy of {configured}; kuutamod moves it aside when it starts",
    )


def _memory(home: Path, viewer: Viewer) -> Iterable[Finding]:
    file = MemoryFile(home)
    try:
        kept = file.load()
    except MemoryFault as error:
        if viewer.may_not_see(file.path):
            yield warning(Topic.HOME, f"{file.path} can't be seen by {user_name(viewer.uid)}", viewer.remedy)
        else:
            what, _unused, remedy = str(error).partition("; ")
            yield fault(Topic.HOME, what, remedy)
        return
    if kept.term:
        yield ok(Topic.HOME, f"the highest term this host has seen is {kept.term}")


def _disk(place: Path) -> tuple[int, int]:
    """On which file system it is, and whether that is read-only there: a unit's sandbox makes it so path by path."""
    return place.stat().st_dev, os.statvfs(place).f_flag & os.ST_RDONLY


def _space(place: Path) -> Iterable[Finding]:
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    text = f"{free / GIB:.1f} GiB are free for {place}"
    if disk.f_flag & os.ST_RDONLY:
        remedy = "look into the kernel's log, and remount it; if only the service can't write, name it in ReadWritePaths"
        yield fault(Topic.HOME, f"the file system of {place} is read-only", remedy)
    elif free < LEAST_SPACE:
        yield fault(Topic.HOME, text, "make room: neard aborts when its database can't grow")
    elif free < ENOUGH_SPACE:
        yield warning(Topic.HOME, text, "make room: neard's database grows")
    else:
        yield ok(Topic.HOME, text)
    if disk.f_files and disk.f_favail * 100 < disk.f_files:
        yield warning(Topic.HOME, f"less than 1 % of the inodes are free for {place}", "remove files nobody needs")
