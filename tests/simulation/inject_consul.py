# SPDX-License-Identifier: Apache-2.0
"""What is done to Consul, by itself or by an operator: elections, sessions, the lock's key, snapshots, confirmations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from kuutamod.core.protocol import MemberRecord

from .cluster import LOCK
from .coverage import Seen
from .faults import Fault, Kind
from .setup import ACCOUNT

if TYPE_CHECKING:
    from .host import Host
    from .world import World

Heal = Callable[[], None]


def nothing() -> None:
    """What is over at once needs no healing."""


def _election(world: World, fault: Fault) -> float:
    """Seconds without a leader: 2.5 to 4.1 measured with raft_multiplier 1."""
    return 2.5 + 1.6 * fault.strength


def _leader_loss(world: World, _unused: Host, fault: Fault) -> Heal:
    world.cluster.lose_leader()
    world.timeline.after(_election(world, fault), world.cluster.elect)
    return nothing


def _leader_freeze(world: World, _unused: Host, fault: Fault) -> Heal:
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


def _quorum_loss(world: World, _unused: Host, __: Fault) -> Heal:
    world.cover(Seen.QUORUM_LOST)
    world.cluster.lose_leader()
    return world.cluster.elect


def _servers_restart(world: World, _unused: Host, fault: Fault) -> Heal:
    world.cluster.lose_leader()
    world.cluster.restart_from_snapshot()
    world.timeline.after(_election(world, fault), world.cluster.elect)
    return nothing


def _invalidate(world: World, host: Host, _unused: Fault) -> Heal:
    entry = world.cluster.lock_entry()
    for session in world.cluster.sessions_of(host.name):
        held = entry is not None and entry.session == session
        world.cover(Seen.SESSION_INVALIDATED_HELD if held else Seen.SESSION_INVALIDATED_IDLE)
        world.cluster.end_session(session)
    return nothing


def _delete_key(world: World, _unused: Host, __: Fault) -> Heal:
    entry = world.cluster.lock_entry()
    if entry is not None and entry.session is not None:
        world.cover(Seen.KEY_DELETED_HELD)
    world.cluster.store.delete(LOCK)
    return nothing


def _overwrite_key(world: World, _unused: Host, __: Fault) -> Heal:
    if world.cluster.lock_entry() is not None:
        world.cover(Seen.KEY_OVERWRITTEN)
        world.cluster.store.put(LOCK, "not a record")
    return nothing


def _foreign_release(world: World, _unused: Host, __: Fault) -> Heal:
    entry = world.cluster.lock_entry()
    if entry is not None and entry.session is not None:
        world.cover(Seen.KEY_RELEASED_BY_OTHER)
        world.cluster.store.free(LOCK)
    return nothing


def _restore(world: World, _unused: Host, fault: Fault) -> Heal:
    """The servers start with an old snapshot. Some time later an operator looks, and confirms if need be.

    Nobody restores a snapshot that is only seconds old. That one may be what a contender saw last, with all of a holder's
    heartbeats since then undone before it saw them: it would count on as if there had been none (docs/safety.md).
    """
    youngest = world.timeline.now - max(node.policy.law.fence_deadline for node in world.setup.nodes) - 3.0
    snapshots = [data for taken, data in world.cluster.snapshots if taken <= youngest]
    if not snapshots:
        return nothing
    world.cover(Seen.STATE_RESTORED)
    chosen = snapshots[int(fault.strength * len(snapshots))]
    world.cluster.lose_leader()
    world.cluster.restore(chosen)
    world.judge.rolled_back()
    world.timeline.after(_election(world, fault), world.cluster.elect)
    world.operator_looks(20.0)
    return nothing


def _import(world: World, _unused: Host, fault: Fault) -> Heal:
    """An operator deletes the lock's key and writes it anew from a backup: an old value under a new index, nobody's."""
    backups = [data.keys[LOCK].value for _unused, data in world.cluster.snapshots if LOCK in data.keys]
    if not backups:
        return nothing
    world.cover(Seen.VALUE_IMPORTED)
    world.cluster.store.delete(LOCK)
    world.cluster.store.put(LOCK, backups[int(fault.strength * len(backups))])
    world.judge.rolled_back()
    world.operator_looks(20.0)
    return nothing


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


AT_CONSUL: Mapping[Kind, Callable[[World, Host, Fault], Heal]] = {
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
