# SPDX-License-Identifier: Apache-2.0
"""What a node knows: the immutable snapshot that the rules work on.

All times are boottime seconds of this host, heights are block heights.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from .change import replace
from .desk import Desk
from .lease import Lease, LeaseLaw
from .protocol import FleetConfig, LockRecord, MemberRecord


class State(enum.Enum):
    """The states of the upstream product; the label of the metric ``kuutamod_state``."""

    STARTUP = "Startup"
    SYNCING = "Syncing"
    REGISTERING = "Registering"
    VOTING = "Voting"
    VALIDATING = "Validating"
    SHUTDOWN = "Shutdown"


class Phase(enum.Enum):
    """What a node in state Validating is about; empty in the other states."""

    NONE = ""
    PROMOTING = "promoting"
    ACTIVE = "active"
    DEMOTING = "demoting"
    FENCING = "fencing"


class Promotion(enum.Enum):
    """How the key gets into neard: by reload of the running process, or by a restart as validator."""

    RESTART = "restart"
    HOT_SWAP = "hot-swap"


class Role(enum.Enum):
    """What neard is started as: a voter has no validator key in its home, a validator has."""

    VOTER = "voter"
    VALIDATOR = "validator"


@dataclass(frozen=True)
class Policy:
    """The settings that the rules use; seconds."""

    law: LeaseLaw = field(default_factory=LeaseLaw)
    promotion: str = "auto"
    shadow_tracking: bool = False
    hang_timeout: float = 5.0
    freeze_timeout: float = 15.0
    freeze_blocks: int = 5
    start_timeout: float = 900.0
    stop_grace: float = 30.0
    hot_swap_timeout: float = 10.0
    hold_off: float = 600.0
    patience: float = 10.0
    priority: int = 0
    rank_step: float = 0.5
    successor_patience: float = 5.0
    settle_time: float = 5.0
    min_peers: int = 1
    max_lag: int = 20
    max_head_age: float = 60.0
    pre_promote: bool = False
    guard_patience: float = 3.0
    syncing_patience: float = 10.0
    status_interval: float = 0.5
    member_interval: float = 5.0
    reread_interval: float = 2.0


@dataclass(frozen=True)
class Identity:
    """Who this node is. Keys are public keys as neard prints them. ``life`` is new with every start of the supervisor."""

    account_id: str
    node_id: str
    hostname: str
    life: str
    home: str
    fingerprint: str
    validator_account: str
    voter_node_key: str
    validator_node_key: str
    kuutamod_version: str = ""
    address: str = ""


@dataclass(frozen=True)
class Status:
    """One answer of neard's ``/status``, with what proves whose answer it is.

    ``key_present``: the validator key's file can still be read. ``peers`` None: unknown. ``head_age``: seconds since the
    head block's time, by this host's wall clock; None: unknown. ``protocol`` and ``latest_protocol``: the chain's version
    at the head, and the newest that this neard can follow.
    """

    height: int
    syncing: bool
    node_key: str
    validator_account: str | None
    validator_key: str | None
    version: str
    lock_pid: int | None
    home_locked: bool = True
    key_present: bool = True
    peers: int | None = None
    head_age: float | None = None
    protocol: int = 0
    latest_protocol: int = 0


@dataclass(frozen=True)
class Child:
    """The guarded neard of this node. ``keyed``: a key was, or may have been, placed for it; only its death ends that.

    ``lonely_since``: since when it has no peers. ``unload_asked``: when it was told to drop the key; ``unloaded``: when it
    was first seen without.
    """

    serial: int
    role: Role
    keyed: bool
    started: float
    pid: int | None = None
    guard_asked: float | None = None
    guard_silent_since: float | None = None
    guard_fence: float = 0.0
    status: Status | None = None
    answered: float | None = None
    silent_since: float | None = None
    identified: bool = False
    head_changed: float = 0.0
    syncing_since: float | None = None
    synced: bool = False
    synced_since: float = 0.0
    key_asked: float | None = None
    key_reload: float = 0.0
    key_fault: str = ""
    key_live: bool = False
    key_live_since: float = 0.0
    lonely_since: float | None = None
    unload_asked: float | None = None
    unloaded: float | None = None
    stranger: str = ""
    stopping: str | None = None
    killed: str | None = None
    killed_at: float = 0.0


@dataclass(frozen=True)
class LockView:
    """The lock's key as one read showed it. ``index`` is its ModifyIndex, 0 for a missing key."""

    index: int
    session: str | None = None
    record: LockRecord | None = None

    @property
    def missing(self) -> bool:
        """Is there no such key?"""
        return self.index == 0

    @property
    def released(self) -> bool:
        """Is it free with the marker, that is, with proof that its last holder is dead?"""
        return self.session is None and self.record is not None and self.record.released


@dataclass(frozen=True)
class Watch:
    """The lock as this node itself has seen it over time.

    ``first_seen``: when it first saw this view; ``since``: from when on it has watched, and the index only grew.
    """

    view: LockView
    first_seen: float
    last_seen: float
    since: float
    largest_guard: float = 0.0


@dataclass(frozen=True)
class Peer:
    """Another node's member record. ``live``: it is bound to a session. ``seen``: when this content was first seen."""

    record: MemberRecord
    session: str | None
    index: int
    seen: float

    @property
    def live(self) -> bool:
        """Does its session still exist?"""
        return self.session is not None


@dataclass(frozen=True)
class Session:
    """This node's Consul session. ``spent``: a release under it was, or may have been, asked for.

    A request that got stuck on its way may arrive at any later time. A late release would free the lock, with the marker,
    of whoever holds it under the same session; so a session serves one lease, and then ends.
    """

    id: str
    renewed: float
    member: bool = False
    spent: bool = False

    @property
    def ready(self) -> bool:
        """Is the member record bound to it, and may the lock be taken under it?"""
        return self.member and not self.spent


@dataclass(frozen=True)
class Giveup:
    """Why the holder gives the lock up, and whether that is its own fault (then hold-off applies).

    ``successor``: the node that it is meant for; ``request``: the operator's request that asks for it.
    """

    reason: str
    fault: bool
    successor: str = ""
    request: str = ""


@dataclass(frozen=True)
class Ghost:
    """A lock that Consul may still book on a session of ours though nothing here holds the key: to be released.

    ``height``: the highest that this node has seen with the key; ``final``: and nothing above the next was signed, as
    neard was seen without the key before, since ``idle_since``. ``leftover``: from an earlier life of the supervisor; it is
    released only once the home is known to be clear and the lock was seen booked on this session.
    """

    session: str
    term: int
    giveup: Giveup
    height: int = 0
    final: bool = False
    idle_since: float | None = None
    leftover: bool = False
    tried: float | None = None

    @property
    def reason(self) -> str:
        """Why it is given up."""
        return self.giveup.reason


class Home(enum.Enum):
    """May neard be started on this home?"""

    UNKNOWN = "not looked at yet"
    CLEAR = "clear"
    BUSY = "in use"


class Slot(enum.IntEnum):
    """One action at a time runs in each slot."""

    HOME = enum.auto()
    CHILD = enum.auto()
    STATUS = enum.auto()
    SESSION = enum.auto()
    MEMBER = enum.auto()
    FLEET = enum.auto()
    HEARTBEAT = enum.auto()
    LOCK = enum.auto()
    READ = enum.auto()
    MEMORY = enum.auto()
    REQUEST = enum.auto()
    WINDOWS = enum.auto()
    HISTORY = enum.auto()
    HOOK = enum.auto()


@dataclass(frozen=True)
class Faults:
    """This node's own failures as a holder: since when they hold it off, and how many in a row were retried here.

    ``vetoes``: how many promotions in a row its hooks have refused.
    """

    since: float | None = None
    retries: int = 0
    next_start: float = 0.0
    vetoes: int = 0


@dataclass(frozen=True)
class NodeState:
    """Everything a node knows at one moment. ``wall``: Unix seconds when boottime was 0, as far as this host knows.

    ``fleet_sent`` and ``fleet_read``: when ``peers`` and ``fleet`` were asked for and answered; ``fleet_read`` None: they
    have to be read (anew).
    ``released_for``: the request for which this node last released the lock; ``stopped_for``: for which it last began to
    stop its neard. ``request_refused``: the index at which its last answer to a request was not taken. ``history``: the
    term last recorded there, and whether its key was live then.
    """

    policy: Policy
    identity: Identity
    started: float
    child: Child | None = None
    serial: int = 0
    home: Home = Home.UNKNOWN
    home_why: str = ""
    session: Session | None = None
    lease: Lease | None = None
    ghost: Ghost | None = None
    giveup: Giveup | None = None
    watch: Watch | None = None
    peers: tuple[Peer, ...] = ()
    fleet: FleetConfig | None = None
    fleet_sent: float = 0.0
    fleet_read: float | None = None
    wall: float = 0.0
    desk: Desk = field(default_factory=Desk)
    newest_term: int = 0
    term_seen: int = 0
    term_stored: int = 0
    height_seen: int = 0
    neard_version: str = ""
    child_died: float = 0.0
    memory_fault: str | None = None
    faults: Faults = field(default_factory=Faults)
    starts: int = 0
    start_failures: int = 0
    session_fault: str | None = None
    member_fault: str | None = None
    member_published: float | None = None
    member_said: MemberRecord | None = None
    take_refused: float | None = None
    promotion_failed: bool = False
    released_for: str = ""
    stopped_for: str = ""
    request_refused: int | None = None
    history: tuple[int, bool] = (0, False)
    history_fault: str = ""
    stop_requested: str | None = None
    stop_since: float = 0.0
    shut: bool = False
    inflight: frozenset[Slot] = frozenset()
    tried: Mapping[Slot, float] = field(default_factory=dict, hash=False)


def first_state(policy: Policy, identity: Identity, now: float, term: int, session: str) -> NodeState:
    """A supervisor as it starts, ``now`` in boottime seconds.

    ``term`` and ``session`` are what this host has on its disk; the lock may still be booked on that session.
    """
    why = Giveup("left over from an earlier life of this supervisor", fault=False)
    ghost = Ghost(session, term, why, leftover=True) if session else None
    return NodeState(policy, identity, now, term_seen=term, term_stored=term, ghost=ghost)


def last_tried(state: NodeState, slot: Slot) -> float:
    """When an action was last begun in this slot; minus infinity if never."""
    return state.tried.get(slot, float("-inf"))


def spend(state: NodeState, session: str) -> NodeState:
    """The state after a release under ``session`` was, or may have been, asked for."""
    if state.session is None or state.session.id != session:
        return state
    return replace(state, session=replace(state.session, spent=True))


def label(state: NodeState) -> State:
    """The state's name, derived from the facts, so that it cannot disagree with them."""
    child = state.child
    if state.lease is not None or (child is not None and child.keyed):
        return State.SHUTDOWN if state.stop_requested else State.VALIDATING
    if state.stop_requested:
        return State.SHUTDOWN
    if child is None or child.status is None or not child.identified or child.stopping or child.killed:
        return State.STARTUP
    if not child.synced:
        return State.SYNCING
    if state.session is None or not state.session.ready:
        return State.REGISTERING
    return State.VOTING


def phase(state: NodeState) -> Phase:
    """The sub-phase of Validating."""
    child = state.child
    if state.lease is None and not (child is not None and child.keyed):
        return Phase.NONE
    if child is not None and child.keyed and child.killed:
        return Phase.FENCING
    if state.giveup is not None or (child is not None and child.keyed and child.stopping):
        return Phase.DEMOTING
    if child is not None and child.key_live:
        return Phase.ACTIVE
    return Phase.PROMOTING
