# SPDX-License-Identifier: Apache-2.0
"""Which transitions of the model the seeds have exercised. None may stay at zero."""

from __future__ import annotations

import enum


class Seen(enum.Enum):
    """One transition of the model each; the value says it in words."""

    # sessions
    SESSION_EXPIRED_EARLY = "a session expires before twice its TTL"
    SESSION_EXPIRED_LATE = "a session expires at twice its TTL or later"
    SESSION_TIMERS_RESTARTED = "a new leader restarts the session timers"
    SESSION_INVALIDATED_HELD = "the holder's session is invalidated (gossip, autopilot, operator)"
    SESSION_INVALIDATED_IDLE = "a standby's session is invalidated"
    SESSION_LOST_BY_LEAVE = "an agent leaves and takes its node's sessions with it"
    SESSION_DESTROYED = "a node ends its own session"
    # lock delay
    DELAY_ARMED = "a lock delay is armed"
    DELAY_REFUSED_TAKE = "a lock delay refuses a take"
    DELAY_REFUSED_MEMBER = "a lock delay refuses a member record"
    DELAY_RACED = "a lock is in flight past the leader's check while its key's lock delay is armed"
    DELAY_LOST = "servers come back from a snapshot and have lost a running lock delay"
    DELAY_REPLAYED = "servers replay their log and arm a lock delay anew"
    # leaders
    LEADER_LOST = "the Consul leader is lost"
    LEADER_FROZEN = "the Consul leader freezes"
    QUORUM_LOST = "Consul has no quorum"
    REQUEST_HELD_OVER_ELECTION = "a request waits for the next leader and is applied then"
    REQUEST_DIED_WITH_LEADER = "a request dies with the leader"
    DEPOSED_RENEWED = "a deposed leader answers a renewal"
    DEPOSED_RENEWED_DEAD = "a deposed leader renews a session that is gone"
    DEPOSED_REFUSED_WRITE = "a deposed leader refuses a write"
    DEPOSED_REFUSED_READ = "a deposed leader refuses a consistent read"
    # requests
    REQUEST_LOST = "a request is lost on its way"
    ANSWER_LOST = "a write is applied and its answer lost"
    ANSWER_LATE = "an answer comes after its deadline"
    REQUEST_LATE_APPLIED = "a write is applied after its sender gave up waiting"
    HEARTBEAT_REFUSED_LATE = "a late heartbeat is refused"
    RELEASE_REFUSED_LATE = "a late release is refused"
    TAKE_REFUSED_MOVED = "a take is refused because the index has moved"
    TAKE_APPLIED_UNKNOWN = "a take is applied and its node does not learn it in time"
    REFUSED_AT_ONCE = "an agent that is down refuses the connection"
    DENIED = "Consul denies a request"
    # the key
    KEY_DELETED_HELD = "an operator deletes the held key"
    KEY_OVERWRITTEN = "an operator overwrites the lock's value"
    KEY_RELEASED_BY_OTHER = "somebody releases the lock under the holder's session"
    VALUE_IMPORTED = "an operator imports an old value of the lock"
    STATE_RESTORED = "an operator restores an old snapshot of Consul"
    TERM_REGRESS_BLOCKED = "a node stays standby because the term went backwards"
    OPERATOR_CONFIRMED = "an operator confirms the lock's state"
    # the lock
    TAKE_FREE_MARKED = "the lock is taken at once by the marker"
    TAKE_FREE_UNMARKED = "the lock is taken free without the marker"
    TAKE_STOLEN = "the lock is stolen from an ended holder"
    KEY_CREATED = "a missing key is written anew"
    RELEASED_BY_SUPERVISOR = "a supervisor releases the lock"
    RELEASED_BY_GUARD = "a guard releases the lock"
    GHOST_HANDED_BACK = "a node hands back a lock that it took too late"
    LEFTOVER_HANDED_BACK = "a restarted supervisor hands back its earlier life's lock"
    LARGER_GUARD_HEEDED = "a contender waits for a larger G than its own"
    # the operator
    REQUEST_DONE = "an operator's request is done"
    REQUEST_REFUSED = "an operator's request is refused"
    REQUEST_EXPIRED = "an operator's request expires"
    REQUEST_ROLLED_BACK = "a handover ends with another validator than the candidate"
    KEY_GIVEN_UP_FOR_REQUEST = "a holder takes the key from neard because an operator asks for it"
    TAKEN_BY_SUCCESSOR = "the named successor takes the lock"
    TAKEN_BY_ANOTHER = "another than the named successor takes the lock"
    PAUSED = "an operator pauses takeovers"
    DRAINED = "an operator drains a node"
    HOOK_VETOED = "a hook refuses the key"
    # hosts
    SUPERVISOR_KILLED_HOLDING = "the holder's supervisor is killed"
    GUARD_KILLED_HOLDING = "the holder's guard is killed"
    BOTH_KILLED_HOLDING = "the holder's supervisor and guard are killed"
    SUPERVISOR_FROZEN_HOLDING = "the holder's supervisor is frozen"
    GUARD_FROZEN_HOLDING = "the holder's guard is frozen"
    NEARD_FROZEN_HOLDING = "the holder's neard is frozen"
    HOST_LOST_HOLDING = "the holder's host is lost"
    HOST_SUSPENDED_HOLDING = "the holder's host is suspended"
    WOKE_AFTER_FENCE = "a suspended holder wakes after its fence deadline"
    REBOOTED = "a host comes back"
    SUPERVISOR_RESTARTED = "a supervisor is restarted"
    START_WAITED_FOR_GUARD = "a new supervisor waits for an old guard"
    FENCED_BY_GUARD = "a guard fences by its own clock"
    FENCED_BY_SUPERVISOR = "a supervisor fences"
    ORPHAN_KILLED = "a guard kills an orphaned neard"
    PROVED_WITHOUT_GUARD = "a supervisor proves a death without the guard"
    GUARD_HURRIED = "a guard that does not report a death is ended"
    SLOW_KILL = "a killed process takes its whole budget to die"
    UNDYING = "a killed process does not die"
    DISK_FULL = "the term can't be written to the disk"
    STOPPED_CLEANLY = "an operator stops a holder"
    # neard
    HUP_LOST = "a SIGHUP is lost"
    HUP_LATE = "a reload takes effect a moment later"
    RELOAD_REFUSED = "a reload does not take the key (all or nothing)"
    HUP_TOO_EARLY = "the key is asked for before neard can take a SIGHUP"
    NEARD_CRASHED_HOLDING = "the holder's neard crashes"
    NEARD_HUNG_HOLDING = "the holder's neard hangs"
    HEAD_FROZEN_HOLDING = "the holder's head stands still"
    NEARD_SYNCING = "a node is syncing"
    NEARD_DEAF = "neard ignores SIGTERM"
    KEY_UNLOADED = "a neard drops its key"
    PROMOTED_HOT = "a promotion by hot swap"
    PROMOTED_RESTART = "a promotion by restart"
    RETRIED_LOCALLY = "a holder within its hold-off restarts its neard"
    HANDED_OVER_BY_FAULT = "a holder hands over by its own fault"


class Coverage:
    """How often each was seen."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[Seen, int] = {}

    def add(self, seen: Seen) -> None:
        """Once more."""
        self.counts[seen] = self.counts.get(seen, 0) + 1

    def merge(self, counts: dict[str, int]) -> None:
        """Add another report, by names."""
        for name, count in counts.items():
            seen = Seen[name]
            self.counts[seen] = self.counts.get(seen, 0) + count

    def by_name(self) -> dict[str, int]:
        """The report, by names."""
        return {seen.name: count for seen, count in self.counts.items()}

    def missing(self) -> list[Seen]:
        """What was never seen."""
        return [seen for seen in Seen if not self.counts.get(seen)]
