# SPDX-License-Identifier: Apache-2.0
"""What the values of the options of an order may be."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from kuutamod.cli.arguments import parse
from kuutamod.cli.kuutamoctl import COMMANDS
from kuutamod.cli.order_options import blocks, moment, node, reason, seconds, span
from kuutamod.core.protocol import LONGEST_WORD
from kuutamod.settings import ConfigFaults


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (moment, "now", "now"),
        (moment, "window", "window"),
        (moment, "1", "1"),
        (moment, "999999999999", "999999999999"),
        (blocks, "1", 1),
        (blocks, "999999", 999_999),
        (seconds, "1", 1.0),
        (seconds, "0.5e1", 5.0),
        (seconds, "86400", 86400.0),
        (span, "1s", 1.0),
        (span, "90s", 90.0),
        (span, "30m", 1800.0),
        (span, "24h", 86400.0),
        (span, "86400s", 86400.0),
        (span, "1440m", 86400.0),
        (node, "node-a", "node-a"),
        (reason, "", ""),
        (reason, "x" * LONGEST_WORD, "x" * LONGEST_WORD),
    ],
)
def test_what_is_taken(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((moment, text) for text in ("", "0", "-1", "soon", "NOW", "1.5", "1000000000000", "\u0661", " 1", "9" * 5000)),
        *((blocks, text) for text in ("", "0", "-3", "1e3", "1000000", "\u00b2", "9" * 5000)),
        *((seconds, text) for text in ("", "0", "0.5", "-1", "86401", "nan", "inf", "1m")),
        *((span, text) for text in ("", "0s", "30", "m", "1d", "1.5h", "25h", "86401s", "1441m", "-5m", "\u0663m", "5 m")),
        *((node, text) for text in ("", " ")),
        (reason, "x" * (LONGEST_WORD + 1)),
    ],
)
def test_what_is_not(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        read(text)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["pause", "--node", ""], "argument --node: the name is empty"),
        (["resume", "--node="], "argument --node: the name is empty"),
        (["handover", "--to", ""], "argument --to: the name is empty"),
        (["handover", "--expect-holder", ""], "argument --expect-holder: the name is empty"),
        (["restart", ""], "argument NODE: the name is empty"),
        (["drain", ""], "argument NODE: the name is empty"),
        (["undrain", " "], "argument NODE: the name is empty"),
        *(
            ([*words, "--reason", "x" * 201], "argument --reason: it has 201 characters; at most 200 are kept")
            for words in (["handover"], ["restart", "n1"], ["drain", "n1"], ["pause"])
        ),
        (["drain", "n1", "--no-wait"], "unrecognized arguments: --no-wait"),
        (["--no-wait", "drain", "n1"], "--no-wait (flag): drain does not take it; it belongs to handover, restart"),
        (["pause", "--for", "25h"], "of 24h at most"),
    ],
)
def test_faults_name_the_option(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigFaults) as caught:
        parse(argv, COMMANDS, "about", "epilog")
    assert any(message in str(fault) for fault in caught.value.faults)
