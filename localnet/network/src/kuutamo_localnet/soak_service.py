# SPDX-License-Identifier: Apache-2.0
"""What systemd does for a node in a soak: restart, `--hand-back`, and the watchdog, as the unit in docs/operations.md says.

Of the watchdog only the case is played in which it is needed: guard *and* supervisor are stopped. A supervisor that is
stopped alone is left to its guard, which has to fence without systemd's help.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

from kuutamod.guard.child import MARKER
from kuutamod.guard.release import PATIENCE as GUARD_PATIENCE
from neard_standin.procfs import boottime

from .background import Background
from .fleet_node import FleetNode
from .process import Process, send_signal, stands_still
from .reaper import ProcessInfo, read_process
from .wait import eventually

WATCHDOG = 5.0  # seconds (WatchdogSec)
RESTART_PAUSE = 1.0  # seconds (RestartSec)
STOP_DEADLINE = 90.0  # seconds (TimeoutStopSec)
# Seconds after the supervisor's end within which its guard must have ended neard and itself; the guard's tries to release
# the lock take the most of them. The rest is for a busy machine.
GROUP_DEADLINE = GUARD_PATIENCE + 20.0
FREEZE_DEADLINE = 3.0  # seconds until a process that was sent a SIGSTOP is stopped, on a busy machine
LOOK = 0.05  # seconds between two looks at a service


class Stage(Enum):
    """Where a service is."""

    RUNNING = "running"
    STOPPING = "its processes are ending"
    AFTERWARDS = "handing back"
    PAUSING = "waiting for its restart"
    LOST = "its host is lost"


@dataclass(frozen=True)
class Leftover:
    """Processes that outlived their supervisor for too long; `at` is when they were given up (CLOCK_BOOTTIME)."""

    node: str
    at: float
    processes: tuple[str, ...]


class Service:
    """One node as a unit of systemd. `lock` is held by whoever does something to the node's processes.

    It begins with a supervisor that somebody else has started. `hand_back`: whether the unit has its ExecStopPost.
    `rebooted` is told before anything is started on a host that was lost. `crashes` has the exit code of each supervisor
    that ended neither as asked nor by SIGKILL. One that is asked before it has handlers for signals, when it has only just
    been started, dies by its SIGTERM; to systemd that is as clean as exit code 0.
    """

    def __init__(self, node: FleetNode, rebooted: Callable[[], None], *, hand_back: bool) -> None:
        self.node = node
        self.lock = threading.RLock()
        self.stage = Stage.RUNNING
        self.starts = 1
        self.watchdog_kills = 0
        self.leftovers: list[Leftover] = []
        self.crashes: list[int] = []
        self._rebooted = rebooted
        self._hand_back = hand_back
        self._post: Process | None = None
        self._watched: tuple[float, tuple[ProcessInfo, ...]] | None = None
        self._since = 0.0
        self._restart = True
        self._asked = False

    def start(self) -> None:
        """Start the supervisor."""
        with self.lock:
            self._asked = False
            self.node.start()
            self._enter(Stage.RUNNING)
            self.starts += 1

    def running(self) -> bool:
        """Whether the supervisor runs, stopped or not."""
        return self.stage is Stage.RUNNING and self.node.process.alive()

    def on_host(self) -> bool:
        """Whether the node's host is there."""
        return self.stage is not Stage.LOST

    def watch(self, processes: Sequence[ProcessInfo]) -> None:
        """Kill everything of the node when all of these, just sent a SIGSTOP, are stopped for WATCHDOG seconds.

        Raises AssertionError when they do not stop.
        """
        with self.lock:
            since = boottime()
            # Until then it would look as if it had been thawed.
            eventually(lambda: all(map(stands_still, processes)), FREEZE_DEADLINE, f"{self.node.name} is frozen")
            self._watched = (since, tuple(processes))

    def lose_host(self) -> None:
        """SIGKILL to everything on the node's host at once; nothing is restarted before `boot`."""
        with self.lock:
            self._enter(Stage.LOST)
            if self._post is not None:
                self._post.kill_tree()
            self.node.lose_host()

    def boot(self) -> None:
        """Bring the lost host back: its Consul agent and the service."""
        with self.lock:
            self._close()
            self._rebooted()
            if self.node.plan.site.agent is not None:
                self.node.plan.site.agent.restart()
            self.start()

    def ask_to_end(self) -> None:
        """SIGTERM to the supervisor; what ends is started again unless it was stopped for good."""
        with self.lock:
            self._asked = self.node.process.terminate() or self._asked

    def stop_for_good(self) -> None:
        """`systemctl stop`, without waiting: it is not started again."""
        with self.lock:
            self._restart = False
            if self.stage is Stage.RUNNING:
                self.ask_to_end()

    def ended(self) -> bool:
        """Whether nothing of it runs and nothing will."""
        return self.stage is Stage.PAUSING and not self._restart

    def tick(self) -> None:
        """Look at the service and do what is due."""
        with self.lock:
            if self.stage is Stage.RUNNING:
                self._heed_watchdog()
                if not self.node.process.alive():
                    self._main_ended()
            elif self.stage is Stage.STOPPING:
                self._await_group()
            elif self.stage is Stage.AFTERWARDS:
                self._await_hand_back()
            elif self.stage is Stage.PAUSING and self._restart and boottime() - self._since >= RESTART_PAUSE:
                self.start()

    def _enter(self, stage: Stage) -> None:
        self.stage, self._since = stage, boottime()

    def _heed_watchdog(self) -> None:
        if self._watched is None:
            return
        since, processes = self._watched
        if not all(map(stands_still, processes)):
            self._watched = None
        elif boottime() - since >= WATCHDOG:
            self._watched = None
            self.watchdog_kills += 1
            self.node.process.kill_tree()

    def _main_ended(self) -> None:
        # KillMode=control-group: SIGTERM to the rest, to which the guard is deaf.
        for member in self.node.process.tree():
            send_signal(member, signal.SIGTERM)
        self._enter(Stage.STOPPING)

    def _await_group(self) -> None:
        members = self.node.process.tree()
        late = boottime() - self._since >= GROUP_DEADLINE
        if members and not late:
            return
        if members:
            # systemd would wait until TimeoutStopSec; that is no excuse for staying.
            self.leftovers.append(Leftover(self.node.name, boottime(), tuple(f"{m.name} pid {m.pid}" for m in members)))
            self.node.process.kill_tree()
        self._close()
        code = self.node.process.returncode
        clean = (0, -signal.SIGKILL, -signal.SIGTERM) if self._asked else (0, -signal.SIGKILL)
        if code is not None and code not in clean:
            self.crashes.append(code)
        if not self._hand_back:
            self._enter(Stage.PAUSING)
            return
        self._post = self.node.command("--hand-back").start()
        self._enter(Stage.AFTERWARDS)

    def _await_hand_back(self) -> None:
        post = self._post
        if post is not None and post.alive() and boottime() - self._since < STOP_DEADLINE:
            return
        self._close()
        self._enter(Stage.PAUSING)

    def _close(self) -> None:
        """Give back what the ended processes of this life have needed in the harness."""
        self.node.process.close()
        if self._post is not None:
            self._post.close()
            self._post = None


class Manager(Background):
    """Looks at each service from a thread of its own; a context manager. `failure` is what ended a thread too early."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.failure: Exception | None = None
        super().__init__(partial(self._run, service) for service in services)

    def _run(self, service: Service, stop: threading.Event) -> None:
        while not stop.wait(LOOK):
            try:
                service.tick()
            except Exception as error:
                # Told by whoever asks: a soak without its service manager proves nothing.
                self.failure = error
                return


def processes_of(directory: Path) -> tuple[str, ...]:
    """Every process that works in a directory below this one, or was started by a guard on a home there."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or (info := read_process(int(entry.name))) is None or info.state in "ZX":
            continue
        with contextlib.suppress(OSError):
            works_there = (entry / "cwd").readlink().is_relative_to(directory)
            guarded = f"{MARKER}={directory}".encode() in (entry / "environ").read_bytes()
            if works_there or guarded:
                found.append(f"{info.name} pid {info.pid}")
    return tuple(found)
