# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running a neard for a question (its version, is this config valid), never as root where there is another user."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VERSION_DEADLINE = 20.0
"""Seconds for `neard --version`; it may come from a cold disk."""

_RELEASE = re.compile(r"\(release ([^)\s]+)\)|\bneard[ -]v?(\d+\.\d+\.\d+\S*)")
_TAIL = 2000


class ProgramFault(Exception):
    """The program can't be run or gives no usable answer; the message says why."""


@dataclass(frozen=True)
class Account:
    """The user that a program runs as; names come from the host's user database."""

    name: str
    uid: int
    gid: int

    @classmethod
    def of(cls, name: str) -> Account:
        """:raises ProgramFault: this host has no such user."""
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            raise ProgramFault(f"this host has no user {name}") from None
        return cls(name, found.pw_uid, found.pw_gid)


@dataclass(frozen=True)
class Answer:
    """How a program ended: its exit code (negative: by that signal), and the end of what it said."""

    code: int
    said: str


def ask(program: str | Path, arguments: Sequence[str], user: Account, deadline: float) -> Answer:
    """Run it as ``user`` and wait for at most ``deadline`` seconds. :raises ProgramFault: it didn't start or didn't end."""
    drop = os.geteuid() == 0 and user.uid != 0
    try:
        done = subprocess.run(
            [str(program), *arguments],
            env={"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8", "RUST_BACKTRACE": "0", "NO_COLOR": "1"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=deadline,
            check=False,
            user=user.uid if drop else None,
            group=user.gid if drop else None,
            extra_groups=[] if drop else None,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        raise ProgramFault(f"{program} {' '.join(arguments)} did not end within {deadline:g} s") from None
    except OSError as error:
        raise ProgramFault(f"{program} can't be executed: {error.strerror}") from None
    return Answer(done.returncode, done.stdout.decode(errors="replace").strip()[-_TAIL:])


@dataclass(frozen=True)
class Version:
    """``release`` is the version such as ``2.11.0``; ``line`` is all that the program says of itself."""

    release: str
    line: str


def version_of(program: str | Path, user: Account) -> Version:
    """What the program calls itself. :raises ProgramFault: it does not run here, or does not say."""
    answer = ask(program, ["--version"], user, VERSION_DEADLINE)
    line = " ".join(answer.said.splitlines()[:1]).strip()[:300]
    if answer.code != 0:
        last = answer.said.splitlines()[-1][:300] if answer.said else "it said nothing"
        raise ProgramFault(f"{program} --version ended with exit code {answer.code}: {last}")
    found = _RELEASE.search(line)
    if found is None:
        raise ProgramFault(f"{program} --version names no release: {line!r}")
    return Version(found[1] or found[2], line)
