# SPDX-License-Identifier: Apache-2.0
"""Fleets made by hand, as an operator's view reads them from Consul."""

from __future__ import annotations

from dataclasses import replace

from kuutamod.consul.health import ConsulHealth
from kuutamod.consul.maintenance import Maintenance
from kuutamod.consul.overview import Overview
from kuutamod.core.events import SeenMember
from kuutamod.core.model import LockView
from kuutamod.core.protocol import (
    Ask,
    FleetConfig,
    LockRecord,
    MaintenanceRecord,
    Mark,
    MemberRecord,
    Outcome,
    Pause,
    Request,
    Step,
    TermRecord,
)

NOW = 1_800_000_000.0
"""2027-01-15 08:00:00 UTC."""

RECORD = LockRecord("host-a", "node-a", 42, guard_time=9.0, phase="active", last_height=123_456_789)
HOLDER = MemberRecord(
    "node-a",
    "host-a",
    "life-a",
    state="Validating",
    phase="active",
    term_seen=42,
    height=123_456_789,
    peers=31,
    priority=100,
    neard_version="2.10.0",
    protocol=84,
    latest_protocol=85,
    kuutamod_version="0.1.0",
    address="10.0.0.1:2233",
)
STANDBY = replace(
    HOLDER,
    node_id="node-b",
    hostname="host-b",
    state="Voting",
    phase="",
    height=123_456_788,
    peers=28,
    priority=50,
    eligible=True,
)
SYNCING = replace(
    STANDBY,
    node_id="node-c",
    hostname="host-c",
    state="Syncing",
    height=123_400_000,
    peers=0,
    priority=0,
    eligible=False,
    ineligible=("syncing", "few-peers"),
)
PRESENT = TermRecord(
    42, "node-a", NOW - 7380, since=NOW - 7379, cause="handover", began="asked for: update of node-b", gap=0.83, by="alice"
)
PAST = TermRecord(
    41,
    "node-b",
    NOW - 90_000,
    since=NOW - 89_999,
    until=NOW - 7381,
    cause="steal",
    began="its holder was silent",
    ended="handed over to node-a",
    gap=9.1,
    first_height=123_300_001,
    last_height=123_440_000,
)
WELL = Overview(
    account_id="pool.near",
    lock=LockView(9, "session-a", RECORD),
    members=(
        SeenMember(HOLDER, "session-a", 5),
        SeenMember(STANDBY, "session-b", 6),
        SeenMember(SYNCING, "session-c", 7),
    ),
    config=FleetConfig(),
    request=None,
    history=(PRESENT, PAST),
    consul=ConsulHealth("10.0.0.1:8300", 3, 3, 1),
)
MAINTENANCE = Maintenance("session-m", 8, MaintenanceRecord("alice@desk", NOW - 300, "kernel update"))
PAUSE = Pause(NOW + 750, by="alice", reason="kernel update")
REQUEST = Request(
    "r1",
    Ask.HANDOVER,
    "node-a",
    42,
    NOW - 12,
    NOW + 48,
    node="node-b",
    when="window",
    by="alice",
    reason="update",
    marks=(Mark(Step.PLANNED, NOW - 11), Mark(Step.WAITING, NOW - 5, "next at 123456900")),
)
DONE = replace(REQUEST, outcome=Outcome.DONE, marks=(Mark(Step.DONE, NOW - 120),))


def free(record: LockRecord | None) -> LockView:
    """The lock with this value, held by nobody."""
    return LockView(9, None, record)


def silent(member: SeenMember) -> SeenMember:
    """The same record without a session."""
    return replace(member, session=None)


def changed(overview: Overview, number: int, **changes: object) -> Overview:
    """The fleet with another record of its member ``number``."""
    assert isinstance(overview.members, tuple)
    members = list(overview.members)
    members[number] = replace(members[number], record=replace(members[number].record, **changes))  # type: ignore[arg-type]
    return replace(overview, members=tuple(members))
