# SPDX-License-Identifier: Apache-2.0
"""Node states made by hand, one for each name and phase a node can have."""

from __future__ import annotations

from dataclasses import replace

from kuutamod.core.claim import Cause, Claim
from kuutamod.core.desk import Desk
from kuutamod.core.lease import Lease
from kuutamod.core.model import (
    Child,
    Identity,
    LockView,
    NodeState,
    Peer,
    Phase,
    Policy,
    Role,
    Session,
    State,
    Status,
    Watch,
)
from kuutamod.core.protocol import Ask, FleetConfig, LockRecord, Mark, MemberRecord, Pause, Request, Step
from kuutamod.server.view import View

STARTED = 100.0

IDENTITY = Identity(
    account_id="acct",
    node_id="a",
    hostname="host-a",
    life="life-a",
    home="/home/a",
    fingerprint="ed25519:validator",
    validator_account="acct",
    voter_node_key="ed25519:voter",
    validator_node_key="ed25519:validatornode",
    kuutamod_version="0.1.0",
)
STATUS = Status(4711, False, "ed25519:voter", None, None, "2.9.0", 77)
LEASE = Lease("session-a", term=5, proof=150.0, since=140.0)

FRESH = NodeState(Policy(), IDENTITY, STARTED)
RUNNING = Child(1, Role.VOTER, keyed=False, started=STARTED, pid=77, status=STATUS, answered=150.0, identified=True)
SYNCED = replace(RUNNING, synced=True)
KEYED = replace(SYNCED, keyed=True)

SYNCING = replace(FRESH, child=RUNNING, starts=1)
REGISTERING = replace(FRESH, child=SYNCED, starts=1)
VOTING = replace(REGISTERING, session=Session("session-a", 150.0, member=True))
PROMOTING = replace(VOTING, lease=LEASE, term_seen=5)
ACTIVE = replace(PROMOTING, child=replace(KEYED, key_live=True))
DEMOTING = replace(ACTIVE, child=replace(KEYED, key_live=True, stopping="handover"))
FENCING = replace(ACTIVE, child=replace(KEYED, killed="no proof", killed_at=160.0))
SHUTDOWN = replace(VOTING, stop_requested="SIGTERM")

BY_STATE = {
    State.STARTUP: FRESH,
    State.SYNCING: SYNCING,
    State.REGISTERING: REGISTERING,
    State.VOTING: VOTING,
    State.VALIDATING: ACTIVE,
    State.SHUTDOWN: SHUTDOWN,
}
BY_PHASE = {
    Phase.NONE: VOTING,
    Phase.PROMOTING: PROMOTING,
    Phase.ACTIVE: ACTIVE,
    Phase.DEMOTING: DEMOTING,
    Phase.FENCING: FENCING,
}

WALL = 1_700_000_000.0
"""Unix seconds when boottime was 0, as far as the supervisor knows."""
NOW = 151.0
HELD = LockRecord("host-b", "b", 4, guard_time=9.0, fingerprint="ed25519:validator", phase="active", last_height=4710)
MEMBERS = (
    Peer(MemberRecord("a", "host-a", "life-a", "Voting", eligible=True, height=4700), "session-a", 31, seen=148.0),
    Peer(MemberRecord("b", "host-b", "life-b", "Validating", "active", height=4711), "session-b", 32, seen=149.0),
    Peer(MemberRecord("c", "host-c", "life-c", ineligible=("syncing",)), None, 33, seen=110.0),
)
ANSWERED = replace(STATUS, peers=12, head_age=1.25, protocol=79, latest_protocol=80)
GOOD_CHILD = replace(SYNCED, status=ANSWERED, head_changed=150.5, answered=150.5, guard_asked=150.9)
WATCH = Watch(LockView(17, "session-b", HELD), first_seen=150.25, last_seen=150.75, since=110.0, largest_guard=9.0)
ELIGIBLE = replace(
    VOTING,
    child=GOOD_CHILD,
    fleet=FleetConfig(),
    fleet_read=149.0,
    wall=WALL,
    watch=WATCH,
    peers=MEMBERS,
    neard_version="2.9.0",
    term_seen=4,
)
"""A standby that nothing speaks against."""

CLAIM = Claim(Cause.STEAL, "b has not proved itself for the guard time", before=HELD, silent_since=131.0)
LIVE_CHILD = replace(GOOD_CHILD, keyed=True, key_live=True, key_live_since=142.5)
HOLDER = replace(
    ELIGIBLE,
    child=LIVE_CHILD,
    lease=replace(LEASE, claim=CLAIM, settled=True, floor=4710),
    term_seen=5,
)
"""Took the lock of term 5 from b, and validates."""

REQUEST = Request(
    "r1",
    Ask.HANDOVER,
    holder="b",
    term=4,
    issued=WALL + 140.0,
    expires=WALL + 200.0,
    node="a",
    by="eve@desk",
    reason="new disk",
    marks=(Mark(Step.PLANNED, WALL + 141.0), Mark(Step.CONFIRMED, WALL + 141.5, "ready")),
)
ASKED = replace(ELIGIBLE, desk=Desk(REQUEST, index=51, first_seen=141.0))
PAUSED = replace(ELIGIBLE, fleet=FleetConfig(pauses=(Pause(WALL + 181.0, "", "eve@desk", "new switch"),)))
DRAINED = replace(ELIGIBLE, fleet=FleetConfig(no_takeover=("a",)))


def view(state: NodeState, now: float = NOW, said: str = "") -> View:
    """What the exporter makes of a state; its wall clock agrees with the state's."""
    return View(state, now, WALL + now, said)
