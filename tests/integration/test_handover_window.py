# SPDX-License-Identifier: Apache-2.0
"""A handover in a maintenance window, on a chain with many validators: no block and no chunk is missed."""

from __future__ import annotations

import pytest

from integration.operator_line import ctl, request
from integration.scenario import SHORT_HOLD_OFF, Stage, rested, single
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import Step
from neard_standin.ledger import Kind
from neard_standin.procfs import boottime

pytestmark = pytest.mark.integration


def missed(stage: Stage, begin: int, end: int) -> list[tuple[int, Kind]]:
    """Blocks and chunks that were due at begin <= height < end and were not signed."""
    ledger, account = stage.fleet.referee.ledger, stage.account
    due = {(height, kind) for kind in (Kind.BLOCK, Kind.CHUNK) for height in ledger.heights_of(account, kind, begin, end)}
    done = {(record.height, record.kind) for record in stage.fleet.referee.signatures(account)}
    return sorted(due - {(height, kind) for height, kind in done if height is not None and kind is not None})


def test_a_window_is_waited_for_and_costs_no_block_and_no_chunk(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Of 16 validators each has its block and its chunk eight heights apart.
    spec = FleetSpec(others=15, environment=SHORT_HOLD_OFF)
    with single(tmp_path_factory.mktemp("window"), spec) as stage:
        holder = rested(stage)
        ledger = stage.fleet.referee.ledger
        for _unused in range(2):
            before = ledger.height_at(boottime())
            done = ctl(stage, "handover", "--at", "window", "--min-window", "6", "--timeout", "60")
            assert done.returncode == 0, done.stdout + done.stderr
            assert "endorsements" in done.stdout
            after = ledger.height_at(boottime())
            assert stage.holder() is not holder
            eventually(lambda end=after + 18: ledger.height_at(boottime()) > end, 60, "a whole round has passed")  # type: ignore[misc]
            assert missed(stage, before, after + 17) == []
            asked = request(stage)
            assert asked is not None
            assert asked.marked(Step.WAITING) is not None or asked.marked(Step.CONFIRMED) is not None
            holder = rested(stage)
        stage.safe()
