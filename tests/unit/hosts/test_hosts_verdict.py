# SPDX-License-Identifier: Apache-2.0
"""A verdict looked at from a moment on: its gaps and its missed duties."""

from __future__ import annotations

import json

from kuutamo_fleet.verdict import Finding
from neard_standin.ledger import Kind
from neard_standin.verdict import Gap, Miss, Verdict

MISSES = (Miss("a", 10, Kind.BLOCK, 6.0, True), Miss("a", 18, Kind.CHUNK, 10.8, False))
VERDICT = Verdict(20.0, (), (), (), (Gap("a", 4.0, 5.0), Gap("a", 10.5, 11.5)), 8, 2, {"block": 1, "chunk": 1}, MISSES)


def test_only_what_is_later_is_named() -> None:
    told = json.loads(json.dumps(Finding(VERDICT, since=6.0).to_json()))
    assert told["misses"] == [{"account": "a", "height": 18, "kind": "chunk", "at": 10.8, "held": False}]
    assert [gap["start"] for gap in told["gaps"]] == [10.5]
    assert told["missed"] == {"block": 1, "chunk": 1}, "the counts are of the whole story"


def test_all_is_named_without_a_moment() -> None:
    assert Finding(VERDICT).misses == MISSES
