# SPDX-License-Identifier: Apache-2.0
"""Reading the exporter's text."""

from __future__ import annotations

import pytest

from kuutamo_localnet.exporter import Metrics

TEXT = """\
# HELP kuutamod_state State of the node
# TYPE kuutamod_state gauge
kuutamod_state{type="Startup"} 0
kuutamod_state{type="Validating"} 1
kuutamod_uptime 81917
odd{a="x\\"y, z}",b="q"} 1.5e3 1700000000000
"""


def test_values_labels_and_state() -> None:
    metrics = Metrics.parse(TEXT)
    assert metrics.value("kuutamod_uptime") == 81917
    assert metrics.value("odd", a='x"y, z}', b="q") == 1500
    assert metrics.by_label("kuutamod_state", "type") == {"Startup": 0, "Validating": 1}
    assert metrics.state() == "Validating"
    with pytest.raises(KeyError):
        metrics.value("odd", a="x")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('kuutamod_state{type="A"} 1\nkuutamod_state{type="B"} 1\n', r"1 for \['A', 'B'\]"),
        ('kuutamod_state{type="A"} 0\n', "1 for no state"),
    ],
)
def test_anything_but_one_state_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Metrics.parse(text).state()


def test_a_line_that_is_no_sample_is_an_error() -> None:
    with pytest.raises(ValueError, match="<html>"):
        Metrics.parse("<html>\n")
