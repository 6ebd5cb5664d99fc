# SPDX-License-Identifier: Apache-2.0
"""Hosts that were booted at different times: kuutamod in a time namespace, where CLOCK_BOOTTIME is shifted (root).

All nodes of a localnet run on one kernel and would share its boot clock, so a rule that compares the clocks of two hosts,
or of one host before and after a reboot, would go unnoticed. A time namespace shifts the clock, once and for good; it
can't change the clock's *rate*. neard stays on the machine's own clock, which the simulated chain and the journal count.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from neard_standin.procfs import boottime

PROBE_DEADLINE = 10.0  # seconds for the two small programs of the probe
_PROBE_SHIFT = 1_000_000
_PROBE_TOLERANCE = 60.0


def shifted(seconds: int) -> list[str]:
    """What to put before an argument vector so that the program's boot clock is that many seconds ahead; same pid."""
    return ["unshare", "--time", "--boottime", str(seconds)] if seconds else []


def unshifted(argv: Sequence[str]) -> list[str]:
    """An argument vector that runs a program on the clock of this process, however its parent's is shifted; same pid."""
    return ["nsenter", f"--time=/proc/{os.getpid()}/ns/time", *argv]


def available() -> bool:
    """Whether both of the above work here without a new process; found out by reading /proc/uptime in both ways."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    script = 'echo "$$"; cat /proc/uptime; exec "$@"'
    inner = unshifted(["sh", "-c", 'echo "$$"; cat /proc/uptime'])
    try:
        done = subprocess.run(
            [*shifted(_PROBE_SHIFT), "sh", "-c", script, "sh", *inner],
            capture_output=True,
            text=True,
            timeout=PROBE_DEADLINE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    pid, ahead, same_pid, back = (line.split()[0] for line in done.stdout.splitlines())
    clocks = (float(ahead) - _PROBE_SHIFT - boottime(), float(back) - boottime())
    return pid == same_pid and all(abs(difference) < _PROBE_TOLERANCE for difference in clocks)


def neard_on_own_clock(path: Path, neard: Path) -> Path:
    """Write a program to `path` that runs `neard` on the clock of this process; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.join(unshifted([str(neard)]))} "$@"\n')
    path.chmod(0o755)
    return path


class HostClock:
    """The boot clock of one host. `shift` says by how many seconds it is ahead after so many reboots."""

    def __init__(self, shift: Callable[[int], int]) -> None:
        self._shift = shift
        self._boots = 0

    def reboot(self) -> None:
        """Count from another boot from now on."""
        self._boots += 1

    def prefix(self) -> Sequence[str]:
        """What is put before a program that is started on the host."""
        return shifted(self._shift(self._boots))
