# SPDX-License-Identifier: Apache-2.0
"""A user's session from end to end: stop, restart, kill, restart; nobody is left without a healthy node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.scenario import LAW, POLICY, Stage, boottime, mark, ready, release_bound, single, told_since
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.wait import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("session"), FleetSpec()) as made:
        yield made


def rejoin(stage: Stage, node: FleetNode, holder: FleetNode) -> None:
    """Restarted, the node becomes a ready standby with one start of neard, and the holder stays the holder."""
    term, start = stage.term(), mark(node)
    node.start()
    eventually(lambda: ready(node), POLICY.start_timeout, f"{node.name} is a ready standby")
    told_since(node, start, f"standby: {holder.name} holds the lock in term {term}")
    assert (stage.holder().name, stage.term()) == (holder.name, term)
    assert node.exporter.healthy()
    assert node.metrics().value("kuutamod_neard_restarts") == 0.0
    said = node.log_text()[start:]
    assert "Traceback" not in said
    assert "panicked" not in said
    assert "neard failed" not in said


def test_a_users_session(stage: Stage) -> None:
    first = stage.healthy()
    assert len(stage.fleet.standbys(first)) == 2

    # Ctrl-C or `systemctl stop` of the holder: neard ends in peace, a standby signs at once.
    start, at = mark(first), boottime()
    assert first.stop() == 0
    second, interval = stage.taken_over(first, POLICY.stop_grace + release_bound())
    assert interval.loaded_at - at <= POLICY.stop_grace + release_bound()
    told_since(first, start, "released the lock: stopped: SIGTERM")
    second.wait_state("Validating", release_bound())
    rejoin(stage, first, second)

    # kill -9 of the holder's supervisor: the guard ends neard and hands the lock back.
    at = boottime()
    second.kill_supervisor()
    third, interval = stage.taken_over(second, LAW.kill_budget + release_bound())
    assert interval.loaded_at - at <= LAW.kill_budget + release_bound()
    ended = stage.ended(second, LAW.kill_budget)
    assert ended.how == "died"
    third.wait_state("Validating", release_bound())
    # Restarted beside what the killed life may have left, as systemd does: no crash on data/LOCK.
    rejoin(stage, second, third)

    assert [node.state() for node in stage.fleet.standbys(third)] == ["Voting", "Voting"]
    stage.safe()
