# SPDX-License-Identifier: Apache-2.0
"""What the rules can ask the shell to do. Each action answers with exactly one event, by its own deadline.

``ExtendGuard``, ``KillChild``, ``StopChild`` and ``Exit`` answer nothing of their own; the guard's events tell.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .claim import Claim
from .model import Giveup, LockView, Role, Slot
from .protocol import LockRecord, Mark, MemberRecord, Outcome, Request, TermRecord


@dataclass(frozen=True)
class InspectHome:
    """Look whether the home is free: no living process on ``data/LOCK``, orphans of ours are ended."""

    slot = Slot.HOME


@dataclass(frozen=True)
class ReleasePlan:
    """What a guard writes when it must release the lock by itself."""

    session: str
    record: LockRecord


@dataclass(frozen=True)
class StartChild:
    """Start a guard with neard. A validator gets its key and the guard's deadline (boottime seconds) with the start."""

    serial: int
    role: Role
    fence_at: float | None = None
    plan: ReleasePlan | None = None
    slot = Slot.CHILD


@dataclass(frozen=True)
class PlaceKey:
    """Hot swap: the guard arms itself, places the key and sends SIGHUP, in one step."""

    serial: int
    fence_at: float
    plan: ReleasePlan
    slot = Slot.CHILD


@dataclass(frozen=True)
class UnloadKey:
    """Take the key away from a running neard: the guard removes it from the home and sends SIGHUP. No proof of anything."""

    serial: int
    giveup: Giveup
    slot = Slot.CHILD


@dataclass(frozen=True)
class ExtendGuard:
    """Tell the guard the newest proof's deadline (boottime seconds), or just ask whether it is there."""

    serial: int
    fence_at: float | None
    plan: ReleasePlan | None
    slot = None


@dataclass(frozen=True)
class StopChild:
    """SIGTERM, and SIGKILL after ``grace`` seconds. ``request``: what an operator has asked a node without the lock for."""

    serial: int
    grace: float
    why: str
    giveup: Giveup | None = None
    request: str = ""
    slot = None


@dataclass(frozen=True)
class KillChild:
    """SIGKILL now, through the guard and directly."""

    serial: int
    why: str
    giveup: Giveup | None = None
    slot = None


@dataclass(frozen=True)
class GiveUp:
    """Let go of a lease under which no process holds the key (for the rules alone; the shell does nothing)."""

    giveup: Giveup
    slot = None


@dataclass(frozen=True)
class PollStatus:
    """Ask neard's ``/status``; ``deadline`` in seconds."""

    serial: int
    deadline: float
    slot = Slot.STATUS


@dataclass(frozen=True)
class CreateSession:
    """A new session with the lease law's TTL and the guard time as lock delay, behaviour release, no checks."""

    slot = Slot.SESSION


@dataclass(frozen=True)
class RenewSession:
    """Renew; proves nothing about the lock."""

    session: str
    slot = Slot.SESSION


@dataclass(frozen=True)
class DestroySession:
    """End the session, and with it the member record's binding."""

    session: str
    slot = Slot.SESSION


@dataclass(frozen=True)
class Publish:
    """Write the member record, bound to the session; refused when another life of this node id is bound."""

    session: str
    record: MemberRecord
    slot = Slot.MEMBER


@dataclass(frozen=True)
class ReadFleet:
    """Read members and fleet-wide settings."""

    slot = Slot.FLEET


@dataclass(frozen=True)
class ReadLock:
    """One consistent read of the lock's key."""

    slot = Slot.READ


@dataclass(frozen=True)
class Heartbeat:
    """One transaction: check that the session holds the key, and write this value."""

    session: str
    record: LockRecord
    slot = Slot.HEARTBEAT


class TakeKind(enum.Enum):
    """How the lock is taken; each is one transaction guarded by what was seen."""

    FREE = "free"
    STEAL = "steal"


@dataclass(frozen=True)
class Take:
    """Take the lock if it is still exactly as in ``view``."""

    session: str
    view: LockView
    kind: TakeKind
    record: LockRecord
    claim: Claim
    slot = Slot.LOCK


@dataclass(frozen=True)
class CreateKey:
    """Write the lock's missing key anew, held by nobody and without the marker, if it does not exist."""

    record: LockRecord
    slot = Slot.LOCK


@dataclass(frozen=True)
class Release:
    """One transaction: unlock with the released marker. Asked for only after proof that no process holds the key."""

    session: str
    record: LockRecord
    slot = Slot.LOCK


@dataclass(frozen=True)
class RememberTerm:
    """Keep the highest term seen on this host's disk."""

    term: int
    slot = Slot.MEMORY


@dataclass(frozen=True)
class Note:
    """A phase of the operator's request is reached, or its outcome is clear (for the rules alone, as GiveUp)."""

    mark: Mark
    outcome: Outcome | None = None
    why: str = ""
    slot = None


@dataclass(frozen=True)
class AnswerRequest:
    """Write the request with this node's answer, if it is still as it was at ``index``."""

    request: Request
    index: int
    slot = Slot.REQUEST


@dataclass(frozen=True)
class AskWindows:
    """Ask neard in which heights the validator has nothing to produce."""

    serial: int
    slot = Slot.WINDOWS


@dataclass(frozen=True)
class WriteHistory:
    """Record this node's term, and complete the record of the term before it where that has no end yet.

    ``live``: the key was live by then.
    """

    record: TermRecord
    before: TermRecord | None
    live: bool
    slot = Slot.HISTORY


@dataclass(frozen=True)
class AskHook:
    """Run the operator's executables for ``pre-promote``; they may veto."""

    term: int
    slot = Slot.HOOK


@dataclass(frozen=True)
class Exit:
    """Everything is stopped and handed back: end the supervisor."""

    slot = None


Action = (
    InspectHome
    | StartChild
    | PlaceKey
    | UnloadKey
    | ExtendGuard
    | StopChild
    | KillChild
    | GiveUp
    | PollStatus
    | CreateSession
    | RenewSession
    | DestroySession
    | Publish
    | ReadFleet
    | ReadLock
    | Heartbeat
    | Take
    | CreateKey
    | Release
    | RememberTerm
    | Note
    | AnswerRequest
    | AskWindows
    | WriteHistory
    | AskHook
    | Exit
)


@dataclass(frozen=True)
class Decision:
    """What to do now, one sentence of why, and when to think again at the latest (boottime seconds)."""

    actions: tuple[Action, ...]
    why: str
    wake_at: float

    @property
    def again(self) -> bool:
        """Did it change what the rules know by itself, so that they must be asked again at once?"""
        return any(isinstance(action, GiveUp | Note) for action in self.actions)
