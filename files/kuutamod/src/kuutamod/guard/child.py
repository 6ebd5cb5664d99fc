# SPDX-License-Identifier: Apache-2.0
"""neard as the guard's child: start, key, signals, death. Standard library only; used by a single-threaded process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from pathlib import Path

PR_SET_PDEATHSIG = 1
NEARD_OOM_SCORE = 300
"""neard goes before supervisor and guard when memory runs out: they must live to fence it."""
MARKER = "KUUTAMO_GUARDED_HOME"
"""Environment variable of every guarded neard, so that an orphan is recognised by its home."""


class Neard:
    """One process; ``pidfd`` becomes readable when it has ended."""

    def __init__(self, argv: list[str], env: dict[str, str], home: str, cgroup: Path | None) -> None:
        """Start it. :raises OSError: it can't be executed."""
        libc = ctypes.CDLL(None, use_errno=True)
        guard = os.getpid()

        def prepare() -> None:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != guard:
                os._exit(127)  # the guard died between fork and prctl
            with contextlib.suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text(str(NEARD_OOM_SCORE), encoding="ascii")
            if cgroup is not None:
                with contextlib.suppress(OSError):
                    (cgroup / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

        self.cgroup = cgroup
        self._process = subprocess.Popen(
            argv,
            env={**env, MARKER: home},
            cwd=home,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=prepare,  # noqa: PLW1509  the guard has one thread
        )
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def signal(self, number: int) -> None:
        """Send a signal; a process that has ended but is not yet reaped just ignores it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the process, its group and its cgroup."""
        self.signal(signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.cgroup is not None:
            with contextlib.suppress(OSError):
                (self.cgroup / "cgroup.kill").write_text("1", encoding="ascii")

    def reap(self) -> str:
        """Collect the exit status (the proof of death) and say it in words; call it when ``pidfd`` is readable."""
        code = self._process.wait()
        os.close(self.pidfd)
        if self.cgroup is not None:
            with contextlib.suppress(OSError):
                self.cgroup.rmdir()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def handles_hup(self) -> bool:
        """Is neard's SIGHUP handler installed? Before that, SIGHUP would end it (nearcore cli.rs)."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) & 1 << (signal.SIGHUP - 1))
        return False


def place_link(link: Path, target: Path) -> None:
    """Make ``link`` point to ``target`` in one step. :raises OSError: it can't be made."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(target)
    temporary.replace(link)


def take_link(link: Path) -> None:
    """Remove ``link``. :raises OSError: it can't be removed, or is a regular file, which is not ours to delete."""
    if link.is_symlink():
        link.unlink(missing_ok=True)
    elif link.exists():
        raise FileExistsError(f"{link} is a file of its own")


def remove_link(link: Path) -> None:
    """Remove ``link`` if that is possible; see ``take_link``."""
    with contextlib.suppress(OSError):
        take_link(link)


def start_time(pid: int) -> int:
    """Field 22 of /proc/<pid>/stat, which tells two lives of one pid apart; 0 when the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def own_cgroup(setting: str) -> Path | None:
    """A new cgroup v2 for neard below the guard's own; None where there is none or the guard may not.

    ``auto`` makes one only in a subtree that was delegated to this service (systemd marks it), ``on`` wherever it is
    writable, ``off`` never.
    """
    if setting == "off":
        return None
    try:
        base = _cgroup_directory()
        if base is None or (setting == "auto" and not _delegated(base)):
            return None
        made = base / f"neard-{os.getpid()}"
        made.mkdir()
    except OSError:
        return None
    return made


def _cgroup_directory() -> Path | None:
    paths = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    inside = next((line[3:] for line in paths if line.startswith("0::")), None)
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _unused, right = line.partition(" - ")
        if right.startswith("cgroup2 ") and inside is not None:
            return Path(left.split()[4]) / inside.lstrip("/")
    return None


def _delegated(directory: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(directory, name) == b"1":
                return True
    return False
