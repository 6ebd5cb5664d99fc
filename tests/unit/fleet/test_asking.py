# SPDX-License-Identifier: Apache-2.0
"""To whom a handover goes, and why it can't, before anything happens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamod.consul.overview import Overview, Unread
from kuutamod.core.protocol import Ask, FleetConfig, Outcome, Request
from kuutamod.fleet.asking import Aim, Refusal, Wish, aim, holder_of, settled
from unit.cli.fleets import NOW, WELL, changed

FIT = {"promotion": "hot-swap", "fingerprint": "ed25519:validator"}
FLEET = changed(changed(changed(WELL, 0, **FIT), 1, **FIT), 2, **FIT)
assert not isinstance(FLEET.lock, Unread)


def test_the_best_standby_is_chosen_and_named_with_the_reason() -> None:
    found = aim(changed(FLEET, 2, priority=70, eligible=True, ineligible=()), Wish())
    assert isinstance(found, Aim)
    assert (found.node, found.term) == ("node-c", 42)
    assert "priority 70" in found.why


def test_who_is_eligible_goes_before_who_is_only_not_unfit() -> None:
    settling = {"priority": 90, "eligible": False, "ineligible": ("settling",)}
    found = aim(changed(FLEET, 2, **settling), Wish())
    assert isinstance(found, Aim)
    assert (found.node, found.why) == ("node-b", "the only standby that can take over")
    alone = aim(changed(changed(FLEET, 1, ineligible=("syncing",), eligible=False), 2, **settling), Wish())
    assert isinstance(alone, Aim)
    assert (alone.node, alone.why) == (
        "node-c",
        "the only standby that can take over (not eligible by itself: settling)",
    )
    paused = changed(changed(FLEET, 1, ineligible=("paused",), eligible=False), 2, ineligible=("paused",), eligible=False)
    both = aim(paused, Wish())
    assert isinstance(both, Aim)
    assert "the best of node-b, node-c" in both.why
    named = aim(changed(FLEET, 2, **settling), Wish(to="node-c"))
    assert isinstance(named, Aim)


def test_a_named_candidate_is_taken_as_it_is_asked_for() -> None:
    found = aim(FLEET, Wish(to="node-b"))
    assert isinstance(found, Aim)
    assert (found.holder.node_id, found.node) == ("node-a", "node-b")


@pytest.mark.parametrize(
    ("overview", "wish", "why"),
    [
        (FLEET, Wish(to="node-x"), "there is no node node-x; known are node-b, node-c"),
        (FLEET, Wish(to="node-a"), "node-a holds the lock already"),
        (FLEET, Wish(expect="node-b"), "node-a holds the lock, not node-b"),
        (replace(FLEET, lock=replace(FLEET.lock, session=None)), Wish(), "no live node holds the lock"),
        (replace(FLEET, lock=Unread("denied")), Wish(), "the lock can't be read: denied"),
        (replace(FLEET, members=Unread("denied")), Wish(), "the nodes' records can't be read: denied"),
        (replace(FLEET, config=FleetConfig(no_takeover=("node-b",))), Wish(to="node-b"), "node-b is drained"),
        (changed(FLEET, 1, promotion="restart"), Wish(to="node-b"), "--allow-restart"),
        (changed(FLEET, 1, fingerprint="ed25519:other"), Wish(to="node-b"), "another validator key"),
        (changed(FLEET, 1, eligible=False, ineligible=("syncing",)), Wish(to="node-b"), "not eligible: syncing"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(overview: object, wish: Wish, why: str) -> None:
    found = aim(overview, wish)  # type: ignore[arg-type]
    assert isinstance(found, Refusal)
    assert why in found.why


def test_a_candidate_may_restart_if_the_operator_says_so() -> None:
    assert isinstance(aim(changed(FLEET, 1, promotion="restart"), Wish(to="node-b", allow_restart=True)), Aim)


def test_a_lock_that_has_just_moved_is_looked_at_again() -> None:
    assert not isinstance(FLEET.lock, Unread)
    assert FLEET.lock.record is not None
    moved = replace(FLEET, lock=replace(FLEET.lock, record=replace(FLEET.lock.record, node_id="node-b")))
    found = holder_of(moved, "")
    assert isinstance(found, Refusal)
    assert "just now" in found.why


ASKED = Request("r1", Ask.HANDOVER, "node-a", 41, issued=NOW, expires=NOW + 60, node="node-b")


@pytest.mark.parametrize(
    ("request_", "overview", "expected"),
    [
        (replace(ASKED, node="node-a", holder="node-b"), FLEET, (Outcome.DONE, "node-a validates in term 42")),
        (ASKED, FLEET, (Outcome.ROLLED_BACK, "node-b did not take the lock; node-a validates in term 42")),
        (replace(ASKED, term=42), FLEET, None),
        (ASKED, changed(FLEET, 0, phase="promoting"), None),
        (ASKED, replace(FLEET, lock=Unread("denied")), None),
        (replace(ASKED, ask=Ask.RESTART), FLEET, None),
    ],
)
def test_what_nobody_told_is_read_off_the_lock_where_it_shows(
    request_: Request, overview: Overview, expected: tuple[Outcome, str] | None
) -> None:
    assert settled(overview, request_) == expected
