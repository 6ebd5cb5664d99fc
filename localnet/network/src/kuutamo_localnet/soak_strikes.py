# SPDX-License-Identifier: Apache-2.0
"""How each fault of a soak is done, and undone."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Mapping

import requests

from kuutamod.core.protocol import LockRecord, lock_key
from neard_standin.procfs import boottime

from .bench_arena import Arena
from .consul_agent import STOP_DEADLINE, ConsulAgent
from .fleet_node import FleetNode, Part
from .process import send_signal, stop
from .reaper import ProcessInfo
from .soak_ground import Ground, Skip
from .soak_orders import ORDERS
from .soak_plan import NEED_FRESH_PROOF, Fault, Kind
from .soak_service import Service
from .wait import eventually

Undo = Callable[[], None]

LEADER_DEADLINE = 3.0  # seconds to find out which Consul server leads
FRESH_PROOF = 1.5  # seconds; with this and systemd's watchdog a frozen holder is killed well before the guard time ends
SERVERS_OUT = 2  # of three; a third one would add nothing to a lost quorum
LONGEST_STALL = 1.2  # seconds that a write takes on a slow disk: a Consul leader so slow misses a heartbeat's deadline
BETWEEN_STALLS = 0.1  # seconds in which a process on a slow disk gets something done
CRASHES = ("abort", "segv", "oom", "exit:0", "exit:1")


def strike(ground: Ground, fault: Fault, service: Service) -> Undo:
    """Do the fault (to `service`, where it is done to a node); returns what undoes it. Raises Skip."""
    try:
        return _STRIKES[fault.kind](ground, fault, service)
    except (LookupError, TimeoutError) as error:
        raise Skip(str(error)) from error


def _nothing() -> None:
    """What is over at once needs no undoing."""


def _kill(part: Part) -> Callable[[Ground, Fault, Service], Undo]:
    def act(_ground: Ground, _fault: Fault, service: Service) -> Undo:
        with service.lock:
            _running(service)
            service.node.kill(part)
        return _nothing

    return act


def _kill_both(_ground: Ground, _fault: Fault, service: Service) -> Undo:
    with service.lock:
        guard, supervisor = _found(service, Part.GUARD), _found(service, Part.SUPERVISOR)
        # Stopped first, the guard can't release the lock between the two kills.
        stop(guard)
        send_signal(supervisor, signal.SIGKILL)
        send_signal(guard, signal.SIGKILL)
    return _nothing


def _restart(_ground: Ground, _fault: Fault, service: Service) -> Undo:
    with service.lock:
        _running(service)
        service.ask_to_end()
    return _nothing


def _lose_host(_ground: Ground, _fault: Fault, service: Service) -> Undo:
    service.lose_host()
    return service.boot


def _freeze(part: Part) -> Callable[[Ground, Fault, Service], Undo]:
    def act(_ground: Ground, _fault: Fault, service: Service) -> Undo:
        with service.lock:
            found = _found(service, part)
            _remember(service.node)
            stop(found)
        return lambda: _thaw(found)

    return act


def _slow_neard(_ground: Ground, fault: Fault, service: Service) -> Undo:
    with service.lock:
        found = _found(service, Part.NEARD)
        _remember(service.node)
    return _stutter(lambda: send_signal(found, signal.SIGSTOP), lambda: _thaw(found), fault.pick)


def _stutter(stop: Callable[[], object], go: Callable[[], object], pick: float) -> Undo:
    """Stop a process again and again, for as long as `pick` settles: what it looks like from outside to wait for a disk."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            stop()
            ended.wait(LONGEST_STALL * max(pick, 0.2))
            go()
            ended.wait(BETWEEN_STALLS)

    thread = threading.Thread(target=run, name="slow-disk", daemon=True)
    thread.start()

    def undo() -> None:
        ended.set()
        thread.join()

    return undo


def _freeze_both(_ground: Ground, fault: Fault, service: Service) -> Undo:
    with service.lock:
        guard, supervisor = _found(service, Part.GUARD), _found(service, Part.SUPERVISOR)
        _remember(service.node)
        _with_fresh_proof(fault, service)
        send_signal(guard, signal.SIGSTOP)
        send_signal(supervisor, signal.SIGSTOP)
        return _watched(service, guard, supervisor, lambda: _thaw(guard, supervisor))


def _freeze_host(_ground: Ground, fault: Fault, service: Service) -> Undo:
    def undo() -> None:
        # A guard that wakes first ends a neard whose deadline has passed before that can run (docs/safety.md).
        _thaw(guard, supervisor)
        with service.lock:
            service.node.thaw_host()

    with service.lock:
        guard, supervisor = _found(service, Part.GUARD), _found(service, Part.SUPERVISOR)
        _with_fresh_proof(fault, service)
        service.node.freeze_host()
        return _watched(service, guard, supervisor, undo)


def _watched(service: Service, guard: ProcessInfo, supervisor: ProcessInfo, undo: Undo) -> Undo:
    """What undoes a freeze, once systemd's watchdog sees it. Raises Skip when one of the two was about to end."""
    try:
        service.watch([guard, supervisor])
    except AssertionError as error:
        undo()
        raise Skip(str(error)) from error
    return undo


def _behave(change: Callable[[Fault], Mapping[str, object]], well: Mapping[str, object]) -> Callable[..., Undo]:
    def act(_ground: Ground, fault: Fault, service: Service) -> Undo:
        with service.lock:
            service.node.behaviour(**change(fault))

        def undo() -> None:
            with service.lock:
                service.node.behaviour(**well)

        return undo if well else _nothing

    return act


def _slow_start(ground: Ground, fault: Fault, service: Service) -> Undo:
    with service.lock:
        _found(service, Part.NEARD)
        undo = _behave(lambda f: {"start_delay": f.lasting}, {"start_delay": 0.0})(ground, fault, service)
        with contextlib.suppress(LookupError):
            service.node.kill_neard()
    return undo


def _cut(way: Callable[[Arena, FleetNode], None]) -> Callable[[Ground, Fault, Service], Undo]:
    def act(ground: Ground, _fault: Fault, service: Service) -> Undo:
        way(ground.arena, service.node)
        return lambda: ground.arena.heal(service.node)

    return act


def _freeze_agent(_ground: Ground, _fault: Fault, service: Service) -> Undo:
    agent = _agent(service)
    agent.freeze()
    return agent.thaw


def _kill_agent(_ground: Ground, _fault: Fault, service: Service) -> Undo:
    with service.lock:
        _agent(service).kill()
    return lambda: _bring_back(service)


def _leave(_ground: Ground, _fault: Fault, service: Service) -> Undo:
    agent = _agent(service)
    agent.process.terminate()
    try:
        eventually(lambda: not agent.alive(), STOP_DEADLINE, f"{agent.name} has left")
    except AssertionError:
        agent.kill()
    return lambda: _bring_back(service)


def _bring_back(service: Service) -> None:
    with service.lock:
        if service.on_host() and not _agent(service).alive():
            _agent(service).restart()


def _server(how: Callable[[ConsulAgent, float], Undo], *, leader: bool) -> Callable[[Ground, Fault, Service], Undo]:
    def act(ground: Ground, fault: Fault, _service: Service) -> Undo:
        with ground.servers_guard:
            server = _choose_server(ground, fault.pick, leader=leader)
            ground.out.add(server.name)
            mend = how(server, fault.pick)

        def undo() -> None:
            with ground.servers_guard:
                mend()
                ground.out.discard(server.name)

        return undo

    return act


def _kill_server(server: ConsulAgent, _pick: float) -> Undo:
    server.kill()
    return server.restart


def _freeze_server(server: ConsulAgent, _pick: float) -> Undo:
    server.freeze()
    return server.thaw


def _slow_server(server: ConsulAgent, pick: float) -> Undo:
    return _stutter(server.freeze, server.thaw, pick)


def _choose_server(ground: Ground, pick: float, *, leader: bool) -> ConsulAgent:
    well = [server for server in ground.cluster.servers if server.name not in ground.out]
    if len(ground.out) >= SERVERS_OUT:
        raise Skip(f"out already: {', '.join(sorted(ground.out))}")
    try:
        leading = ground.cluster.leader(LEADER_DEADLINE)
    except AssertionError:
        raise Skip("Consul has no leader") from None
    chosen = [server for server in well if (server is leading) is leader]
    if not chosen:
        raise Skip("no such server is well")
    return chosen[int(pick * len(chosen))]


def _delete_key(ground: Ground, _fault: Fault, _service: Service) -> Undo:
    if ground.lock_entry() is None:
        raise Skip("there is no key")
    ground.ask(lambda client: client.kv_delete(lock_key(ground.account)))
    return _nothing


def _destroy_session(ground: Ground, _fault: Fault, _service: Service) -> Undo:
    entry = ground.lock_entry()
    if entry is None or not entry.session:
        raise Skip("nobody holds the lock")
    session = entry.session
    ground.ask(lambda client: client.session_destroy(session))
    return _nothing


def _overwrite(ground: Ground, fault: Fault, _service: Service) -> Undo:
    with ground.values_guard:
        value = _old_value(ground, fault.pick, markers=False)
        ground.ask(lambda client: client.kv_put(lock_key(ground.account), value))
    return _nothing


def _restore(ground: Ground, fault: Fault, _service: Service) -> Undo:
    with ground.values_guard:
        value = _old_value(ground, fault.pick, markers=True)
        ground.ask(lambda client: client.kv_delete(lock_key(ground.account)))
        ground.ask(lambda client: client.kv_put(lock_key(ground.account), value))
    return _nothing


def _old_value(ground: Ground, pick: float, *, markers: bool) -> bytes:
    """A value of an earlier term. No marker under a living session, where it would say that its holder is dead: who writes
    that breaks the lock (docs/safety.md).
    """
    entry = ground.lock_entry()
    record = LockRecord.from_json(entry.value) if entry is not None else None
    if record is None:
        raise Skip("the lock has no readable value")
    fit = [
        value
        for (term, marker), value in sorted(ground.lock_values.items())
        if term < record.term and (markers or not marker)
    ]
    if not fit:
        raise Skip("no backup of an earlier term")
    return fit[int(pick * len(fit))]


def _running(service: Service) -> FleetNode:
    if not service.running():
        raise Skip(f"{service.node.name} does not run: {service.stage.value}")
    return service.node


def _found(service: Service, part: Part) -> ProcessInfo:
    return _running(service).find(part)


def _remember(node: FleetNode) -> None:
    """Look at all parts while they can still be told apart."""
    for part in Part:
        with contextlib.suppress(LookupError):
            node.find(part)


def _thaw(*processes: ProcessInfo) -> None:
    for process in processes:
        send_signal(process, signal.SIGCONT)


def _agent(service: Service) -> ConsulAgent:
    agent = service.node.plan.site.agent
    assert agent is not None
    return agent


def _with_fresh_proof(fault: Fault, service: Service) -> None:
    """Raises Skip unless the node is no holder, or has proved itself a moment ago."""
    assert fault.kind in NEED_FRESH_PROOF
    asked = boottime()
    try:
        metrics = service.node.metrics()
        state = metrics.state()
    except (requests.RequestException, ValueError) as error:
        raise Skip(f"{service.node.name} does not tell its state: {type(error).__name__}") from error
    age = metrics.samples.get(("kuutamod_lease_proof_age_seconds", frozenset()))
    if age is None and state in ("Validating", "Shutdown"):
        raise Skip(f"{service.node.name} is {state} without a proof")
    if age is not None and age + boottime() - asked > FRESH_PROOF:
        raise Skip(f"the last proof of {service.node.name} is {age:.1f} s old")


_STRIKES: Mapping[Kind, Callable[[Ground, Fault, Service], Undo]] = {
    Kind.KILL_NEARD: _kill(Part.NEARD),
    Kind.KILL_GUARD: _kill(Part.GUARD),
    Kind.KILL_SUPERVISOR: _kill(Part.SUPERVISOR),
    Kind.KILL_BOTH: _kill_both,
    Kind.RESTART: _restart,
    Kind.LOSE_HOST: _lose_host,
    Kind.FREEZE_NEARD: _freeze(Part.NEARD),
    Kind.SLOW_NEARD: _slow_neard,
    Kind.FREEZE_GUARD: _freeze(Part.GUARD),
    Kind.FREEZE_SUPERVISOR: _freeze(Part.SUPERVISOR),
    Kind.FREEZE_BOTH: _freeze_both,
    Kind.FREEZE_HOST: _freeze_host,
    Kind.CRASH: _behave(lambda fault: {"crash": CRASHES[int(fault.pick * len(CRASHES))], "crash_at": "now"}, {}),
    Kind.CRASH_LOOP: _behave(lambda _fault: {"crash": "exit:1", "crash_at": "start"}, {"crash": None, "crash_at": "now"}),
    Kind.HANG: _behave(lambda fault: {"hang": True, "hang_signs": fault.pick < 0.5}, {"hang": False, "hang_signs": False}),
    Kind.STALE_HEAD: _behave(
        lambda fault: {"freeze": fault.pick < 0.5, "isolated": fault.pick >= 0.5}, {"freeze": False, "isolated": False}
    ),
    Kind.LOSE_HUP: _behave(lambda _fault: {"lose_next_hup": True}, {"lose_next_hup": False}),
    Kind.SLOW_START: _slow_start,
    Kind.CUT: _cut(Arena.cut),
    Kind.CUT_ANSWERS: _cut(Arena.cut_answers),
    Kind.FREEZE_AGENT: _freeze_agent,
    Kind.RESTART_AGENT: _kill_agent,
    Kind.LEAVE_AGENT: _leave,
    Kind.KILL_LEADER: _server(_kill_server, leader=True),
    Kind.KILL_SERVER: _server(_kill_server, leader=False),
    Kind.FREEZE_LEADER: _server(_freeze_server, leader=True),
    Kind.FREEZE_SERVER: _server(_freeze_server, leader=False),
    Kind.SLOW_LEADER: _server(_slow_server, leader=True),
    Kind.DELETE_KEY: _delete_key,
    Kind.DESTROY_SESSION: _destroy_session,
    Kind.OVERWRITE_VALUE: _overwrite,
    Kind.RESTORE_VALUE: _restore,
    **ORDERS,
}
