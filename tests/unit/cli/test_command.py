# SPDX-License-Identifier: Apache-2.0
"""What a failed question to Consul becomes: words and exit code."""

from __future__ import annotations

import pytest

from kuutamod.cli import kuutamoctl
from kuutamod.cli.command import failure
from kuutamod.consul import leader
from kuutamod.consul.faults import ELSEWHERE, ConsulError, Fault


@pytest.mark.parametrize(
    ("fault", "text", "code"),
    [
        (Fault.CONFLICT, "refused: why", 1),
        (Fault.FORBIDDEN, "Consul refuses: why", 3),
        *((fault, "Consul can't be asked: why", 3) for fault in sorted(ELSEWHERE, key=lambda fault: fault.value)),
    ],
)
def test_a_fault_in_words_and_as_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: Fault, text: str, code: int
) -> None:
    assert failure(ConsulError(fault, "why")) == (text, code)

    def fail(*_unused: object) -> None:
        raise ConsulError(fault, "why")

    monkeypatch.setattr(leader, "active_validator", fail)
    assert kuutamoctl.main(["active-validator"]) == code
    assert capsys.readouterr().err == f"kuutamoctl: {text}\n"
