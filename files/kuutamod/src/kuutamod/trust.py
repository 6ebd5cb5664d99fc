# SPDX-License-Identifier: Apache-2.0
"""May a program be trusted that lies at this place? Only if nobody but root and one user can put another there."""

from __future__ import annotations

import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

_ROOT = 0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def distrust(path: Path, uid: int) -> str | None:
    """Who else than root and the user ``uid`` could change what is at ``path``, as a sentence; None: nobody.

    The directories above it count too, and so does every link on the way: who may write there may put something else in
    its place. (In a directory with the sticky bit nobody renames what is another's.) ``path`` is absolute.
    :raises OSError: it, or what it is a link to, does not exist or can't be looked at.
    """
    for place, above in _places(path):
        seen = place.stat()
        if seen.st_uid not in (_ROOT, uid):
            return f"{place} belongs to {user_name(seen.st_uid)}"
        if seen.st_mode & _OTHERS_WRITE and not (above and seen.st_mode & stat.S_ISVTX):
            return f"{place} is writable by others (mode {stat.S_IMODE(seen.st_mode):04o})"
    return None


def _places(path: Path) -> Iterator[tuple[Path, bool]]:
    """The file, what its links lead to, and everything above them; the flag tells the latter."""
    path.stat()  # a link to nothing, or a loop of links, ends here
    while True:
        yield path, False
        for parent in path.parents:
            yield parent, True
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    for parent in path.resolve().parents:  # where a directory on the way is a link
        yield parent, True


def user_name(uid: int) -> str:
    """The user's name, or his number where he has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
