# SPDX-License-Identifier: Apache-2.0
"""Consul is restored from an old snapshot under a living fleet: nobody signs until an operator confirms."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.consul_stages import no_ghost, notice_bound, on_one_server, spec, stays
from integration.scenario import BUSY, LAW, POLICY, Stage, boottime, release_bound, steal_bound, told
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.fleet_plan import installed

pytestmark = pytest.mark.integration


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with on_one_server(tmp_path / "stage", spec()) as stage:
        yield stage


def test_restored_snapshot_with_a_lower_term_keeps_all_passive_until_confirmed(stage: Stage, tmp_path: Path) -> None:
    assert isinstance(stage.consul, ConsulServer)
    first = stage.healthy()
    old_term = stage.term()
    stage.consul.snapshot_save(tmp_path / "snapshot")
    first.stop()
    second, _unused = stage.taken_over(first, release_bound() + BUSY)
    assert stage.healthy() is second
    assert stage.term() == old_term + 1

    stage.consul.snapshot_restore(tmp_path / "snapshot")
    restored_at = boottime()
    ended_at = stage.ended(second, notice_bound() + BUSY).ended_at
    assert ended_at is not None
    assert ended_at <= restored_at + notice_bound()
    told(second, "fence: killing neard", "Consul says the lock is not ours")
    for node in stage.fleet.standbys(first):
        told(node, "not eligible", f"term {old_term} is lower than {old_term + 1}", "kuutamoctl confirm")

    def passive() -> bool:
        return stage.fleet.referee.current_holder(stage.account) is None and stage.term() == old_term

    past_guard_time = restored_at + LAW.guard_time + POLICY.reread_interval + LAW.request_deadline
    stays(passive, past_guard_time - boottime(), "nobody takes the lock of an older term")

    arguments = ["confirm", "--yes", "--account-id", stage.account, "--consul-url", stage.consul.url]
    confirm = [str(installed("kuutamoctl")), *arguments]
    said = subprocess.run(confirm, timeout=BUSY, check=True, capture_output=True, text=True).stdout
    assert f"in term {old_term} " in said
    # The restored session of the first holder may still have to expire, which moves the index once more.
    within = 2 * LAW.session_ttl + POLICY.member_interval + steal_bound()
    third = stage.holder(within + BUSY)
    assert stage.last_interval(third).loaded_at <= restored_at + LAW.guard_time + within
    assert stage.term() > old_term + 1
    assert stage.healthy() is third
    no_ghost(stage, third)
    stage.safe()
