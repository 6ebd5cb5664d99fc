# SPDX-License-Identifier: Apache-2.0
"""What programs are told of a term."""

from __future__ import annotations

from kuutamod.core.protocol import TermRecord


def test_what_is_known_is_told_as_it_is() -> None:
    record = TermRecord(5, "b", 1.0, 2.0, 3.0, "release", "began", "ended", True, 0.0, 10, 20, "eve@desk")
    assert record.told() == vars(record)


def test_what_is_not_known_is_null_and_never_a_number_that_looks_like_one() -> None:
    told = TermRecord(5, "b", taken=0.0).told()
    unknown = {"taken", "since", "until", "gap", "first_height", "last_height", "by"}
    assert {name for name, value in told.items() if value is None} == unknown
    assert (told["term"], told["node"], told["fault"], told["ended"]) == (5, "b", False, "")


def test_the_first_term_of_all_waited_for_nobody() -> None:
    assert TermRecord(1, "a", taken=1.0, gap=0.0).told()["gap"] == 0.0
