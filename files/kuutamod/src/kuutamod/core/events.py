# SPDX-License-Identifier: Apache-2.0
"""What can happen to a node. Every event carries the times the rules need; the shell adds nothing else.

``sent`` is when the request went out, ``at`` when the answer was seen; boottime seconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .claim import Claim
from .desk import Windows
from .model import Home, LockView, Status
from .protocol import FleetConfig, LockRecord, MemberRecord, Request


class Outcome(enum.Enum):
    """What a write to Consul is known to have done."""

    APPLIED = "applied"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class HomeInspected:
    """The home was looked at; ``why`` names pid and command line where it is busy."""

    home: Home
    why: str


@dataclass(frozen=True)
class ChildStarted:
    """Guard and neard run."""

    serial: int
    pid: int
    at: float


@dataclass(frozen=True)
class ChildStartFailed:
    """The guard could not start neard; nothing runs and no key is in place."""

    serial: int
    why: str
    at: float


@dataclass(frozen=True)
class ChildExited:
    """Proof of death: the exit status was collected, no process of this start exists any more.

    ``handing_back``: the guard killed it on its own account and releases the lock, now or a little later.
    """

    serial: int
    why: str
    at: float
    handing_back: bool = False


@dataclass(frozen=True)
class GuardAnswered:
    """The guard acknowledged."""

    serial: int
    at: float


@dataclass(frozen=True)
class KeyPlaced:
    """The guard placed the key and sent SIGHUP."""

    serial: int
    at: float


@dataclass(frozen=True)
class KeyRefused:
    """The guard did not place the key: no SIGHUP handler yet, too late, or the key file has changed."""

    serial: int
    why: str
    at: float


@dataclass(frozen=True)
class KeyUnloaded:
    """The guard removed the key and sent SIGHUP, or ``why`` not."""

    serial: int
    at: float
    why: str = ""


@dataclass(frozen=True)
class StatusAnswered:
    """neard answered."""

    serial: int
    status: Status
    sent: float
    at: float


@dataclass(frozen=True)
class StatusFailed:
    """neard did not answer, or nonsense."""

    serial: int
    why: str
    sent: float
    at: float


@dataclass(frozen=True)
class SessionCreated:
    """A session, read back and found as asked for."""

    session: str
    sent: float


@dataclass(frozen=True)
class SessionRenewed:
    """The renewal was answered with 200; no proof of anything."""

    session: str
    sent: float


@dataclass(frozen=True)
class SessionGone:
    """Consul does not know the session any more, or it was destroyed by us."""

    session: str


@dataclass(frozen=True)
class SessionFailed:
    """Creating, renewing or destroying got no usable answer."""

    why: str


@dataclass(frozen=True)
class MemberPublished:
    """The member record is written and bound to ``session``."""

    session: str
    record: MemberRecord
    at: float


@dataclass(frozen=True)
class MemberRefused:
    """``duplicate`` names another living process with this node id; otherwise the write failed."""

    why: str
    duplicate: bool = False


@dataclass(frozen=True)
class SeenMember:
    """One member record as read."""

    record: MemberRecord
    session: str | None
    index: int


@dataclass(frozen=True)
class FleetSeen:
    """Members and fleet-wide settings; ``config`` None: unreadable. ``wall``: this host's Unix seconds at ``at``.

    What they were at some moment between ``sent`` and ``at``. ``newest_term``: the highest that has a record.
    """

    members: tuple[SeenMember, ...]
    config: FleetConfig | None
    sent: float
    at: float
    wall: float
    newest_term: int = 0


@dataclass(frozen=True)
class FleetFailed:
    """They could not be read."""

    why: str


@dataclass(frozen=True)
class LockSeen:
    """A consistent read of the lock's key; ``watched``: by the blocking query, not by a ReadLock action."""

    view: LockView
    sent: float
    at: float
    watched: bool = False


@dataclass(frozen=True)
class LockReadFailed:
    """The lock's key could not be read."""

    why: str


@dataclass(frozen=True)
class HeartbeatAnswered:
    """APPLIED is the one proof of holding, REFUSED the one proof of having lost; UNKNOWN is neither."""

    session: str
    outcome: Outcome
    sent: float
    why: str = ""


@dataclass(frozen=True)
class TakeAnswered:
    """The take's outcome. APPLIED counts as a proof from ``sent``. ``term_taken``: REFUSED as another had that term."""

    session: str
    outcome: Outcome
    record: LockRecord
    claim: Claim
    sent: float
    at: float
    why: str = ""
    term_taken: bool = False


@dataclass(frozen=True)
class KeyCreated:
    """The missing key was written, or (REFUSED) exists already."""

    outcome: Outcome
    at: float
    why: str = ""


@dataclass(frozen=True)
class ReleaseAnswered:
    """REFUSED: the lock was not ours any more."""

    session: str
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True)
class TermRemembered:
    """The disk has it; ``fault`` says why not."""

    term: int
    fault: str | None = None


@dataclass(frozen=True)
class RequestSeen:
    """The operator's request as a consistent read showed it; None: there is none, or the key holds something unreadable."""

    request: Request | None
    index: int
    at: float


@dataclass(frozen=True)
class RequestAnswered:
    """APPLIED: it is now as ``request``, at ``index``. REFUSED: it has changed meanwhile; the new one is on its way."""

    outcome: Outcome
    request: Request
    index: int
    at: float
    why: str = ""


@dataclass(frozen=True)
class WindowsSeen:
    """What neard says about the heights to come."""

    windows: Windows
    at: float


@dataclass(frozen=True)
class HistoryWritten:
    """The record of this term is written, or ``fault`` says why not."""

    term: int
    live: bool
    fault: str = ""


@dataclass(frozen=True)
class HookAnswered:
    """The executables for ``pre-promote`` have ended; ``veto`` says which one refuses, and why."""

    term: int
    at: float
    veto: str = ""


@dataclass(frozen=True)
class StopRequested:
    """The operator or systemd asks to end."""

    why: str
    at: float


Event = (
    HomeInspected
    | ChildStarted
    | ChildStartFailed
    | ChildExited
    | GuardAnswered
    | KeyPlaced
    | KeyRefused
    | KeyUnloaded
    | StatusAnswered
    | StatusFailed
    | SessionCreated
    | SessionRenewed
    | SessionGone
    | SessionFailed
    | MemberPublished
    | MemberRefused
    | FleetSeen
    | FleetFailed
    | LockSeen
    | LockReadFailed
    | HeartbeatAnswered
    | TakeAnswered
    | KeyCreated
    | ReleaseAnswered
    | TermRemembered
    | RequestSeen
    | RequestAnswered
    | WindowsSeen
    | HistoryWritten
    | HookAnswered
    | StopRequested
)
