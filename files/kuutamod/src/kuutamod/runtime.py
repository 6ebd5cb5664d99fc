# SPDX-License-Identifier: Apache-2.0
"""The shell around the rules: events in, decisions out, actions as tasks. Nothing is decided here."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import sys
import uuid
from collections.abc import Coroutine
from functools import partial
from importlib import metadata
from typing import Any

from .clock import BootClock, Clock
from .consul.adapter import ConsulAdapter
from .core import actions as ac
from .core import events as ev
from .core.decide import decide
from .core.desk import Windows
from .core.model import Identity, NodeState, first_state
from .core.observe import observe
from .core.plan import begin
from .deadline import Lane, Overrun
from .hooks.call import HookCall, HookEvent
from .hooks.runner import HookRunner
from .log import Log
from .neard import procfs
from .neard.home import HomeBusy
from .neard.memory import MemoryFault, MemoryFile
from .neard.process import NeardFiles, NeardProcess
from .neard.rpc import BadAnswer, StatusClient
from .notices import notices
from .notify import Notifier
from .owner import take_home
from .server.exporter import Exporter
from .settings import Settings
from .telling import Teller

DISK_DEADLINE = 5.0
HOOKS_DEADLINE = 5.0
"""Seconds that the last hooks get when the supervisor ends."""
WINDOWS_DEADLINE = 5.0
FLUSH_DEADLINE = 2.0

_CONSUL = (
    ac.CreateSession,
    ac.RenewSession,
    ac.DestroySession,
    ac.Publish,
    ac.ReadFleet,
    ac.ReadLock,
    ac.Heartbeat,
    ac.Take,
    ac.CreateKey,
    ac.Release,
    ac.AnswerRequest,
    ac.WriteHistory,
)


class Supervisor:
    """Holds the one NodeState, asks the rules, runs what they say."""

    def __init__(
        self,
        state: NodeState,
        clock: Clock,
        neard: NeardProcess,
        status: StatusClient,
        consul: ConsulAdapter,
        memory: MemoryFile,
        log: Log,
        notifier: Notifier,
        hooks: HookRunner,
        exporter: Exporter,
        events: asyncio.Queue[ev.Event],
    ) -> None:
        self.state = state
        self._noticed = state
        self._clock = clock
        self._neard = neard
        self._status = status
        self._consul = consul
        self._memory = memory
        self._notifier = notifier
        self._teller = Teller(log, notifier)
        self._hooks = hooks
        self._exporter = exporter
        self._events = events
        self._wake_at = 0.0
        self._status_lane = Lane("status")
        self._windows_lane = Lane("windows")
        self._disk_lane = Lane("disk")
        self._running: set[asyncio.Task[None]] = set()

    @property
    def said(self) -> str:
        """The sentence of the last decision."""
        return self._teller.said

    def post(self, event: ev.Event) -> None:
        """Take in an event; call it on the loop."""
        self._events.put_nowait(event)

    async def run(self) -> None:
        """Decide and act until the rules say Exit."""
        async with asyncio.TaskGroup() as tasks:
            self._begin(tasks, self._consul.watch(self.post, self._wants_watch))
            self._begin(tasks, self._consul.watch_request(self.post, lambda: self.state.session is not None))
            try:
                while not self._step(tasks):
                    await self._next_event()
            finally:
                for task in self._running:
                    task.cancel()

    def _wants_watch(self) -> bool:
        return self.state.lease is None and self.state.session is not None

    def _step(self, tasks: asyncio.TaskGroup) -> bool:
        """One decision; True when it was the last."""
        now = self._clock.now()
        decision = decide(self.state, now)
        for action in decision.actions:
            self.state = begin(self.state, action, now)
        self._exporter.observe_state(self.state)
        self._teller.decided(self.state, decision, now)
        for call in notices(self._noticed, self.state, decision.actions, now):
            self._hooks.notify(call)
        self._noticed = self.state
        for action in decision.actions:
            if isinstance(action, ac.Exit):
                return True
            self._act(tasks, action)
        self._wake_at = now if decision.again else decision.wake_at
        self._notifier.watchdog()
        return False

    async def _next_event(self) -> None:
        """Wait for an event or for the decision's wake-up, then fold in everything that has arrived."""
        try:
            async with asyncio.timeout(max(0.0, self._wake_at - self._clock.now())):
                self._observe(await self._events.get())
        except TimeoutError:
            return
        while not self._events.empty():
            self._observe(self._events.get_nowait())

    def _observe(self, event: ev.Event) -> None:
        before = self.state
        self.state = observe(before, event)
        self._exporter.observe_state(self.state)
        self._teller.heard(before, event, self.state)

    # --- acting ---

    def _act(self, tasks: asyncio.TaskGroup, action: ac.Action) -> None:
        match action:
            case ac.ExtendGuard():
                self._neard.extend(action)
            case ac.StopChild():
                self._neard.stop(action)
            case ac.KillChild():
                self._neard.kill(action)
            case ac.GiveUp() | ac.Note() | ac.Exit():
                pass
            case _:
                self._begin(tasks, self._perform(action))

    def _begin(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _perform(self, action: ac.Action) -> None:
        self.post(await self._result(action))

    async def _result(self, action: ac.Action) -> ev.Event:
        match action:
            case ac.InspectHome():
                return await self._neard.inspect()
            case ac.StartChild():
                return await self._neard.start(action)
            case ac.PlaceKey():
                return await self._neard.place(action)
            case ac.UnloadKey():
                return await self._neard.unload(action)
            case ac.PollStatus():
                return await self._poll(action)
            case ac.AskWindows():
                return await self._ask_windows()
            case ac.AskHook():
                return await self._ask_hooks(action)
            case ac.RememberTerm():
                return ev.TermRemembered(action.term, await self._keep(term=action.term))
            case ac.CreateSession():
                event = await self._consul.execute(action)
                if isinstance(event, ev.SessionCreated):
                    await self._keep(session=event.session)
                return event
        assert isinstance(action, _CONSUL)
        return await self._consul.execute(action)

    async def _poll(self, action: ac.PollStatus) -> ev.Event:
        sent = self._clock.now()
        try:
            status = await self._status_lane.run(lambda: self._status.ask(action.deadline), action.deadline)
        except (OSError, ValueError, Overrun, BadAnswer, http.client.HTTPException) as error:
            return ev.StatusFailed(action.serial, str(error) or type(error).__name__, sent, self._clock.now())
        return ev.StatusAnswered(action.serial, status, sent, self._clock.now())

    async def _ask_windows(self) -> ev.Event:
        account = self.state.identity.validator_account  # the fleet's name for it may be another, see --account-id
        try:
            ask = partial(self._status.windows, account, WINDOWS_DEADLINE)
            windows = await self._windows_lane.run(ask, WINDOWS_DEADLINE)
        except Overrun as error:
            windows = Windows((), str(error))
        return ev.WindowsSeen(windows, self._clock.now())

    async def _ask_hooks(self, action: ac.AskHook) -> ev.Event:
        me, lease = self.state.identity, self.state.lease
        why = lease.claim.why if lease is not None else ""
        verdict = await self._hooks.ask(HookCall(HookEvent.PRE_PROMOTE, me.node_id, action.term, me.account_id, why))
        return ev.HookAnswered(action.term, self._clock.now(), "" if verdict.go else verdict.why)

    async def _keep(self, term: int | None = None, session: str | None = None) -> str | None:
        try:
            await self._disk_lane.run(lambda: self._memory.keep(term=term, session=session), DISK_DEADLINE)
        except (OSError, Overrun) as error:
            return f"{self._memory.path}: {error}"
        return None


def run(settings: Settings) -> int:
    """Run the supervisor until it is asked to stop; the exit code (0, or 1 for a fault at run time)."""
    clock = BootClock()
    notifier = Notifier()
    log = Log(settings.log_format, settings.log_level, sys.stderr, node=settings.node_id)
    try:
        return asyncio.run(_main(settings, clock, log, notifier))
    finally:
        log.flush(FLUSH_DEADLINE)


async def _main(settings: Settings, clock: Clock, log: Log, notifier: Notifier) -> int:
    for warning in settings.warnings:
        log.warning(warning)
    memory = MemoryFile(settings.neard_home)
    try:
        lock = await take_home(settings.neard_home, settings.node_id, clock, log.info)
        kept = memory.load()
        await asyncio.to_thread(memory.keep, kept.term)
    except (HomeBusy, MemoryFault, OSError) as error:
        log.error(f"not starting: {error}")
        return 1
    procfs.become_subreaper()
    state = _first_state(settings, clock.now(), kept.term, kept.session)
    exporter = Exporter(settings.exporter_address, lambda: supervisor.state, clock, log, said=lambda: supervisor.said)
    identity = state.identity
    consul = ConsulAdapter(
        settings.consul,
        identity.account_id,
        identity.node_id,
        identity.life,
        identity.hostname,
        identity.home,
        settings.policy.law,
        clock,
        exporter.observe_call,
    )
    events: asyncio.Queue[ev.Event] = asyncio.Queue()
    access, post = _guard_access(settings), events.put_nowait
    neard = NeardProcess(_files(settings), identity, lock, access, clock, post, log.warning)
    status = StatusClient(settings.rpc_addr, settings.store, lock, clock, settings.validator_key)
    hooks = HookRunner(settings.hook_dir, settings.hook_deadline, log, os.environ, neard.children)
    supervisor = Supervisor(state, clock, neard, status, consul, memory, log, notifier, hooks, exporter, events)
    _stop_on_signals(supervisor, clock)
    exporter.observe_state(state)
    exporter.start()
    notifier.ready()
    await _to_the_end(supervisor, notifier, hooks, exporter)
    return 0


async def _to_the_end(supervisor: Supervisor, notifier: Notifier, hooks: HookRunner, exporter: Exporter) -> None:
    """Supervise, then end what runs beside it. A fault ends that at once: as long as this process lives, the guard is no
    orphan, and neard goes on with nobody to look after it.
    """
    try:
        try:
            await supervisor.run()
        finally:
            notifier.stopping()
        await hooks.close(HOOKS_DEADLINE)  # neard is dead, so there is time for the last event
    finally:
        hooks.end()
        exporter.stop()


def _first_state(settings: Settings, now: float, term: int, old_session: str) -> NodeState:
    keys = settings.keys
    host, port = settings.exporter_address
    identity = Identity(
        account_id=settings.account_id,
        node_id=settings.node_id,
        hostname=socket.gethostname(),
        life=str(uuid.uuid4()),
        home=str(settings.neard_home),
        fingerprint=keys.validator.public_key,
        validator_account=keys.validator.account_id,
        voter_node_key=keys.voter_node.public_key,
        validator_node_key=keys.validator_node.public_key,
        kuutamod_version=metadata.version("kuutamod"),
        address=f"{host}:{port}",
    )
    return first_state(settings.policy, identity, now, term, old_session)


def _files(settings: Settings) -> NeardFiles:
    return NeardFiles(
        binary=settings.neard_bin,
        home=settings.neard_home,
        store=settings.store,
        validator_key=settings.validator_key,
        validator_node_key=settings.validator_node_key,
        voter_node_key=settings.voter_node_key,
        validator_addr=settings.validator_network_addr,
        voter_addr=settings.voter_network_addr,
        boot_nodes=settings.boot_nodes,
        cgroup=settings.cgroup,
    )


def _guard_access(settings: Settings) -> dict[str, object]:
    consul = settings.consul
    return {
        "urls": list(consul.urls),
        "deadline": settings.policy.law.request_deadline,
        "token": consul.token,
        "token_file": str(consul.token_file) if consul.token_file else None,
        "ca_file": str(consul.ca_file) if consul.ca_file else None,
        "cert_file": str(consul.cert_file) if consul.cert_file else None,
        "key_file": str(consul.key_file) if consul.key_file else None,
    }


def _stop_on_signals(supervisor: Supervisor, clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a log line to a terminal with `stty tostop` must not stop us
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        name = number.name
        loop.add_signal_handler(number, _ask_to_stop, supervisor, name, clock)


def _ask_to_stop(supervisor: Supervisor, name: str, clock: Clock) -> None:
    supervisor.post(ev.StopRequested(name, clock.now()))
