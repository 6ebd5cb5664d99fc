# SPDX-License-Identifier: Apache-2.0
"""Schedules that once broke a rule do so no more, and still do where the fault is put back."""

from __future__ import annotations

import pytest

from simulation import scripts
from simulation.__main__ import main
from simulation.faults import Fault, Kind
from simulation.mutants import MUTANTS
from simulation.run import run
from simulation.scripts import Kept
from simulation.shrink import shrink

FLEETS = 100


@pytest.mark.parametrize("kept", scripts.every(), ids=lambda kept: kept.name)
def test_what_once_broke_holds(kept: Kept) -> None:
    outcome = run(kept.seed, kept.faults)
    assert (outcome.broken, outcome.text) == ("", "")


@pytest.mark.parametrize("kept", [kept for kept in scripts.every() if kept.mutant], ids=lambda kept: kept.name)
def test_and_breaks_again_with_the_fault_put_back(kept: Kept) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == kept.mutant)
    # Rules that have changed since may need another fleet than the one on which it was found.
    fleets = range(kept.seed, kept.seed + FLEETS)
    assert any(run(seed, kept.faults, mutant, kept.broke).broken == kept.broke for seed in fleets)


def test_a_schedule_survives_its_file(tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "FOLDER", tmp_path)
    kept = Kept("one", 7, "two signers", "a and b", "", (Fault(1.25, Kind.CUT, -1, 2.5, 0.125),))
    assert scripts.load(scripts.save(kept)) == kept


def test_a_faulty_file_is_named() -> None:
    with pytest.raises(ValueError, match=r"conftest\.py: not a schedule"):
        scripts.load(scripts.FOLDER.parent.parent / "conftest.py")


def test_shrinking_keeps_what_matters_and_nothing_else() -> None:
    def fault(kind: Kind) -> Fault:
        return Fault(1.0, kind, 0, 20.0, 0.5)

    script = tuple(fault(kind) for kind in Kind)

    def breaks(candidate: tuple[Fault, ...]) -> bool:
        kinds = {each.kind for each in candidate}
        return {Kind.CUT, Kind.RESTORE} <= kinds and any(f.kind is Kind.CUT and f.seconds >= 2 for f in candidate)

    found = shrink(script, breaks)
    assert {each.kind: each.seconds for each in found} == {Kind.CUT: 2.0, Kind.RESTORE: 0.5}


def test_a_kept_schedule_is_told_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "rust-product-network-split"]) == 1
    assert "could both sign" in capsys.readouterr().out
    assert main(["show", "no-such-schedule"]) == 2
    assert "no-such-schedule.json" in capsys.readouterr().err
