# SPDX-License-Identifier: Apache-2.0
"""How well a fleet is: the rule behind the exit code of `kuutamoctl status`."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from kuutamod.consul.overview import Overview, Unread
from kuutamod.core import readiness
from kuutamod.core.model import LockView
from kuutamod.core.protocol import FleetConfig
from kuutamod.fleet.verdict import SOFT, Health, Holder, holder, verdict
from unit.cli.fleets import RECORD, WELL, changed, free, silent

assert isinstance(WELL.members, tuple)
A, B, C = WELL.members


@pytest.mark.parametrize(
    ("overview", "health", "text"),
    [
        (WELL, Health.WELL, "node-a holds the lock; node-b can take over"),
        (replace(WELL, members=(A, C)), Health.NO_STANDBY, "node-a holds the lock; no eligible standby"),
        (replace(WELL, members=(A, silent(B))), Health.NO_STANDBY, "node-a holds the lock; no eligible standby"),
        (
            replace(WELL, config=FleetConfig(no_takeover=("node-b",))),
            Health.NO_STANDBY,
            "node-a holds the lock; no eligible standby",
        ),
        (
            changed(WELL, 2, eligible=True),
            Health.WELL,
            "node-a holds the lock; node-b, node-c can take over",
        ),
        (replace(WELL, lock=free(RECORD)), Health.NO_HOLDER, "nobody holds the lock; node-b can take over"),
        (replace(WELL, lock=LockView(0)), Health.NO_HOLDER, "nobody holds the lock; node-b can take over"),
        (
            replace(WELL, members=(silent(A), B, C)),
            Health.NO_HOLDER,
            "node-a holds the lock, but has no live member record; node-b can take over",
        ),
        (
            replace(WELL, members=()),
            Health.NO_HOLDER,
            "node-a holds the lock, but has no live member record; no eligible standby",
        ),
        (
            replace(WELL, lock=LockView(9, "stranger", None)),
            Health.NO_HOLDER,
            "session stranger holds the lock, but has no live member record; node-b can take over",
        ),
        (replace(WELL, lock=Unread("denied")), Health.UNKNOWN, "the lock can't be read: denied"),
        (replace(WELL, members=Unread("denied")), Health.UNKNOWN, "the nodes' records can't be read: denied"),
        (
            changed(WELL, 0, phase="promoting"),
            Health.HOLDER_UNWELL,
            "node-a holds the lock, but does not validate: it is promoting; node-b can take over",
        ),
        (
            changed(WELL, 0, phase=""),
            Health.HOLDER_UNWELL,
            "node-a holds the lock, but does not validate: it is in no phase; node-b can take over",
        ),
        (
            changed(WELL, 0, ineligible=("no-answer", "frozen")),
            Health.HOLDER_UNWELL,
            "node-a holds the lock, but its neard has stopped answering and its neard's head does not move; node-b can "
            "take over",
        ),
        (
            changed(replace(WELL, members=(A, C)), 0, ineligible=("few-peers",)),
            Health.HOLDER_UNWELL,
            "node-a holds the lock, but its neard has too few peers; no eligible standby",
        ),
        # What else a holder's record has is no reason to get up at night.
        (changed(WELL, 0, ineligible=("drained", "paused")), Health.WELL, "node-a holds the lock; node-b can take over"),
        (
            changed(WELL, 1, eligible=False, ineligible=("settling", "lag")),
            Health.NO_STANDBY,
            "node-a holds the lock; no eligible standby, but node-b (settling, lag) would take the lock after its patience",
        ),
        (
            changed(WELL, 1, eligible=False, ineligible=("settling", "paused")),
            Health.NO_STANDBY,
            "node-a holds the lock; no eligible standby",
        ),
        # What does not decide it may be unreadable.
        (
            replace(WELL, config=Unread("x"), request=Unread("x"), history=Unread("x"), consul=Unread("x")),
            Health.WELL,
            "node-a holds the lock; node-b can take over",
        ),
    ],
)
def test_verdict(overview: Overview, health: Health, text: str) -> None:
    found = verdict(overview)
    assert (found.health, found.text) == (health, text)


def test_the_codes_are_those_of_the_documentation() -> None:
    assert {health.value: health.code for health in Health} == {
        "well": 0,
        "no-standby": 1,
        "holder-unwell": 1,
        "no-holder": 2,
        "unknown": 3,
    }


def test_the_reasons_that_only_make_a_node_wait_are_those_of_the_rules() -> None:
    calls = [each for each in ast.walk(ast.parse(Path(readiness.__file__).read_text())) if isinstance(each, ast.Call)]
    soft = [call.args[0] for call in calls if any(word.arg == "soft" for word in call.keywords)]
    assert {code.value if isinstance(code, ast.Constant) else readiness.NEW_WATCH for code in soft} == SOFT


def test_the_session_tells_who_holds_not_the_value() -> None:
    """A value may be an earlier holder's, or overwritten; the session is Consul's word."""
    assert holder(replace(WELL, lock=LockView(9, "session-b", RECORD))) == Holder("node-b", live=True)
    assert holder(replace(WELL, lock=LockView(9, "session-b", None))) == Holder("node-b", live=True)
    # Restarted: its new session is not the one on which the lock is still booked.
    restarted = replace(WELL, lock=LockView(9, "earlier", RECORD))
    assert holder(restarted) == Holder("node-a", live=False)
    assert verdict(restarted).health is Health.NO_HOLDER


def test_a_holder_is_no_standby_of_itself() -> None:
    alone = replace(changed(WELL, 0, eligible=True), members=changed(WELL, 0, eligible=True).members[:1])  # type: ignore[index]
    assert verdict(alone).health is Health.NO_STANDBY
