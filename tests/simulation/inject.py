# SPDX-License-Identifier: Apache-2.0
"""What each kind of fault does when it begins, and what is healed when it ends.

One combination is left out, because no lock can fence it and the documentation says so: supervisor and guard of one host
frozen, or one frozen and the other dead, at the same time. A suspended host has both stopped, but neard with them; there
it is a guard that is frozen when its host resumes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kuutamod.core import events as ev
from kuutamod.core.protocol import Ask

from .coverage import Seen
from .desk import WALL_ERROR
from .faults import Fault, Kind
from .inject_consul import AT_CONSUL, Heal, nothing

if TYPE_CHECKING:
    from .host import Host
    from .world import World

_OF_PROCESSES = frozenset(
    {
        Kind.KILL_SUPERVISOR,
        Kind.KILL_GUARD,
        Kind.KILL_BOTH,
        Kind.PAUSE_SUPERVISOR,
        Kind.PAUSE_GUARD,
        Kind.PAUSE_NEARD,
        Kind.STOP,
    }
)
"""Nobody can do these to a host that stands still."""


def begin(world: World, fault: Fault, host: Host) -> Heal:
    """Do it; the returned call undoes it."""
    if fault.kind in _OF_PROCESSES and (host.suspended or host.off):
        return nothing
    return _BEGIN[fault.kind](world, host, fault)


def _holding(world: World, host: Host, seen: Seen) -> None:
    if host.supervisor is not None and host.supervisor.state.lease is not None:
        world.cover(seen)


def _counter(owner: object, name: str) -> Heal:
    """One more of it; healing takes it back."""
    setattr(owner, name, getattr(owner, name) + 1)

    def heal() -> None:
        setattr(owner, name, getattr(owner, name) - 1)

    return heal


def _entry(kinds: list[float], value: float) -> Heal:
    kinds.append(value)
    return lambda: kinds.remove(value)


# --- processes ---


def _kill_supervisor(world: World, host: Host, _unused: Fault) -> Heal:
    _holding(world, host, Seen.SUPERVISOR_KILLED_HOLDING)
    _thaw_guard(host)
    host.supervisor_gone()
    return nothing


def _kill_guard(world: World, host: Host, _unused: Fault) -> Heal:
    if host.guard is not None:
        _holding(world, host, Seen.GUARD_KILLED_HOLDING)
        _thaw_supervisor(host)
        host.guard.end()
    return nothing


def _kill_both(world: World, host: Host, _unused: Fault) -> Heal:
    _holding(world, host, Seen.BOTH_KILLED_HOLDING)
    guard = host.guard
    host.supervisor_gone()
    if guard is not None:
        guard.end()
    return nothing


def _thaw_guard(host: Host) -> None:
    if host.guard is not None and host.guard.paused:
        host.guard.paused = 0
        host.guard.resume()


def _thaw_supervisor(host: Host) -> None:
    if host.supervisor is not None and host.supervisor.paused:
        host.supervisor.paused = 0
        host.supervisor.step()


def _pause_supervisor(world: World, host: Host, _unused: Fault) -> Heal:
    supervisor = host.supervisor
    if supervisor is None:
        return nothing
    _holding(world, host, Seen.SUPERVISOR_FROZEN_HOLDING)
    _thaw_guard(host)
    supervisor.paused += 1

    def heal() -> None:
        supervisor.paused = max(0, supervisor.paused - 1)
        supervisor.step()

    return heal


def _pause_guard(world: World, host: Host, _unused: Fault) -> Heal:
    guard = host.guard
    if guard is None or host.supervisor is None or guard.supervisor is not host.supervisor:
        return nothing
    _holding(world, host, Seen.GUARD_FROZEN_HOLDING)
    _thaw_supervisor(host)
    guard.paused += 1

    def heal() -> None:
        guard.paused = max(0, guard.paused - 1)
        guard.resume()

    return heal


def _pause_neard(world: World, host: Host, _unused: Fault) -> Heal:
    found = list(host.neards)
    _holding(world, host, Seen.NEARD_FROZEN_HOLDING)
    for neard in found:
        host.freeze_head(neard)
        neard.paused += 1

    def heal() -> None:
        for neard in found:
            neard.paused -= 1
            host.thaw_head(neard)

    return heal


def _suspend(world: World, host: Host, _unused: Fault) -> Heal:
    _holding(world, host, Seen.HOST_SUSPENDED_HOLDING)
    _thaw_guard(host)
    host.suspend()
    return host.resume


def _lose_host(world: World, host: Host, _unused: Fault) -> Heal:
    _holding(world, host, Seen.HOST_LOST_HOLDING)
    host.lose()
    return host.reboot


def _stop(world: World, host: Host, _unused: Fault) -> Heal:
    if host.supervisor is None:
        return nothing
    _holding(world, host, Seen.STOPPED_CLEANLY)
    host.stopped += 1
    supervisor = host.supervisor
    supervisor.post(lambda now: ev.StopRequested("SIGTERM", now))

    def heal() -> None:
        host.stopped -= 1
        host.start_soon(0.1)

    return heal


def _undying(world: World, host: Host, _unused: Fault) -> Heal:
    host.undying += 1

    def heal() -> None:
        host.undying -= 1
        if not host.undying:
            host.end_undying()

    return heal


# --- neard ---


def _crash(world: World, host: Host, _unused: Fault) -> Heal:
    for neard in list(host.neards):
        if neard.keyed:
            world.cover(Seen.NEARD_CRASHED_HOLDING)
        host.crash(neard)
    return nothing


def _crash_loop(world: World, host: Host, fault: Fault) -> Heal:
    _crash(world, host, fault)
    return _counter(host.troubles, "crashing")


def _hang(world: World, host: Host, _unused: Fault) -> Heal:
    _holding(world, host, Seen.NEARD_HUNG_HOLDING)
    return _counter(host.troubles, "hung")


def _isolate(world: World, host: Host, _unused: Fault) -> Heal:
    _holding(world, host, Seen.HEAD_FROZEN_HOLDING)
    host.troubles.isolated += 1
    found = list(host.neards)
    for neard in found:
        host.freeze_head(neard)

    def heal() -> None:
        host.troubles.isolated -= 1
        for neard in found:
            host.thaw_head(neard)

    return heal


# --- the way to Consul ---


def _agent_leave(world: World, host: Host, _unused: Fault) -> Heal:
    for session in world.cluster.sessions_of(host.name):
        world.cover(Seen.SESSION_LOST_BY_LEAVE)
        world.cluster.end_session(session)
    return _counter(host.link, "agent_down")


# --- the operator ---


def _ask(ask: Ask) -> Callable[[World, Host, Fault], Heal]:
    def begin(world: World, host: Host, fault: Fault) -> Heal:
        world.desk.ask(ask, host, fault)
        return nothing

    return begin


def _pause(world: World, node: str, fault: Fault) -> Heal:
    """It ends by itself, and early enough that the node has heard of it when the fault counts as healed."""
    seconds = fault.seconds - 2 * WALL_ERROR
    if seconds > 0:
        world.desk.pause(seconds, node)
    return nothing


_BEGIN: dict[Kind, Callable[[World, Host, Fault], Heal]] = {
    Kind.KILL_SUPERVISOR: _kill_supervisor,
    Kind.KILL_GUARD: _kill_guard,
    Kind.KILL_BOTH: _kill_both,
    Kind.PAUSE_SUPERVISOR: _pause_supervisor,
    Kind.PAUSE_GUARD: _pause_guard,
    Kind.PAUSE_NEARD: _pause_neard,
    Kind.SUSPEND: _suspend,
    Kind.LOSE_HOST: _lose_host,
    Kind.STOP: _stop,
    Kind.SLOW_KILL: lambda world, host, fault: _counter(host, "slow_kills"),
    Kind.UNDYING: _undying,
    Kind.DISK_FULL: lambda world, host, fault: _counter(host, "disk_full"),
    Kind.LATE: lambda world, host, fault: _counter(host, "late"),
    Kind.CRASH: _crash,
    Kind.CRASH_LOOP: _crash_loop,
    Kind.HANG: _hang,
    Kind.ISOLATE: _isolate,
    Kind.SYNCING: lambda world, host, fault: _counter(host.troubles, "syncing"),
    Kind.LOSE_HUP: lambda world, host, fault: _counter(host.troubles, "loses_hup"),
    Kind.BAD_RELOAD: lambda world, host, fault: _counter(host.troubles, "bad_reload"),
    Kind.DEAF: lambda world, host, fault: _counter(host.troubles, "deaf"),
    Kind.SLOW_START: lambda world, host, fault: _counter(host.troubles, "slow_start"),
    Kind.CUT: lambda world, host, fault: _counter(host.link, "cut"),
    Kind.LOSE_ANSWERS: lambda world, host, fault: _entry(host.link.loss_down, 0.4 + 0.6 * fault.strength),
    Kind.LOSE_REQUESTS: lambda world, host, fault: _entry(host.link.loss_up, 0.4 + 0.6 * fault.strength),
    Kind.SLOW_NET: lambda world, host, fault: _entry(host.link.slow, 0.2 + 12.0 * fault.strength**2),
    Kind.SLOW_ANSWERS: lambda world, host, fault: _entry(
        host.link.slow_answers, host.clock.span(host.law.request_deadline) * (0.5 + 0.48 * fault.strength)
    ),
    Kind.AGENT_DOWN: lambda world, host, fault: _counter(host.link, "agent_down"),
    Kind.AGENT_LEAVE: _agent_leave,
    Kind.DENY: lambda world, host, fault: _counter(host.link, "denied"),
    Kind.HANDOVER: _ask(Ask.HANDOVER),
    Kind.RESTART: _ask(Ask.RESTART),
    Kind.PAUSE_FLEET: lambda world, host, fault: _pause(world, "", fault),
    Kind.PAUSE_NODE: lambda world, host, fault: _pause(world, host.name, fault),
    Kind.DRAIN: lambda world, host, fault: world.desk.drain(host.name),
    Kind.VETO: lambda world, host, fault: _counter(host.troubles, "veto"),
    **AT_CONSUL,
}
