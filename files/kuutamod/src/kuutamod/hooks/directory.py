# SPDX-License-Identifier: Apache-2.0
"""Which files of the hook directory are hooks. Blocking; run it in a lane. What is not executable is passed over, as
run-parts does; what somebody else could have put there is never run.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ..trust import distrust

_LEFTOVER = re.compile(r"\..*|.*~.*|.*\.(bak|orig|swp|rpmnew|rpmsave|rpmorig)|.*\.(dpkg|ucf)-.*", re.DOTALL)
"""Hidden files, editors' copies, and what package managers leave beside a file."""

_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_ONLY_TRUSTED = "let root or kuutamod's user own it and everything above it, and nobody else write there (chmod go-w)"


class HookDirectoryFault(Exception):
    """The directory can't be used, none of its hooks runs; ``problem`` names what is wrong, ``remedy`` what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class Skipped:
    """A file that is no hook, and why; that is nobody's mistake."""

    name: str
    why: str


@dataclass(frozen=True)
class Listing:
    """The directory at one moment: ``hooks`` sorted by name; ``faulty``: what would be one but must not or can't be run."""

    hooks: tuple[Path, ...]
    faulty: tuple[HookDirectoryFault, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def survey(directory: Path, uid: int) -> Listing:
    """What is in ``directory``, for a kuutamod that runs as ``uid``. :raises HookDirectoryFault: it can't be used."""
    try:
        if not directory.is_dir():
            problem = "it is not a directory" if directory.exists() else "there is no such directory"
            raise HookDirectoryFault(problem, "name a directory with executables in it, or leave it out")
        stranger = distrust(directory, uid)
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        raise HookDirectoryFault(f"it can't be read: {error.strerror}", "let kuutamod's user read it") from None
    if stranger is not None:
        raise HookDirectoryFault(stranger, _ONLY_TRUSTED)
    found = [_judge(directory / name, uid) for name in names]
    return Listing(
        hooks=tuple(each for each in found if isinstance(each, Path)),
        faulty=tuple(each for each in found if isinstance(each, HookDirectoryFault)),
        skipped=tuple(each for each in found if isinstance(each, Skipped)),
    )


def _judge(path: Path, uid: int) -> Path | Skipped | HookDirectoryFault:
    if _LEFTOVER.fullmatch(path.name):
        return Skipped(path.name, "its name is that of a hidden file or of a copy")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return Skipped(path.name, "it is not a file")
        if not mode & _EXECUTABLE:
            return Skipped(path.name, "it is not executable")
        stranger = distrust(path, uid)
    except FileNotFoundError:
        return Skipped(path.name, "it is a link to nothing" if path.is_symlink() else "it has gone")
    except OSError as error:
        problem = f"{path} can't be looked at: {error.strerror}"
        return HookDirectoryFault(problem, "let kuutamod's user read it, or remove it")
    if stranger is not None:
        return HookDirectoryFault(stranger, _ONLY_TRUSTED)
    if uid == os.geteuid() and not os.access(path, os.X_OK, effective_ids=True):
        return HookDirectoryFault(f"{path} is not executable for this user", "chmod a+x it, or a-x to switch it off")
    return path
