# SPDX-License-Identifier: Apache-2.0
"""What each kind of fault does when it begins, and what is healed when it ends.

One combination is left out, because no lock can fence it and the documentation says so: supervisor and guard of one host
frozen, or one frozen and the other dead, at the same time. A suspended host has both stopped, but neard with them; there
it is a guard that is frozen when its host resumes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kuutamod.core import events as ev
from kuutamod.core.protocol import MemberRecord

from .cluster import LOCK
from .coverage import Seen
from .faults import Fault, Kind
from .setup import ACCOUNT

if TYPE_CHECKING:
    from .host import Host
    from .world import World

Heal = Callable[[], None]
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
        return _nothing
    return _BEGIN[fault.kind](world, host, fault)


def _holding(world: World, host: Host, seen: Seen) -> None:
    if host.supervisor is not None and host.supervisor.state.lease is not None:
        world.cover(seen)


def _nothing() -> None:
    pass


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


def _kill_supervisor(world: World, host: Host, _: Fault) -> Heal:
    _holding(world, host, Seen.SUPERVISOR_KILLED_HOLDING)
    _thaw_guard(host)
    host.supervisor_gone()
    return _nothing


def _kill_guard(world: World, host: Host, _: Fault) -> Heal:
    if host.guard is not None:
        _holding(world, host, Seen.GUARD_KILLED_HOLDING)
        _thaw_supervisor(host)
        host.guard.end()
    return _nothing


def _kill_both(world: World, host: Host, _: Fault) -> Heal:
    _holding(world, host, Seen.BOTH_KILLED_HOLDING)
    guard = host.guard
    host.supervisor_gone()
    if guard is not None:
        guard.end()
    return _nothing


def _thaw_guard(host: Host) -> None:
    if host.guard is not None and host.guard.paused:
        host.guard.paused = 0
        host.guard.resume()


def _thaw_supervisor(host: Host) -> None:
    if host.supervisor is not None and host.supervisor.paused:
        host.supervisor.paused = 0
        host.supervisor.step()


def _pause_supervisor(world: World, host: Host, _: Fault) -> Heal:
    supervisor = host.supervisor
    if supervisor is None:
        return _nothing
    _holding(world, host, Seen.SUPERVISOR_FROZEN_HOLDING)
    _thaw_guard(host)
    supervisor.paused += 1

    def heal() -> None:
        supervisor.paused = max(0, supervisor.paused - 1)
        supervisor.step()

    return heal


def _pause_guard(world: World, host: Host, _: Fault) -> Heal:
    guard = host.guard
    if guard is None or host.supervisor is None or guard.supervisor is not host.supervisor:
        return _nothing
    _holding(world, host, Seen.GUARD_FROZEN_HOLDING)
    _thaw_supervisor(host)
    guard.paused += 1

    def heal() -> None:
        guard.paused = max(0, guard.paused - 1)
        guard.resume()

    return heal


def _pause_neard(world: World, host: Host, _: Fault) -> Heal:
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


def _suspend(world: World, host: Host, _: Fault) -> Heal:
    _holding(world, host, Seen.HOST_SUSPENDED_HOLDING)
    _thaw_guard(host)
    host.suspend()
    return host.resume


def _lose_host(world: World, host: Host, _: Fault) -> Heal:
    _holding(world, host, Seen.HOST_LOST_HOLDING)
    host.lose()
    return host.reboot


def _stop(world: World, host: Host, _: Fault) -> Heal:
    if host.supervisor is None:
        return _nothing
    _holding(world, host, Seen.STOPPED_CLEANLY)
    host.stopped += 1
    supervisor = host.supervisor
    supervisor.post(lambda now: ev.StopRequested("SIGTERM", now))

    def heal() -> None:
        host.stopped -= 1
        host.start_soon(0.1)

    return heal


def _undying(world: World, host: Host, _: Fault) -> Heal:
    host.undying += 1

    def heal() -> None:
        host.undying -= 1
        if not host.undying:
            host.end_undying()

    return heal


# --- neard ---


def _crash(world: World, host: Host, _: Fault) -> Heal:
    for neard in list(host.neards):
        if neard.keyed:
            world.cover(Seen.NEARD_CRASHED_HOLDING)
        host.crash(neard)
    return _nothing


def _crash_loop(world: World, host: Host, fault: Fault) -> Heal:
    _crash(world, host, fault)
    return _counter(host.troubles, "crashing")


def _hang(world: World, host: Host, _: Fault) -> Heal:
    _holding(world, host, Seen.NEARD_HUNG_HOLDING)
    return _counter(host.troubles, "hung")


def _isolate(world: World, host: Host, _: Fault) -> Heal:
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


def _agent_leave(world: World, host: Host, _: Fault) -> Heal:
    for session in world.cluster.sessions_of(host.name):
        world.cover(Seen.SESSION_LOST_BY_LEAVE)
        world.cluster.end_session(session)
    return _counter(host.link, "agent_down")


# --- Consul ---


def _election(world: World, fault: Fault) -> float:
    """Seconds without a leader: 2.5 to 4.1 measured with raft_multiplier 1."""
    return 2.5 + 1.6 * fault.strength


def _leader_loss(world: World, _: Host, fault: Fault) -> Heal:
    world.cluster.lose_leader()
    world.timeline.after(_election(world, fault), world.cluster.elect)
    return _nothing


def _leader_freeze(world: World, _: Host, fault: Fault) -> Heal:
    """Frozen, replaced after an election, thawed: then it still believes in itself for a moment, for those on its line."""
    world.cluster.lose_leader(frozen=True)
    world.timeline.after(_election(world, fault), world.cluster.elect)
    on_its_line = [host for host in world.hosts if world.dice.chance(0.5)]
    for host in on_its_line:
        host.link.hanging += 1

    def thaw() -> None:
        for host in on_its_line:
            host.link.hanging -= 1
            host.link.deposed_until = world.timeline.now + world.dice.between(0.1, 2.5)

    return thaw


def _quorum_loss(world: World, _: Host, __: Fault) -> Heal:
    world.cover(Seen.QUORUM_LOST)
    world.cluster.lose_leader()
    return world.cluster.elect


def _servers_restart(world: World, _: Host, fault: Fault) -> Heal:
    world.cluster.lose_leader()
    world.cluster.restart_from_snapshot()
    world.timeline.after(_election(world, fault), world.cluster.elect)
    return _nothing


def _invalidate(world: World, host: Host, _: Fault) -> Heal:
    entry = world.cluster.lock_entry()
    for session in world.cluster.sessions_of(host.name):
        held = entry is not None and entry.session == session
        world.cover(Seen.SESSION_INVALIDATED_HELD if held else Seen.SESSION_INVALIDATED_IDLE)
        world.cluster.end_session(session)
    return _nothing


def _delete_key(world: World, _: Host, __: Fault) -> Heal:
    entry = world.cluster.lock_entry()
    if entry is not None and entry.session is not None:
        world.cover(Seen.KEY_DELETED_HELD)
    world.cluster.store.delete(LOCK)
    return _nothing


def _overwrite_key(world: World, _: Host, __: Fault) -> Heal:
    if world.cluster.lock_entry() is not None:
        world.cover(Seen.KEY_OVERWRITTEN)
        world.cluster.store.put(LOCK, "not a record")
    return _nothing


def _foreign_release(world: World, _: Host, __: Fault) -> Heal:
    entry = world.cluster.lock_entry()
    if entry is not None and entry.session is not None:
        world.cover(Seen.KEY_RELEASED_BY_OTHER)
        world.cluster.store.free(LOCK)
    return _nothing


def _restore(world: World, _: Host, fault: Fault) -> Heal:
    """The servers start with an old snapshot. Some time later an operator looks, and confirms if need be.

    Nobody restores a snapshot that is only seconds old. That one may be what a contender saw last, with all of a holder's
    heartbeats since then undone before it saw them: it would count on as if there had been none (docs/safety.md).
    """
    youngest = world.timeline.now - max(node.policy.law.fence_deadline for node in world.setup.nodes) - 3.0
    snapshots = [data for taken, data in world.cluster.snapshots if taken <= youngest]
    if not snapshots:
        return _nothing
    world.cover(Seen.STATE_RESTORED)
    chosen = snapshots[int(fault.strength * len(snapshots))]
    world.cluster.lose_leader()
    world.cluster.restore(chosen)
    world.judge.rolled_back()
    world.timeline.after(_election(world, fault), world.cluster.elect)
    world.operator_looks(20.0)
    return _nothing


def _import(world: World, _: Host, fault: Fault) -> Heal:
    """An operator deletes the lock's key and writes it anew from a backup: an old value under a new index, nobody's."""
    backups = [data.keys[LOCK].value for _, data in world.cluster.snapshots if LOCK in data.keys]
    if not backups:
        return _nothing
    world.cover(Seen.VALUE_IMPORTED)
    world.cluster.store.delete(LOCK)
    world.cluster.store.put(LOCK, backups[int(fault.strength * len(backups))])
    world.judge.rolled_back()
    world.operator_looks(20.0)
    return _nothing


def confirm(world: World) -> None:
    """An operator makes sure that nothing signs, then confirms the lock as it is; if not now, he will look again."""
    store = world.cluster.store
    record = store.record(world.cluster.lock_entry())
    if record is None or world.judge.able or not world.cluster.leads:
        return
    world.cover(Seen.OPERATOR_CONFIRMED)
    world.judge.confirmed.add(record.term)
    world.note("operator", "confirms term {} of {}", record.term, ACCOUNT)
    members = (MemberRecord.from_json(entry.value) for key, entry in store.data.keys.items() if key != LOCK)
    seen = max([record.term, *(member.term_seen for member in members if member is not None)])
    config = replace(store.data.config, confirmed_term=record.term, confirmed_seen=seen, confirmed_record=record.digest)
    store.data.config = config
    store.data.index += 1


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
    Kind.LEADER_LOSS: _leader_loss,
    Kind.LEADER_FREEZE: _leader_freeze,
    Kind.QUORUM_LOSS: _quorum_loss,
    Kind.SERVERS_RESTART: _servers_restart,
    Kind.INVALIDATE: _invalidate,
    Kind.DELETE_KEY: _delete_key,
    Kind.OVERWRITE_KEY: _overwrite_key,
    Kind.FOREIGN_RELEASE: _foreign_release,
    Kind.RESTORE: _restore,
    Kind.IMPORT: _import,
    Kind.FOLLOWER_LAGS: lambda world, host, fault: world.cluster.lag(),
}
