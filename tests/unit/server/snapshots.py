# SPDX-License-Identifier: Apache-2.0
"""Node states made by hand, one for each name and phase a node can have."""

from __future__ import annotations

from dataclasses import replace

from kuutamod.core.lease import Lease
from kuutamod.core.model import Child, Identity, NodeState, Phase, Policy, Role, Session, State, Status

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
