# SPDX-License-Identifier: Apache-2.0
"""May a program be trusted that lies at this place? Only if nobody but root and one user can put another there."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = 0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40
"""As many as the kernel follows."""


def distrust(path: Path, uid: int) -> str | None:
    """Who else than root and the user ``uid`` could change what is at ``path``, as a sentence; None: nobody.

    It is walked from the root on, as the kernel does, through every link. Each directory on the way counts: who may write
    there may put something else in its place. Where the sticky bit allows that to the owner of an entry alone, the owner
    counts, be it a link's; elsewhere nobody can do anything with a link that he owns. Other rights than those of the mode
    are not looked at.
    :raises OSError: something on the way does not exist or can't be looked at.
    """
    sticky = False
    for step in _walk(path.absolute()):
        place, seen = step.place, step.seen
        ours = seen.st_uid in (_ROOT, uid)
        if stat.S_ISLNK(seen.st_mode):
            if sticky and not ours:
                return f"{place}, a link, belongs to {user_name(seen.st_uid)}"
            continue
        if not ours:
            return f"{place} belongs to {user_name(seen.st_uid)}"
        writable = bool(seen.st_mode & _OTHERS_WRITE)
        sticky = writable and bool(seen.st_mode & stat.S_ISVTX)
        if writable and (step.last or not sticky):
            return f"{place} is writable by others (mode {stat.S_IMODE(seen.st_mode):04o})"
    return None


@dataclass(frozen=True)
class _Step:
    """One thing on the way. ``last``: it is what the path leads to."""

    place: Path
    seen: os.stat_result
    last: bool


def _walk(path: Path) -> Iterator[_Step]:
    """Every directory and link on the way to what is at an absolute path, in order, and that itself."""
    here, left, links = Path(path.anchor), list(reversed(path.parts[1:])), 0
    yield _Step(here, here.lstat(), not left)
    while left:
        name = left.pop()
        place = here.parent if name == ".." else here / name
        seen = place.lstat()
        if not stat.S_ISLNK(seen.st_mode):
            here = place
            yield _Step(place, seen, not left)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        yield _Step(place, seen, last=False)
        target = place.readlink()
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        if target.is_absolute():
            here = Path(target.anchor)
        if target.is_absolute() or not left:
            yield _Step(here, here.lstat(), not left)


def user_name(uid: int) -> str:
    """The user's name, or his number where he has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
