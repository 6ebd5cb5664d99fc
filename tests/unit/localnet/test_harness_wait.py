# SPDX-License-Identifier: Apache-2.0
"""eventually(): the one way tests wait."""

from __future__ import annotations

import pytest

from kuutamo_localnet.wait import eventually


def test_returns_the_first_true_value() -> None:
    values = iter([0, "", None, "there"])
    assert eventually(lambda: next(values), 5, "a value", interval=0) == "there"


def test_an_exception_of_the_predicate_means_not_yet() -> None:
    answers: list[object] = [ConnectionError("starting"), 7]

    def ask() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert eventually(ask, 5, "an answer", interval=0) == 7


def test_names_what_was_awaited_and_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"a leader; last value: \[\]"):
        eventually(list, 0, "a leader")


def test_keeps_the_last_exception_as_cause() -> None:
    def ask() -> bool:
        raise ConnectionRefusedError("port 1")

    with pytest.raises(AssertionError, match="port 1") as caught:
        eventually(ask, 0, "an answer")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
