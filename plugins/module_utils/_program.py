# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running other programs from a module: within a deadline, and where it is asked for as another user, in an environment of
its own. What Ansible's own run_command has no words for is done by env, setpriv and timeout.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule

_GRACE = 2
"""Seconds between the signals TERM and KILL to a program that is late."""
_LATE = (124, 137)
_NOT_STARTED = (126, 127)
_HELPERS = (b"timeout: ", b"setpriv: ", b"env: ")


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
    """How a program ended: its exit code, and what it wrote."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """What it wrote to its standard output."""
        return self.out.decode(errors="replace")

    @property
    def complaint(self) -> str:
        """What it wrote to its standard error, on one line."""
        return " ".join(self.err.decode(errors="replace").split())


def run(
    module: AnsibleModule,
    command: Sequence[object],
    deadline: float,
    user: Account | None = None,
    environment: Mapping[str, str] | None = None,
    given: bytes | None = None,
) -> Answer:
    """Run it and wait for at most ``deadline`` seconds. ``given``: its standard input; it is written to no log.

    ``user``: as whom root runs it, in no group but his own. ``environment``: all variables that it gets, not the module's.
    :raises ProgramFault: it didn't start or didn't end.
    """
    words = [str(word) for word in command]
    before = ["timeout", f"--kill-after={_GRACE}", f"{deadline:g}"]
    if environment is not None:
        before += ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    if user is not None and user.uid != 0 and os.geteuid() == 0:
        before += ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
    try:
        code, out, err = module.run_command(
            [*before, *words],
            data=given or None,
            binary_data=True,
            encoding=None,
            cwd="/",
            umask=0o077,
            handle_exceptions=False,
        )
    except OSError as error:
        raise ProgramFault(f"{words[0]} can't be executed: {error.strerror}") from None
    if code in _LATE:
        raise ProgramFault(f"{' '.join(words)} did not end within {deadline:g} s")
    if code in _NOT_STARTED and err.startswith(_HELPERS):
        raise ProgramFault(f"{words[0]} can't be executed: {err.decode(errors='replace').strip().rpartition(': ')[2]}")
    return Answer(code, out, err)
