# SPDX-License-Identifier: Apache-2.0
"""The rules of the simulated chain."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neard_standin.ledger import Duty, Kind, Ledger, Validator

_SEATS = tuple(Validator(f"v{number}", f"ed25519:{number}", virtual=number > 0) for number in range(4))


def _ledger(block_time_ms: int = 600, count: int = 4, genesis: float = 1000.0) -> Ledger:
    return Ledger(Path("unused"), genesis, block_time_ms, 10, "test", 83, _SEATS[:count])


def test_created_ledger_opens_equal(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "ledger", block_time_ms=250, epoch_length=7, validators=_SEATS)
    assert Ledger.open(tmp_path / "ledger") == ledger
    assert ledger.journal_path.read_bytes() == b""


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"validators": ()}, "at least one"),
        ({"validators": (_SEATS[0], _SEATS[0])}, "twice"),
        ({"validators": _SEATS, "block_time_ms": 0}, "positive"),
    ],
)
def test_impossible_ledgers_are_refused(tmp_path: Path, settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Ledger.create(tmp_path, **settings)  # type: ignore[arg-type]


def test_existing_ledger_is_not_overwritten(tmp_path: Path) -> None:
    Ledger.create(tmp_path, validators=_SEATS)
    with pytest.raises(FileExistsError, match=r"ledger\.json"):
        Ledger.create(tmp_path, validators=_SEATS)


def test_damaged_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text('{"genesis_boottime": 1}')
    with pytest.raises(ValueError, match=r"ledger\.json"):
        Ledger.open(tmp_path)


@given(
    height=st.integers(0, 10**7), block_time_ms=st.integers(1, 5000), genesis=st.floats(0, 10**7), part=st.floats(0, 0.9)
)
def test_slot_boundaries_agree_with_heights(height: int, block_time_ms: int, genesis: float, part: float) -> None:
    ledger = _ledger(block_time_ms, genesis=genesis)
    start = ledger.start_of(height)
    assert ledger.height_at(start) == height
    inside = start + part * ledger.block_time
    if inside < ledger.start_of(height + 1):
        assert ledger.height_at(inside) == height


def test_height_before_genesis_is_0() -> None:
    assert _ledger().height_at(1.0) == 0


@given(count=st.integers(1, 4), first=st.integers(0, 50), length=st.integers(0, 50))
def test_every_height_has_one_block_and_one_chunk_and_all_endorse(count: int, first: int, length: int) -> None:
    ledger = _ledger(count=count)
    for height in range(first, first + length):
        kinds = Counter(kind for seat in ledger.validators for kind in ledger.duties_at(seat.account_id, height))
        assert kinds == {Kind.BLOCK: 1, Kind.CHUNK: 1, Kind.ENDORSEMENT: count}


@given(count=st.integers(1, 4), first=st.integers(0, 50), length=st.integers(0, 50), kind=st.sampled_from(Kind))
def test_heights_of_a_kind_are_the_expected_duties(count: int, first: int, length: int, kind: Kind) -> None:
    ledger = _ledger(count=count)
    for seat in ledger.validators:
        duties = ledger.expected_duties(seat.account_id, first, first + length)
        expected = [duty.height for duty in duties if duty.kind is kind]
        assert list(ledger.heights_of(seat.account_id, kind, first, first + length)) == expected


def test_expected_duties_are_half_open() -> None:
    assert _ledger().expected_duties("v1", 3, 5) == (
        Duty(3, Kind.CHUNK),
        Duty(3, Kind.ENDORSEMENT),
        Duty(4, Kind.ENDORSEMENT),
    )


def test_stranger_has_no_duties_and_no_key() -> None:
    ledger = _ledger()
    assert ledger.expected_duties("stranger", 0, 10) == ()
    assert ledger.on_chain_key("stranger") is None
    assert ledger.on_chain_key("v2") == "ed25519:2"
