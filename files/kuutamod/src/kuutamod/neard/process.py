# SPDX-License-Identifier: Apache-2.0
"""The supervisor's side of the guard: start neard, place the key, stop, kill, and the proof of its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..clock import Clock
from ..core import actions as ac
from ..core import events as ev
from ..core.model import Home, Identity, Role
from ..core.protocol import lock_key, member_key
from ..deadline import Lane, Overrun
from ..guard import wire
from ..guard.child import remove_link, start_time
from ..guard.launch import guard_argv
from ..guard.rules import Cause
from . import config, home, keys, procfs
from .home import HomeLock

START_DEADLINE = 15.0
"""Seconds for home, guard and exec together."""
PLACE_DEADLINE = 2.0
"""Seconds for the guard to place the key, or to take it away."""
REAP_DEADLINE = 0.5
"""Seconds a guard has to report a neard that has ended; then the guard is ended too and the proof is had without it."""
PROOF_PAUSE = 0.02
HOME_DEADLINE = 15.0
_KEPT_BACK = ("KUUTAMO_", "NOTIFY_SOCKET", "WATCHDOG_", "CONSUL_HTTP_", "CREDENTIALS_DIRECTORY", "LISTEN_")


@dataclass(frozen=True)
class NeardFiles:
    """Which neard, on which home, with which keys and addresses."""

    binary: Path
    home: Path
    store: Path
    validator_key: Path
    validator_node_key: Path
    voter_node_key: Path
    validator_addr: str
    voter_addr: str
    boot_nodes: str | None
    cgroup: str

    def node_key(self, role: Role) -> Path:
        """The node key of a role: a voter never answers under the validator's."""
        return self.validator_node_key if role is Role.VALIDATOR else self.voter_node_key

    def network_addr(self, role: Role) -> str:
        """The network address of a role."""
        return self.validator_addr if role is Role.VALIDATOR else self.voter_addr

    def argv(self) -> list[str]:
        """neard's command line."""
        boot = ["--boot-nodes", self.boot_nodes] if self.boot_nodes else []
        return [str(self.binary), "--home", str(self.home), "run", *boot]


@dataclass
class _Run:
    """One guard and its neard."""

    serial: int
    end: socket.socket
    guard: subprocess.Popen[bytes]
    started: asyncio.Future[wire.Message]
    placed: asyncio.Future[wire.Message] | None = None
    pid: int | None = None
    pidfd: int | None = None
    proved: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class NeardProcess:
    """Executes the actions about neard's process; ``post`` gets the events that nobody asked for."""

    def __init__(
        self,
        files: NeardFiles,
        identity: Identity,
        lock: HomeLock,
        consul: dict[str, Any],
        clock: Clock,
        post: Callable[[ev.Event], None],
        say: Callable[[str], object],
    ) -> None:
        self._files = files
        self._identity = identity
        self._lock = lock
        self._consul = consul
        self._clock = clock
        self._post = post
        self._say = say
        self._lane = Lane("home")
        self._runs: dict[int, _Run] = {}

    def children(self) -> set[int]:
        """The pids of guards and neards that are collected here."""
        return {pid for run in self._runs.values() for pid in (run.guard.pid, run.pid) if pid is not None}

    # --- actions with an answer ---

    async def inspect(self) -> ev.Event:
        """InspectHome."""
        try:
            return await self._lane.run(lambda: home.inspect(self._files.home, self._files.store), HOME_DEADLINE)
        except (OSError, Overrun) as error:
            return ev.HomeInspected(Home.BUSY, f"{self._files.home} can't be inspected: {error}")

    async def start(self, action: ac.StartChild) -> ev.Event:
        """StartChild; when it fails nothing runs and no key is in place."""
        try:
            said = await self._lane.run(lambda: self._prepare(action.role), HOME_DEADLINE)
            if said:
                self._say(said)
            run = await self._lane.run(self._spawn_later(action.serial), START_DEADLINE)
        except (OSError, Overrun, keys.KeyFault, config.ConfigFault) as error:
            return self._not_started(action.serial, f"neard can't be started: {error}")
        self._runs[action.serial] = run
        asyncio.get_running_loop().add_reader(run.end, self._hear, run)
        if not wire.send(run.end, wire.START, **self._start_message(action)):
            run.guard.kill()
            _resolve(run.started, {"kind": wire.FAILED, "why": "its guard takes no order (is the environment too large?)"})
        try:
            async with asyncio.timeout(START_DEADLINE):
                message = await asyncio.shield(run.started)
        except TimeoutError:
            run.guard.kill()
            message = {"kind": wire.FAILED, "why": f"the guard did not start neard within {START_DEADLINE:g} s"}
        if message["kind"] == wire.FAILED:
            await self._without_guard(run)
            return self._not_started(action.serial, str(message["why"]))
        return ev.ChildStarted(action.serial, int(message["pid"]), self._clock.now())

    async def place(self, action: ac.PlaceKey) -> ev.Event:
        """PlaceKey."""
        try:
            await self._lane.run(self._check_key, HOME_DEADLINE)
        except (OSError, Overrun, keys.KeyFault) as error:
            return ev.KeyRefused(action.serial, str(error), self._clock.now())
        why = await self._tell_guard(action.serial, wire.PLACE, fence_at=action.fence_at, plan=self._plan(action.plan))
        if why:
            return ev.KeyRefused(action.serial, why, self._clock.now())
        return ev.KeyPlaced(action.serial, self._clock.now())

    async def unload(self, action: ac.UnloadKey) -> ev.Event:
        """UnloadKey."""
        why = await self._tell_guard(action.serial, wire.UNLOAD)
        return ev.KeyUnloaded(action.serial, self._clock.now(), why)

    async def _tell_guard(self, serial: int, kind: str, **fields: Any) -> str:
        """Let the guard place or take away the key; why it did not, empty when it did."""
        run = self._runs.get(serial)
        if run is None or run.proved:
            return "neard has ended"
        run.placed = asyncio.get_running_loop().create_future()
        if not wire.send(run.end, kind, **fields):
            return "the guard takes no order"
        try:
            async with asyncio.timeout(PLACE_DEADLINE):
                message = await run.placed
        except TimeoutError:
            return f"the guard did not answer within {PLACE_DEADLINE:g} s"
        return str(message["why"]) if message["kind"] == wire.REFUSED else ""

    # --- commands ---

    def extend(self, action: ac.ExtendGuard) -> None:
        """ExtendGuard."""
        if run := self._runs.get(action.serial):
            self._order(run, wire.EXTEND, fence_at=action.fence_at, plan=self._plan(action.plan))

    def stop(self, action: ac.StopChild) -> None:
        """StopChild."""
        if run := self._runs.get(action.serial):
            self._order(run, wire.STOP, grace=action.grace, why=action.why)

    def kill(self, action: ac.KillChild) -> None:
        """KillChild: through the guard, and directly, since a guard can be frozen."""
        run = self._runs.get(action.serial)
        if run is None:
            return
        self._order(run, wire.KILL, why=action.why)
        if run.pidfd is not None and not run.proved:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(run.pidfd, signal.SIGKILL)

    def _order(self, run: _Run, kind: str, **fields: Any) -> None:
        """Tell the guard; one that takes no order does not guard, so it is ended and the kernel kills neard with it."""
        if wire.send(run.end, kind, **fields) or run.proved:
            return
        if run.guard.poll() is None:
            self._say(f"killing neard pid {run.pid}: its guard does not take the order to {kind}")
            run.guard.kill()

    # --- starting ---

    def _prepare(self, role: Role) -> str | None:
        files = self._files
        if role is Role.VALIDATOR:
            self._check_key()
        config.set_network_addr(files.home, files.network_addr(role))
        return home.prepare(files.home, files.node_key(role), files.validator_key)

    def _check_key(self) -> None:
        key = keys.read_key_file(self._files.validator_key)
        wanted = (self._identity.validator_account, self._identity.fingerprint)
        if (key.account_id, key.public_key) != wanted:
            raise keys.KeyFault(
                f"{self._files.validator_key} has changed since the start: it is now {key.public_key} of "
                f"{key.account_id}, not {wanted[1]} of {wanted[0]}; restart kuutamod to use it"
            )

    def _spawn_later(self, serial: int) -> Callable[[], _Run]:
        started: asyncio.Future[wire.Message] = asyncio.get_running_loop().create_future()

        def spawn() -> _Run:
            ours, theirs = wire.pair()
            with theirs:
                guard = subprocess.Popen(
                    guard_argv(theirs.fileno()),
                    pass_fds=(theirs.fileno(), self._lock.fd),
                    stdin=subprocess.DEVNULL,
                    env={"PATH": os.environ.get("PATH", os.defpath)},
                    start_new_session=True,
                )
            ours.setblocking(False)
            return _Run(serial, ours, guard, started)

        return spawn

    def _start_message(self, action: ac.StartChild) -> dict[str, Any]:
        files = self._files
        env = {k: v for k, v in os.environ.items() if not k.startswith(_KEPT_BACK)}
        return {
            "argv": files.argv(),
            "env": env,
            "home": str(files.home),
            "key_link": str(files.home / home.VALIDATOR_KEY),
            "key_target": str(files.validator_key),
            "fence_at": action.fence_at,
            "plan": self._plan(action.plan),
            "consul": self._consul,
            "cgroup": files.cgroup,
        }

    def _plan(self, plan: ac.ReleasePlan | None) -> dict[str, str] | None:
        if plan is None:
            return None
        return {
            "key": lock_key(self._identity.account_id),
            "session": plan.session,
            "member": member_key(self._identity.account_id, self._identity.node_id),
            "value": plan.record.to_json(),
        }

    def _not_started(self, serial: int, why: str) -> ev.ChildStartFailed:
        return ev.ChildStartFailed(serial, why, self._clock.now())

    # --- listening ---

    def _hear(self, run: _Run) -> None:
        try:
            message = wire.receive(run.end)
        except BlockingIOError:
            return
        if message is None:
            self._guard_ended(run)
            return
        kind = message["kind"]
        if kind == wire.ACK:
            self._post(ev.GuardAnswered(run.serial, self._clock.now()))
        elif kind == wire.STARTED:
            self._started(run, message)
        elif kind == wire.FAILED:
            run.proved = True
            _resolve(run.started, message)
        elif kind in (wire.PLACED, wire.UNLOADED, wire.REFUSED) and run.placed is not None:
            _resolve(run.placed, message)
        elif kind == wire.EXITED:
            handing_back = message["cause"] in (Cause.FENCE.name, Cause.ORPHANED.name)
            self._proved(run, str(message["why"]), float(message["at"]), handing_back)
        elif kind == wire.RELEASED:
            self._say(f"the guard of neard pid {run.pid} {message['outcome']}")

    def _started(self, run: _Run, message: wire.Message) -> None:
        pid = int(message["pid"])
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(pid)
            if start_time(pid) == message["start_time"]:
                run.pidfd = fd
                asyncio.get_running_loop().add_reader(fd, self._ended, run)
            else:
                os.close(fd)
        run.pid = pid
        _resolve(run.started, message)

    def _ended(self, run: _Run) -> None:
        """The kernel says that neard has ended; its guard has a moment to say so too."""
        assert run.pidfd is not None
        asyncio.get_running_loop().remove_reader(run.pidfd)
        self._later(run, self._hurry_guard(run))

    async def _hurry_guard(self, run: _Run) -> None:
        await asyncio.sleep(REAP_DEADLINE)
        if not run.proved:
            run.guard.kill()

    def _guard_ended(self, run: _Run) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(run.end)
        run.end.close()
        if run.proved:
            self._later(run, self._collect_guard(run))
        elif not run.started.done():
            _resolve(run.started, {"kind": wire.FAILED, "why": "the guard died before neard was started"})
        else:
            self._later(run, self._prove_alone(run))

    async def _prove_alone(self, run: _Run) -> None:
        """The guard died first. The kernel has sent neard SIGKILL with it; be sure of it, then say so."""
        await self._without_guard(run)
        self._proved(run, f"neard pid {run.pid} was killed because its guard died", self._clock.now())

    async def _without_guard(self, run: _Run) -> None:
        """Until no neard of this home exists any more; as orphans they are our children, so they are reaped here.

        No other neard can be starting meanwhile: the rules start none before this one is reported dead.
        """
        if run.guard.poll() is None:
            run.guard.kill()
        while True:
            try:
                left = await self._lane.run(lambda: procfs.guarded_processes(self._files.home), HOME_DEADLINE)
            except (OSError, Overrun):
                left = (0,)
            if run.pid is not None:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(run.pid, os.WNOHANG)  # noqa: ASYNC222  it does not wait
            if not left and run.guard.poll() is not None and _has_ended(run.pidfd):
                break
            for pid in left:
                procfs.end_process(pid, start_time(pid))
            await asyncio.sleep(PROOF_PAUSE)
        remove_link(self._files.home / home.VALIDATOR_KEY)
        self._forget(run)

    async def _collect_guard(self, run: _Run) -> None:
        """The guard's work is done and its end of the pair is closed: collect its exit status."""
        while run.guard.poll() is None:  # noqa: ASYNC110  its end has no event
            await asyncio.sleep(PROOF_PAUSE)
        self._forget(run)

    def _proved(self, run: _Run, why: str, at: float, handing_back: bool = False) -> None:
        if run.proved:
            return
        run.proved = True
        self._post(ev.ChildExited(run.serial, why, at, handing_back))

    def _forget(self, run: _Run) -> None:
        if run.pidfd is not None:
            asyncio.get_running_loop().remove_reader(run.pidfd)
            os.close(run.pidfd)
            run.pidfd = None
        if run.end.fileno() != -1:
            asyncio.get_running_loop().remove_reader(run.end)
            run.end.close()
        self._runs.pop(run.serial, None)

    def _later(self, run: _Run, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        run.tasks.add(task)
        task.add_done_callback(run.tasks.discard)


def _has_ended(pidfd: int | None) -> bool:
    """Has its last thread ended? In /proc a process is a zombie as soon as its first one has, whatever the others do."""
    if pidfd is None:
        return True
    ready = select.poll()
    ready.register(pidfd, select.POLLIN)
    return bool(ready.poll(0))


def _resolve(future: asyncio.Future[wire.Message], message: wire.Message) -> None:
    if not future.done():
        future.set_result(message)
