# SPDX-License-Identifier: Apache-2.0
"""The guard's loop. Started as ``python -I -S`` by the supervisor; standard library only, one thread.

It ignores SIGHUP, SIGINT and SIGTERM: a closed terminal or a service manager that signals the whole cgroup must not end
the process that fences neard. If it is killed all the same, the kernel kills neard with it (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

from . import rules, wire
from .child import Neard, own_cgroup, place_link, remove_link, start_time, take_link
from .release import ConsulAccess, destroy_session, release
from .rules import Cause, GuardView

RELOAD_AGAIN = 0.7
"""Seconds after which neard is told once more to reload without its key: it can miss a SIGHUP while it reloads."""


def boottime() -> float:
    """Seconds since boot, suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Guard:
    """One neard from its start to the proof of its death."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._view = GuardView()
        self._neard: Neard | None = None
        self._cause: Cause | None = None
        self._why = ""
        self._key: tuple[Path, Path] | None = None
        self._plan: dict[str, str] | None = None
        self._reload_at: float | None = None
        self._access: ConsulAccess | None = None

    def run(self) -> None:
        """Serve the supervisor until neard is dead and, if need be, the lock handed back."""
        first = wire.receive(self._end)
        if first is None or first["kind"] != wire.START or not self._start(first):
            return
        neard = self._neard
        assert neard is not None
        poller = select.poll()
        poller.register(neard.pidfd, select.POLLIN)
        poller.register(self._end, select.POLLIN)
        while True:
            self._kill_if_due(neard)
            ready = dict(poller.poll(self._sleep() * 1000))
            # What is due is due before anything the supervisor says: after a suspend its words are old.
            self._kill_if_due(neard)
            if neard.pidfd in ready:
                break
            if self._end.fileno() in ready and not self._view.orphaned:
                self._hear(neard)
                if self._view.orphaned:
                    poller.unregister(self._end)
            else:
                self._reload_if_due(neard)
        self._bury(neard)

    def _start(self, message: wire.Message) -> bool:
        self._access = ConsulAccess.from_message(message["consul"])
        self._key = (Path(message["key_link"]), Path(message["key_target"]))
        fence_at = message["fence_at"]
        try:
            if fence_at is not None:
                if not rules.may_place(self._view, boottime(), fence_at):
                    raise TimeoutError("the lease's deadline has passed before neard could be started")
                self._arm(fence_at, message["plan"])
                place_link(self._key[0], self._key[1])
            neard = Neard(message["argv"], message["env"], message["home"], own_cgroup(message["cgroup"]))
        except OSError as error:
            remove_link(self._key[0])
            wire.send(self._end, wire.FAILED, why=f"neard can't be started: {error}")
            return False
        self._neard = neard
        wire.send(self._end, wire.STARTED, pid=neard.pid, start_time=start_time(neard.pid))
        return True

    def _arm(self, fence_at: float, plan: dict[str, str]) -> None:
        newest = max(fence_at, self._view.fence_at or fence_at)
        self._view = replace(self._view, fence_at=newest)
        self._plan = plan

    def _kill_if_due(self, neard: Neard) -> None:
        cause = rules.must_kill(self._view, boottime())
        if cause is None:
            return
        if self._cause in (None, Cause.ORDERED):
            self._cause = cause
        self._view = replace(self._view, killed=True)
        neard.kill()

    def _sleep(self) -> float:
        """Seconds until something may be due."""
        now = boottime()
        longest = rules.sleep_for(self._view, now)
        return longest if self._reload_at is None else max(0.0, min(longest, self._reload_at - now))

    def _reload_if_due(self, neard: Neard) -> None:
        """The supervisor has not stopped neard yet, so the key still shows: the SIGHUP may be lost."""
        if self._reload_at is not None and boottime() >= self._reload_at:
            self._reload_at = None
            neard.signal(signal.SIGHUP)

    def _hear(self, neard: Neard) -> None:
        message = wire.receive(self._end)
        kind = message["kind"] if message is not None else None
        if message is None:
            self._view = replace(self._view, orphaned=True)
        elif kind == wire.EXTEND:
            if message["fence_at"] is not None and self._view.fence_at is not None:
                self._arm(message["fence_at"], message["plan"])
            wire.send(self._end, wire.ACK)
        elif kind == wire.PLACE:
            self._place(neard, message)
        elif kind == wire.UNLOAD:
            self._unload(neard)
        elif kind == wire.STOP:
            self._cause, self._why, self._reload_at = Cause.ORDERED, message["why"], None
            neard.signal(signal.SIGTERM)
            self._view = replace(self._view, stop_by=boottime() + message["grace"])
        elif kind == wire.KILL:
            self._why, self._reload_at = message["why"], None
            self._view = replace(self._view, kill_ordered=True)

    def _place(self, neard: Neard, message: wire.Message) -> None:
        assert self._key is not None
        try:
            if not rules.may_place(self._view, boottime(), message["fence_at"]):
                raise TimeoutError("the lease's deadline has passed")
            if not neard.handles_hup():
                raise BlockingIOError("neard has not installed its SIGHUP handler yet")
            self._arm(message["fence_at"], message["plan"])
            place_link(*self._key)
            neard.signal(signal.SIGHUP)
        except OSError as error:
            wire.send(self._end, wire.REFUSED, why=f"the key was not placed: {error}")
        else:
            wire.send(self._end, wire.PLACED)

    def _unload(self, neard: Neard) -> None:
        assert self._key is not None
        self._view = replace(self._view, unloaded=True)
        try:
            if not neard.handles_hup():
                raise BlockingIOError("neard has not installed its SIGHUP handler yet")
            take_link(self._key[0])
            neard.signal(signal.SIGHUP)
            self._reload_at = boottime() + RELOAD_AGAIN
        except OSError as error:
            wire.send(self._end, wire.REFUSED, why=f"the key was not taken from neard: {error}")
        else:
            wire.send(self._end, wire.UNLOADED)

    def _bury(self, neard: Neard) -> None:
        """neard has ended: collect the proof, take the key out of its home, hand the lock back if nobody else will."""
        status = neard.reap()
        at = boottime()
        if self._key is not None:
            remove_link(self._key[0])
        cause = self._cause or Cause.ITSELF
        why = f"neard pid {neard.pid} ended ({status}): {self._why or cause.value}"
        told = wire.send(self._end, wire.EXITED, why=why, at=at, cause=cause.name)
        if not told or self._supervisor_gone():
            cause = Cause.ORPHANED
        armed = self._plan is not None and self._access is not None
        if rules.releases(cause, armed) and self._plan is not None and self._access is not None:
            outcome = release(self._access, self._plan)
            wire.send(self._end, wire.RELEASED, outcome=outcome)
            if self._supervisor_gone():
                destroy_session(self._access, self._plan["session"], self._plan["member"])

    def _supervisor_gone(self) -> bool:
        if self._view.orphaned:
            return True
        with contextlib.suppress(BlockingIOError, ValueError):
            self._end.setblocking(False)
            while wire.receive(self._end) is not None:
                pass
            return True
        return False


def main() -> None:
    """Entry point; ``argv[1]`` is the inherited end of the pair."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    Guard(socket.socket(fileno=int(sys.argv[1]))).run()
