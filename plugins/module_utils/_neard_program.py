# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running a neard for a question (its version, is this config valid), never as root where there is another user."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ._program import Account, ProgramFault, run

VERSION_DEADLINE = 20.0
"""Seconds for `neard --version`; it may come from a cold disk."""

_RELEASE = re.compile(r"\(release ([^)\s]+)\)|\bneard[ -]v?(\d+\.\d+\.\d+\S*)")
_TAIL = 2000
_ENVIRONMENT = {"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8", "RUST_BACKTRACE": "0", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Said:
    """How a neard ended: its exit code, and the end of what it said."""

    code: int
    said: str


def ask(module: AnsibleModule, program: str | Path, arguments: Sequence[str], user: Account, deadline: float) -> Said:
    """Run it as ``user`` and wait for at most ``deadline`` seconds. :raises ProgramFault: it didn't start or didn't end."""
    answer = run(module, [program, *arguments], deadline, user, _ENVIRONMENT)
    return Said(answer.code, (answer.out + answer.err).decode(errors="replace").strip()[-_TAIL:])


@dataclass(frozen=True)
class Version:
    """``release`` is the version such as ``2.11.0``; ``line`` is all that the program says of itself."""

    release: str
    line: str


def version_of(module: AnsibleModule, program: str | Path, user: Account) -> Version:
    """What the program calls itself. :raises ProgramFault: it does not run here, or does not say."""
    answer = ask(module, program, ["--version"], user, VERSION_DEADLINE)
    line = " ".join(answer.said.splitlines()[:1]).strip()[:300]
    if answer.code != 0:
        last = answer.said.splitlines()[-1][:300] if answer.said else "it said nothing"
        raise ProgramFault(f"{program} --version ended with exit code {answer.code}: {last}")
    found = _RELEASE.search(line)
    if found is None:
        raise ProgramFault(f"{program} --version names no release: {line!r}")
    return Version(found[1] or found[2], line)
