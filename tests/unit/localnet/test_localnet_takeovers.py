# SPDX-License-Identifier: Apache-2.0
"""The referee's findings in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from kuutamo_localnet.takeovers import Judge, takeovers, unsigned_for, verdict_line
from neard_standin.journal import Event, JournalWriter, Record
from neard_standin.ledger import Ledger, Validator
from neard_standin.procfs import boottime, own_process
from neard_standin.referee import Referee
from neard_standin.verdict import KeyInterval

NAMES = {Path("/a"): "node0", Path("/b"): "node1"}


def interval(home: str, loaded_at: float, ended_at: float | None) -> KeyInterval:
    return KeyInterval(home, 1, 1, "fleet.near", "ed25519:key", loaded_at, loaded_at, ended_at)


def test_each_load_of_the_key_is_told_with_the_gap_before_it() -> None:
    held = [interval("/a", 10.0, 20.0), interval("/b", 20.5, 30.0), interval("/b", 33.0, None), interval("/c", 40.0, None)]
    found = takeovers(held, NAMES)
    assert [(each.node, each.before, each.gap) for each in found] == [
        ("node0", None, None),
        ("node1", "node0", 0.5),
        ("node1", "node1", 3.0),
        ("/c", "node1", 0.0),
    ]
    assert found[0].text().endswith("  node0 is the first to sign")
    assert found[1].text().endswith("  node1 took over from node0 after 0.50 s without a signer")
    assert found[2].text().endswith("  node1 signs again after 3.00 s without a signer")


def test_nobody_signs_only_between_two_holders() -> None:
    assert unsigned_for([], 100.0) is None
    assert unsigned_for([interval("/a", 10.0, None)], 100.0) is None
    assert unsigned_for([interval("/a", 10.0, 20.0), interval("/b", 15.0, 30.0)], 100.0) == 70.0


def test_the_verdict_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.create(tmp_path / "ledger", validators=[Validator("fleet.near", "ed25519:key")])
    journal = JournalWriter(ledger.journal_path)
    me = own_process()

    def load(starttime: int) -> None:
        journal.append(
            Record(
                Event.KEY_LOADED,
                boottime(),
                me.pid,
                starttime,
                "/a",
                "node",
                account="fleet.near",
                public_key="ed25519:key",
            )
        )

    with Referee(ledger.path) as referee:
        judge = Judge(referee, "fleet.near")
        assert verdict_line(judge.verdict()) == "referee: safe; overlaps 0, signed twice 0, duties missed 0 of 0"
        load(me.starttime)
        monkeypatch.setattr("kuutamo_localnet.takeovers.FRESHEST", 1e9)
        referee.wait_for(lambda each: each.intervals(), 20)
        assert len(judge.verdict(fresh=True).intervals) == 1
        load(me.starttime + 1)
        referee.wait_for(lambda each: len(each.intervals()) == 2, 20)
        # Not due again for a long time, so the last one is shown.
        assert len(judge.verdict().intervals) == 1
        assert len(judge.intervals()) == 2
