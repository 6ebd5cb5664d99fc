# SPDX-License-Identifier: Apache-2.0
"""The chain as a node derives it from ledger and journal, and the routing model on top."""

from __future__ import annotations

from pathlib import Path

import pytest

from neard_standin.chain import ChainView, Load, Tally
from neard_standin.journal import Event, JournalWriter, Record
from neard_standin.ledger import Kind, Ledger, Validator
from neard_standin.procfs import ProcessId, own_process
from neard_standin.routing import route

_KEY = "ed25519:real"
_US = own_process()
_STRANGER = ProcessId(1, 0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Blocks alternate between a real validator (even heights) and a virtual one; slot h begins at 100 + h."""
    seats = [Validator("real", _KEY), Validator("virtual", "ed25519:v", virtual=True)]
    return Ledger.create(tmp_path / "ledger", block_time_ms=1000, epoch_length=10, validators=seats, genesis_boottime=100)


def _append(ledger: Ledger, event: Event, at: float, process: ProcessId = _US, **details: object) -> None:
    writer = JournalWriter(ledger.journal_path)
    record = Record(event, at, process.pid, process.starttime, "/h", "node", "real", _KEY, **details)  # type: ignore[arg-type]
    writer.append(record)
    writer.close()


def _sign(ledger: Ledger, height: int, kind: Kind = Kind.BLOCK) -> None:
    _append(ledger, Event.SIGNATURE, ledger.start_of(height), height=height, kind=kind)


def test_height_without_its_producers_signature_is_skipped(ledger: Ledger) -> None:
    chain = ChainView(ledger)
    assert chain.head(101.5) == 1
    assert chain.head(102.5) == 1
    _sign(ledger, 2)
    assert chain.head(102.5) == 2
    assert chain.author(2) is not None
    assert chain.head(104.5) == 3
    assert chain.author(4) is None


def test_endorsements_do_not_make_a_block(ledger: Ledger) -> None:
    _sign(ledger, 2, Kind.ENDORSEMENT)
    assert ChainView(ledger).head(102.5) == 1


def test_tally_counts_an_epoch(ledger: Ledger) -> None:
    for height in (2, 4, 12):
        _sign(ledger, height)
    chain = ChainView(ledger)
    head = chain.head(113.5)
    assert head == 13
    assert chain.tally("real", Kind.BLOCK, 0, head) == Tally(produced=2, expected=4)
    assert chain.tally("real", Kind.BLOCK, 1, head) == Tally(produced=1, expected=2)
    assert chain.tally("virtual", Kind.BLOCK, 0, head) == Tally(produced=5, expected=5)
    assert chain.tally("stranger", Kind.BLOCK, 0, head) == Tally(0, 0)


def test_live_holders_are_those_that_run_and_hold(ledger: Ledger) -> None:
    chain = ChainView(ledger)
    dead = ProcessId(_US.pid, _US.starttime - 1)
    _append(ledger, Event.KEY_LOADED, 100.0)
    _append(ledger, Event.KEY_LOADED, 100.0, dead)
    assert chain.live_holders(_KEY, apart_from=_STRANGER) == (_US,)
    assert chain.live_holders(_KEY, apart_from=_US) == ()
    assert chain.live_holders("ed25519:other", apart_from=_STRANGER) == ()
    _append(ledger, Event.KEY_UNLOADED, 101.0)
    assert chain.live_holders(_KEY, apart_from=_STRANGER) == ()


_OLD = Load(ProcessId(1, 1), "old", 0.0)
_NEW = Load(ProcessId(2, 2), "new", 100.0)


@pytest.mark.parametrize(
    ("now", "old_lives", "expected"),
    [(5.0, True, None), (50.0, True, "old"), (109.0, True, "old"), (111.0, True, "new"), (121.0, True, "old"),
     (121.0, False, "new")],
)  # fmt: skip
def test_demoted_but_running_node_takes_the_route_back(now: float, old_lives: bool, expected: str | None) -> None:
    assert route((_OLD, _NEW), now, lambda process: process == _NEW.process or old_lives) == expected
