# SPDX-License-Identifier: Apache-2.0
"""The lease: until when may the holder sign, and from when may another node take the lock.

This module is the one home of the arithmetic on which "never two signers" rests.

The argument
============
Times are seconds on a clock that counts suspend (CLOCK_BOOTTIME); every host uses only its own clock, whose rate may be
wrong by at most ``rho``.

1.  *Proof.* The holder's heartbeat is one Consul transaction (check-session, set a new value). Consul applies it at
    some moment after it was **sent** (t_p) and before it was answered. Every applied heartbeat moves the key's
    ModifyIndex. The holder counts only answered heartbeats, and each from t_p. An unanswered one proves nothing.
2.  *Fence.* At t_p + D (fence_deadline) on the holder's clock the process with the key gets SIGKILL; by
    t_p + D + S (kill_budget) it is reaped; sigma (scheduling_slack) is what the host may be late with all of it. So it
    cannot sign after t_p + (D + S + sigma) / (1 - rho) in true time.
3.  *Takeover.* A contender saw ModifyIndex i for the first time at t_f on its own clock, so heartbeat i was applied, and
    therefore sent, before t_f. It takes the lock at t_f + G (guard_time) at the earliest, by a transaction that Consul
    applies only if the index is still i. If it is applied, no heartbeat after i ever was or will be: i carried the
    holder's last proof, and t_p <= t_f.
4.  The contender's G lasts at least G / (1 + rho) in true time. With

        (D + S + sigma)(1 + rho) <= G (1 - rho)                                   (the law)

    the former holder's process is gone before the contender holds the lock.

The other way in, the marker ``released`` in a free key, needs no time: it is written only after the exit status of the
process was collected. Nothing here depends on session TTLs, gossip, Consul's lock delay or wall clocks.

A node that was blind for longer than D starts its count anew: it could not tell an index that never moved from one that
moved and came back (a restored snapshot).

Source: the shape of a lease with steal; measured on Consul 1.8.7 (docs/safety.md has the table).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .change import replace
from .claim import Claim
from .heights import UNSEEN, Chain

LEADER_LOSS = 4.0
"""Seconds without a Consul leader that a holder must survive (raft_multiplier 1: 2.5 to 4.1 s measured)."""

CONSUL_TTL_RANGE = (10.0, 86400.0)
"""Seconds; what Consul accepts as a session TTL with its default session_ttl_min."""

CONSUL_LOCK_DELAY_MAX = 60.0
"""Seconds; Consul clamps longer lock delays, so a longer guard time would lose its belt against foreign contenders."""


@dataclass(frozen=True)
class LeaseLaw:
    """The numbers of the lease, all in seconds (clock_rate_error is a ratio)."""

    heartbeat_interval: float = 1.0
    request_deadline: float = 1.0
    fence_deadline: float = 7.0
    kill_budget: float = 1.0
    scheduling_slack: float = 0.5
    guard_time: float = 9.0
    session_ttl: float = 10.0
    session_renewal: float = 3.0
    clock_rate_error: float = 0.01

    def violations(self) -> tuple[str, ...]:
        """Every way in which these numbers break the law, as sentences with the numbers; empty when they hold."""
        found: list[str] = []
        for name in ("heartbeat_interval", "request_deadline", "fence_deadline", "kill_budget", "guard_time"):
            positive = getattr(self, name) > 0  # which NaN is not, either
            if not positive:
                found.append(f"{name} is {getattr(self, name):g} s; it must be greater than 0")
        if self.scheduling_slack < 0:
            found.append(f"scheduling_slack is {self.scheduling_slack:g} s; it must not be negative")
        stopped, guarded = self.stopped_after(), self.guard_time * (1 - self.clock_rate_error)
        holds = stopped <= guarded  # not for NaN, either
        if not holds:
            found.append(
                f"(fence_deadline {self.fence_deadline:g} + kill_budget {self.kill_budget:g} + scheduling_slack "
                f"{self.scheduling_slack:g}) * {1 + self.clock_rate_error:g} = {stopped:.3f} s is more than guard_time "
                f"{self.guard_time:g} * {1 - self.clock_rate_error:g} = {guarded:.3f} s: "
                "another node could sign while this one still does"
            )
        needed = self.heartbeat_interval + self.request_deadline + LEADER_LOSS
        if not self.fence_deadline >= needed:
            found.append(
                f"fence_deadline {self.fence_deadline:g} s is less than heartbeat_interval {self.heartbeat_interval:g} + "
                f"request_deadline {self.request_deadline:g} + {LEADER_LOSS:g} = {needed:g} s: "
                "one Consul leader loss would stop the validator"
            )
        found.extend(self._session_violations())
        return tuple(found)

    def _session_violations(self) -> list[str]:
        found: list[str] = []
        low, high = CONSUL_TTL_RANGE
        if not low <= self.session_ttl <= high:
            found.append(f"session_ttl is {self.session_ttl:g} s; Consul takes {low:g} to {high:g} s")
        if not 0 < self.session_renewal <= (self.session_ttl - self.request_deadline) / 2:
            found.append(
                f"session_renewal is {self.session_renewal:g} s; it must be greater than 0 and leave two tries within "
                f"session_ttl {self.session_ttl:g} s, so at most {(self.session_ttl - self.request_deadline) / 2:g} s"
            )
        if self.guard_time > CONSUL_LOCK_DELAY_MAX:
            found.append(
                f"guard_time is {self.guard_time:g} s; Consul's lock delay, its belt, ends at {CONSUL_LOCK_DELAY_MAX:g} s"
            )
        return found

    def stopped_after(self) -> float:
        """The left side of the law, seconds: what must have passed before anybody else may hold the lock."""
        return (self.fence_deadline + self.kill_budget + self.scheduling_slack) * (1 + self.clock_rate_error)


@dataclass(frozen=True)
class Lease:
    """This node's holding of the lock in one term, as far as it has proof.

    ``proof``: when the last successful heartbeat (or the take) was sent, boottime seconds. ``since``: when this node took
    the lock. ``counter``: heartbeats sent. ``claim``: on what grounds it was taken. ``floor``: the last height the previous
    holder recorded. ``chain``: what was seen of the chain since the take; ``settled``: it has moved past what the previous
    holder can have signed. ``last``: the head asked for after our neard was seen without the key, 0 before; ``idle_since``:
    when it was seen so. ``blessed``: the operator's hooks let the key be
    placed. ``lost``: Consul's word that the lock is no longer ours; final. ``doubt``: why the newest
    heartbeat has no answer, empty after a proof.
    """

    session: str
    term: int
    proof: float
    since: float
    counter: int = 0
    floor: int = 0
    chain: Chain = UNSEEN
    settled: bool = False
    claim: Claim = field(default_factory=Claim)
    blessed: bool = False
    last: int = 0
    idle_since: float | None = None
    lost: str | None = None
    doubt: str = ""


def fence_at(lease: Lease, law: LeaseLaw) -> float:
    """The boottime second at which the process with the key is killed unless a newer proof arrives."""
    return lease.proof + law.fence_deadline


def may_sign(lease: Lease | None, law: LeaseLaw, now: float) -> bool:
    """May a process on this host hold the validator key now? The only place that answers this."""
    return lease is not None and lease.lost is None and now < fence_at(lease, law)


def unproved(lease: Lease | None, law: LeaseLaw) -> str:
    """Why a holder whose fence deadline has passed may not sign, as a sentence."""
    doubt = f": {lease.doubt}" if lease is not None and lease.doubt else ""
    return f"no proof of holding the lock for {law.fence_deadline:g} s{doubt}"


def prove(lease: Lease, sent: float) -> Lease:
    """The lease after a heartbeat that was sent at ``sent`` succeeded; an older proof never shortens it."""
    return lease if sent <= lease.proof else replace(lease, proof=sent)


def lose(lease: Lease, reason: str) -> Lease:
    """The lease after Consul said that the lock is not ours; the first reason stays."""
    return lease if lease.lost is not None else replace(lease, lost=reason)
