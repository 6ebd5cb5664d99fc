# SPDX-License-Identifier: Apache-2.0
"""A running stand-in: its main loop, its signals, and the ways it ends.

The main thread signs, reloads and stops, between sleeps that end exactly when something is due. The RPC has threads of
its own, so that a hanging RPC and a stopped signer are independent faults.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from neard_standin import startup
from neard_standin.control import BehaviourWatch
from neard_standin.journal import Event
from neard_standin.keys import KeyFile
from neard_standin.log import Level, panic
from neard_standin.metrics import Metrics
from neard_standin.options import RunOptions
from neard_standin.procfs import boottime
from neard_standin.production import Producer, load_signer, refuse_all_shards
from neard_standin.reload import Reloader
from neard_standin.rpc import Rpc
from neard_standin.server import HttpServer
from neard_standin.state import NodeState

_CONTROL_PERIOD = 0.05
# Waking a moment late is harmless, a moment early would mean to wake twice.
_SLOT_MARGIN = 0.0005
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_KEYED_STATS_SINCE = (2, 11)


class Node:
    """One node between its start and its end."""

    def __init__(self, state: NodeState, watch: BehaviourWatch, peer_listener: socket.socket | None) -> None:
        self._state = state
        # The port is ours as long as the socket is referenced.
        self._peer_listener = peer_listener
        self._watch = watch
        self._producer = Producer(state)
        self._reloader = Reloader(state)
        self._metrics = Metrics(state)
        rpc = Rpc(state, self._metrics)
        address = state.config.rpc_addr
        self._server = None if address is None else HttpServer(address, rpc.answer, lambda: state.behaviour)
        self._wakeup, self._wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._first_height = state.ledger.height_at(boottime())
        self._next_stats = boottime() + state.config.log_summary_period
        self._next_control = 0.0
        self._done_one_shots: set[tuple[str, float]] = set()

    def serve(self) -> NoReturn:
        """Bind the RPC port, then install the signal handlers, then work until told to stop."""
        self._behave()
        self._open_rpc()
        self._state.up_since = boottime()
        self._metrics.refresh_gauges()
        handlers_at = self._state.up_since + self._state.behaviour.handler_gap
        while boottime() < handlers_at:
            self._turn(handlers_at)
        self._install_handlers()
        while True:
            self._turn(math.inf)

    def load_key(self, key: KeyFile | None) -> None:
        """Load the key read at the start; from here on the node may sign."""
        load_signer(self._state, key)
        self._reloader.note_signer()

    def _install_handlers(self) -> None:
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        for number in (signal.SIGHUP, *_STOP_SIGNALS):
            signal.signal(number, lambda *_unused: None)

    def _turn(self, until: float) -> None:
        """Sleep until something is due, at most to `until` (CLOCK_BOOTTIME, seconds), and do it."""
        state = self._state
        now = boottime()
        next_slot = state.ledger.start_of(state.ledger.height_at(now) + 1) + _SLOT_MARGIN
        due = min(until, next_slot, self._next_control, self._next_stats, max(self._reloader.due, now + 0.001))
        signalled = select.select([self._wakeup], [], [], max(0.0, due - now))[0]
        # Whoever changes the control file and then sends a signal expects the signal to find the new behaviour.
        if signalled or boottime() >= self._next_control:
            self._next_control = boottime() + _CONTROL_PERIOD
            if self._watch.poll():
                self._behave()
        self._handle_signals()
        self._reloader.apply_due()
        self._crash_at_height()
        self._producer.tick()
        if state.expected_shutdown is not None and state.head(boottime()) >= state.expected_shutdown:
            self._stop("expected shutdown triggered")
        if boottime() >= self._next_stats:
            self._next_stats = boottime() + state.config.log_summary_period
            self._metrics.refresh_gauges()
            self._log_stats()

    def _handle_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            numbers = set(os.read(self._wakeup, 4096))
            # Standard signals coalesce: several of a kind count as one.
            if numbers & set(_STOP_SIGNALS) and not self._state.behaviour.ignore_term:
                self._stop("stopping, this may take a few minutes")
            if signal.SIGHUP in numbers and not self._take_one_shot("lose_next_hup"):
                self._reloader.reload()

    def _take_one_shot(self, action: str) -> bool:
        """Whether this one-shot action is asked for and was not done yet by this process; it then counts as done."""
        behaviour = self._state.behaviour
        request = (action, float(getattr(behaviour, f"{action}_id")))
        if not getattr(behaviour, action) or request in self._done_one_shots:
            return False
        self._done_one_shots.add(request)
        return True

    def _is_newer_than_us(self, requested_at: float) -> bool:
        """Whether a request was made in the lifetime of this process, not of the one before."""
        return requested_at > self._state.started_at

    def _behave(self) -> None:
        """Turn to the behaviour which the control file now asks for."""
        state = self._state
        behaviour = state.behaviour = self._watch.current
        if not behaviour.head_frozen:
            state.frozen_head = None
        elif state.frozen_head is None:
            state.frozen_head = state.chain.head(boottime())
        if self._server is not None and state.up_since is not None and behaviour.closed_port == self._server.is_open:
            if behaviour.closed_port:
                self._server.close()
            else:
                self._open_rpc()
        if self._take_one_shot("log_burst"):
            for number in range(behaviour.log_burst):
                state.log.write(Level.INFO, "stats", f"burst line={number} " + "x" * 120)
        if behaviour.crash and behaviour.crash_at == "now" and self._is_newer_than_us(behaviour.crash_id):
            crash(behaviour.crash)
        if behaviour.reexec and self._is_newer_than_us(behaviour.reexec_id):
            self._reexec()

    def _crash_at_height(self) -> None:
        behaviour = self._state.behaviour
        if behaviour.crash is None or isinstance(behaviour.crash_at, str):
            return
        if self._first_height < behaviour.crash_at <= self._state.ledger.height_at(boottime()):
            crash(behaviour.crash)

    def _open_rpc(self) -> None:
        if self._server is None or self._state.behaviour.closed_port:
            return
        try:
            self._server.open()
        except OSError as error:
            panic(f"failed to bind RPC address {self._state.config.rpc_addr}: {error.strerror} (os error {error.errno})")

    def _log_stats(self) -> None:
        state = self._state
        head = state.head(boottime())
        role = " Validator |" if state.signer else ""
        peers = len(state.ledger.validators)
        if state.behaviour.release >= _KEYED_STATS_SINCE:
            message = f'node_status="#{head:>9}{role} {peers} validators" peers={peers}'
        else:
            message = f"#{head:>9}{role} {peers} validators {peers} peers ⬇ 0 B/s ⬆ 0 B/s 1.00 bps 0 gas/s CPU: 0%"
        state.log.write(Level.INFO, "stats", message)
        if state.config_error is not None:
            state.log.write(Level.WARN, "config", f"dynamically updatable configs are not valid: {state.config_error}")

    def _leave(self) -> None:
        """Stop signing, then close the RPC port."""
        self._state.stopping = True
        if self._server is not None:
            self._server.close()

    def _stop(self, why: str) -> NoReturn:
        """The graceful way out: exit 0 once the database is closed; LOCK is held until then."""
        state = self._state
        state.log.write(Level.WARN, "neard", why)
        self._leave()
        state.log.write(Level.WARN, "neard", "waiting for rocksdb to gracefully shutdown")
        asked_at = boottime()
        while state.behaviour.close_delay == "never" or boottime() < asked_at + state.behaviour.close_delay:
            remaining = math.inf
            if state.behaviour.close_delay != "never":
                remaining = asked_at + state.behaviour.close_delay - boottime()
            select.select([self._wakeup], [], [], max(0.0, min(_CONTROL_PERIOD, remaining)))
            # Further signals are swallowed.
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup, 4096)
            if self._watch.poll():
                state.behaviour = self._watch.current
        state.record(Event.EXIT, state.signer.key if state.signer else None)
        # Threads of open connections must not delay the end.
        os._exit(0)

    def _reexec(self) -> NoReturn:
        """Start anew in the same process, as neard does after 2.11 when it is far behind."""
        state = self._state
        state.log.write(Level.WARN, "neard", "restarting to reset data for epoch sync")
        self._leave()
        load_signer(state, None)
        state.record(Event.REEXEC)
        (state.home / state.config.store_path / startup.DATA_RESET_MARKER).touch()
        environment = {**os.environ, startup.EXEC_TIME_VARIABLE: repr(boottime())}
        os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 - the very program that runs


def crash(how: str) -> NoReturn:
    """End this process at once: "abort", "segv", "oom" (SIGKILL) or "exit:N"."""
    if how.startswith("exit:"):
        os._exit(int(how.removeprefix("exit:")))
    if how == "abort":
        panic("crash asked for by the control file")
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    signal.raise_signal(signal.SIGSEGV if how == "segv" else signal.SIGKILL)
    raise AssertionError("the signal ends the process")


def run(home: Path, options: RunOptions) -> NoReturn:
    """`neard run`: never returns; exit codes and signals are those of neard."""
    startup.default_signals()
    try:
        watch = BehaviourWatch(home)
    except ValueError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
    state, key = startup.start(home, options, watch.current)
    if watch.current.crash is not None and watch.current.crash_at == "start":
        crash(watch.current.crash)
    refuse_all_shards(state, key)
    node = Node(state, watch, startup.listen_for_peers(state.config.network_addr))
    node.load_key(key)
    node.serve()
