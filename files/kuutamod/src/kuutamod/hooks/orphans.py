# SPDX-License-Identifier: Apache-2.0
"""What a hook left to itself by `setsid` outlives it, and becomes the supervisor's child where that is a subreaper: when
it ends, nobody else collects it. Blocking; run it in a lane.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path


class Orphans:
    """Collects children that have ended and that nobody else waits for.

    Nobody does if they are still there at the second look: whoever starts a process collects it when it ends. ``ours`` are
    children that somebody else collects all the same.
    """

    def __init__(self) -> None:
        self._seen: frozenset[tuple[int, str]] = frozenset()

    def collect(self, ours: Collection[int]) -> None:
        """One look; some seconds should lie between two. :raises OSError: the kernel does not tell."""
        ended = frozenset(_ended(os.getpid()))
        for pid, _unused in ended & self._seen:
            if pid not in ours:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        self._seen = ended


def _ended(parent: int) -> list[tuple[int, str]]:
    """Children that are not collected yet: the pid, and the start time, which tells two lives of one pid apart."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has gone meanwhile
            stat = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if stat[0] == "Z" and int(stat[1]) == parent:
                found.append((int(entry.name), stat[19]))
    return found
