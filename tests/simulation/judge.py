# SPDX-License-Identifier: Apache-2.0
"""The judge: what must never happen, looked at in every event that could make it happen; and what must happen in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kuutamod.consul.transactions import Operation
from kuutamod.core import actions as ac
from kuutamod.core.model import Ghost
from kuutamod.core.protocol import LockRecord

from .consul import Entry, Refused
from .coverage import Seen
from .neard import Neard

if TYPE_CHECKING:
    from .host import Host
    from .world import World


class Violation(Exception):
    """A rule is broken; the story tells how."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.text = text


class Judge:
    """Follows every key, every signature and every write to the lock."""

    def __init__(self, world: World, rule: str = "") -> None:
        self._world = world
        self._rule = rule
        self._keyed: list[Neard] = []
        self._signed: dict[str, int] = {}
        self._takes: dict[str, int] = {}
        self._newest: tuple[int, str] = (0, "")
        self._rolled_back = False
        self._handed_over: dict[str, float] = {}
        self._by_fault: dict[str, float] = {}
        self.unsigned_since = 0.0
        self.takeovers = 0
        self.confirmed: set[int] = set()
        """Terms for which an operator has ever given his word; a take that was sent after it may arrive after a restore."""

    def broken(self, rule: str, text: str) -> None:
        """A rule is broken: that is the end, unless another rule is what we want to see broken.

        :raises Violation: it is the end.
        """
        if self._rule in ("", rule):
            raise Violation(rule, text)
        self._world.note("judge", "{}: {}", rule, text)

    # --- who could sign ---

    @property
    def able(self) -> list[Neard]:
        """The processes that could sign now."""
        return [neard for neard in self._keyed if neard.may_sign]

    @property
    def signing(self) -> bool:
        """Does one sign?"""
        return any(neard.loaded and not neard.stopping for neard in self._keyed if neard.may_sign)

    def armed(self, host: Host, neard: Neard, term: int) -> None:
        """The key was placed for a process."""
        self._keyed.append(neard)
        host.note("the key is placed for {} in term {}", neard.name, term)
        self._one_signer()
        newest, whose = self._newest
        if term < newest and not self._rolled_back:
            self.broken("stale term", f"{neard.name} gets the key under term {term}, but {whose} has taken term {newest}")

    def woke(self, host: Host, neard: Neard) -> None:
        """A suspended host runs again, and its guard let this process live."""
        if neard.keyed:
            host.note("{} runs again with the key", neard.name)
            self._one_signer()
            if neard.loaded and neard.first_signed is not None:
                neard.first_signed = None
                self.loaded(host, neard)

    def _one_signer(self) -> None:
        able = self.able
        if len(able) > 1:
            names = " and ".join(neard.name for neard in able)
            self.broken("two signers", f"{names} could both sign")

    def loaded(self, host: Host, neard: Neard) -> None:
        """A process has the key in memory: it signs from its next height on."""
        if neard.first_signed is not None:
            return
        self._one_signer()
        height = max(host.height(neard), host.last_signed) + 1
        neard.first_signed = height
        host.note("{} signs from height {} on", neard.name, height)
        for other in self._keyed:
            if other is not neard and other.last_signed >= height:
                self._raise_twice(height, neard.name, other.name)
        for name, last in self._signed.items():
            if last >= height:
                self._raise_twice(height, neard.name, name)

    def _raise_twice(self, height: int, one: str, other: str) -> None:
        self.broken("height signed twice", f"{one} signs height {height}, and so did {other}")

    def silenced(self, neard: Neard) -> None:
        """From now on it signs nothing (more)."""
        if neard.loaded and not neard.stopping and not neard.dormant:
            host = self._world.host(neard.node)
            if self._world.timeline.now >= neard.synced_at:
                host.last_signed = neard.last_signed = max(host.last_signed, host.height(neard) + 1)
            if not self._others_sign(neard):
                self.unsigned_since = self._world.timeline.now

    def _others_sign(self, neard: Neard) -> bool:
        return any(other is not neard and other.may_sign and other.loaded for other in self._keyed)

    def died(self, host: Host, neard: Neard) -> None:
        """A process has ended."""
        if neard.keyed:
            self._keyed.remove(neard)
            host.note("{} is dead (last height {})", neard.name, neard.last_signed)
            if neard.last_signed:
                self._signed[neard.name] = neard.last_signed

    # --- writes to the lock ---

    def heartbeat(self, host: Host, record: LockRecord, session: str, operations: Sequence[Operation]) -> Refused | None:
        """A heartbeat arrives at the leader."""
        before = self._world.cluster.lock_entry()
        refused = self._world.cluster.store.transact(operations)
        if refused is None:
            if before is None or before.session != session:
                text = f"a heartbeat of {host.name} for term {record.term} took a lock that was not held"
                self.broken("lock taken without a take", text)
            if record.term != self._takes.get(session, record.term):
                self.broken("stale term", f"{host.name} proves term {record.term} under a session of another")
        return refused

    def take(self, host: Host, action: ac.Take, operations: Sequence[Operation], seen: int, late: bool) -> Refused | None:
        """A take arrives at the leader; ``seen`` is the highest term that its sender had seen."""
        world = self._world
        before = world.cluster.lock_entry()
        refused = world.cluster.store.transact(operations)
        if refused is not None:
            if refused is Refused.MOVED:
                world.cover(Seen.TAKE_REFUSED_MOVED)
            return refused
        self.takeovers += 1
        record = action.record
        host.note("the lock is {}'s in term {} ({})", host.name, record.term, action.kind.value)
        self._cover_take(host, action, late)
        alive = self.able
        if alive:
            text = f"{host.name} takes the lock for term {record.term} while {alive[0].name} may live"
            self.broken("taken from the living", text)
        newest, whose = self._newest
        if record.term <= newest and not self._rolled_back:
            self.broken("term used twice", f"{host.name} takes term {record.term}; {whose} has taken term {newest}")
        self._unconfirmed(host, before, seen)
        self._rolled_back = False
        self._newest = (record.term, host.name)
        self._takes[action.session] = record.term
        self._by_fault.pop(action.session, None)
        if before is not None and world.cluster.store.record(before) is not None and action.claim.fault:
            self._by_fault[action.session] = world.timeline.now
        if world.dice.chance(0.5):
            world.cluster.take_snapshot()
        return None

    def _unconfirmed(self, host: Host, before: Entry | None, seen: int) -> None:
        """A term that went backwards is taken over only after an operator's word."""
        store = self._world.cluster.store
        found = store.record(before)
        if found is not None and found.term < seen and found.term not in self.confirmed:
            text = f"{host.name} has seen term {seen} and takes the lock of term {found.term} without an operator's word"
            self.broken("term went backwards", text)

    def _cover_take(self, host: Host, action: ac.Take, late: bool) -> None:
        cover = self._world.cover
        marked = action.view.released
        kinds = {
            ac.TakeKind.STEAL: Seen.TAKE_STOLEN,
            ac.TakeKind.FREE: Seen.TAKE_FREE_MARKED if marked else Seen.TAKE_FREE_UNMARKED,
        }
        cover(kinds[action.kind])
        if late:
            cover(Seen.TAKE_APPLIED_UNKNOWN)
        successor = action.claim.before.successor if action.claim.before is not None else ""
        if successor:
            cover(Seen.TAKEN_BY_SUCCESSOR if successor == host.name else Seen.TAKEN_BY_ANOTHER)
        record = action.view.record
        if record is not None and not marked and record.guard_time > host.law.guard_time:
            cover(Seen.LARGER_GUARD_HEEDED)

    def release(
        self, host: Host, record: LockRecord, operations: Sequence[Operation], ghost: Ghost | None = None
    ) -> Refused | None:
        """A release with the marker arrives at the leader."""
        world = self._world
        before = world.cluster.lock_entry()
        refused = world.cluster.store.transact(operations)
        if refused is not None or before is None:
            return refused
        host.note("{} releases the lock of term {}: {}", host.name, record.term, record.reason)
        for neard in self._keyed:
            if neard.node == host.name and neard.may_sign:
                text = f"{host.name} releases the lock of term {record.term} while {neard.name} may live"
                self.broken("released without proof", text)
        if ghost is not None:
            self._cover_release(ghost)
        if world.dice.chance(0.3):
            world.cluster.take_snapshot()
        self._count_handover(host, record, before.session or "")
        return None

    def _cover_release(self, ghost: Ghost) -> None:
        late = "too late" in ghost.reason or "letting go" in ghost.reason
        left = "left over" in ghost.reason
        found = Seen.GHOST_HANDED_BACK if late else Seen.LEFTOVER_HANDED_BACK if left else Seen.RELEASED_BY_SUPERVISOR
        self._world.cover(found)

    def _count_handover(self, host: Host, record: LockRecord, session: str) -> None:
        """Within the hold-off time a failure is handed on once, not on and on. (Hooks may refuse ever so often.)"""
        now = self._world.timeline.now
        began = self._by_fault.get(session)
        hold_off = host.clock.span(host.setup.policy.hold_off)
        if record.fault and "a hook refuses" not in record.reason and began is not None and now - began < hold_off - 1.0:
            text = f"{host.name} hands on within {now - began:.1f} s what it got by the fault of another"
            self.broken("ping-pong", text)

    def session_ends(self, session: str) -> None:
        """A session is ended by its node, or by a fault."""
        entry = self._world.cluster.lock_entry()
        held = entry is not None and entry.session == session
        self._world.cover(Seen.SESSION_INVALIDATED_HELD if held else Seen.SESSION_DESTROYED)

    def rolled_back(self) -> None:
        """Consul's data went backwards: the count of terms may begin anew, where nobody has seen the newer."""
        self._rolled_back = True
