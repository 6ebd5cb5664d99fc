# SPDX-License-Identifier: Apache-2.0
"""The operator's hooks on running nodes: they are told, may refuse the key, and delay nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.scenario import BUSY, SHORT_HOLD_OFF, Stage, mark, release_bound, rested, told_since, unmoved
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.fleet import Fleet
from kuutamo_localnet.fleet_node import FleetNode, Part
from kuutamo_localnet.fleet_plan import FleetSpec, NodeSite
from kuutamo_localnet.wait import eventually

pytestmark = pytest.mark.integration

HOOK = """#!/bin/sh
echo "$1 $2 $3 $4: $KUUTAMO_HOOK_REASON" >> {log}
[ "$1" = pre-promote ] && [ -e {signs}/veto-$2 ] && {{ echo "under maintenance"; exit 7; }}
[ "$1" = promote ] && [ -e {signs}/hang-$2 ] && sleep 1000
exit 0
"""


@dataclass
class Hooked(Stage):
    """A fleet whose nodes call one hook; files in ``signs`` tell the hook what to do."""

    log: Path
    signs: Path

    def told(self, event: str, node: FleetNode) -> list[str]:
        """What the hook was called with for this event on this node."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(f"{event} {node.name} ")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooked]:
    directory = tmp_path_factory.mktemp("hooked")
    hooks, signs, log = directory / "hooks", directory / "signs", directory / "calls.log"
    hooks.mkdir(0o755)
    signs.mkdir()
    (hooks / "10-tell").write_text(HOOK.format(log=log, signs=signs))
    (hooks / "10-tell").chmod(0o755)
    settings = {**SHORT_HOLD_OFF, "KUUTAMO_HOOK_DIR": str(hooks), "KUUTAMO_HOOK_DEADLINE": "3"}
    with ConsulServer(directory / "consul") as server:
        server.wait_ready(60)
        with Fleet(directory / "fleet", NodeSite([server.url]), FleetSpec(environment=settings)) as fleet:
            yield Hooked(fleet, server, log, signs)


def test_a_takeover_is_told_on_both_nodes(stage: Hooked) -> None:
    holder = rested(stage)
    holder.kill(Part.NEARD)
    new, _ = stage.taken_over(holder, release_bound() + BUSY)
    new.wait_state("Validating", BUSY)
    term = stage.term()
    eventually(lambda: stage.told("demote", holder), BUSY, "the old holder's demotion is told")
    eventually(lambda: stage.told("promote", new), BUSY, "the new holder's promotion is told")
    assert stage.told("pre-promote", new)[-1].startswith(f"pre-promote {new.name} {term} {stage.account}: ")
    assert f"{holder.name} released it" in stage.told("promote", new)[-1]
    stage.safe()


def test_a_hook_that_hangs_delays_no_heartbeat_and_no_fence(stage: Hooked) -> None:
    holder = rested(stage)
    for node in stage.fleet.nodes:
        (stage.signs / f"hang-{node.name}").touch()
    starts = {node.name: mark(node) for node in stage.fleet.nodes}
    holder.kill(Part.NEARD)
    new, _ = stage.taken_over(holder, release_bound() + BUSY)
    unmoved(stage, 5)
    told_since(new, starts[new.name], "hook", "10-tell")
    for sign in stage.signs.iterdir():
        sign.unlink()
    new.kill(Part.NEARD)
    stage.taken_over(new, release_bound() + BUSY)
    stage.safe()


def test_a_veto_keeps_the_key_away_and_lets_the_lock_go(stage: Hooked) -> None:
    holder = rested(stage)
    for node in stage.fleet.nodes:
        (stage.signs / f"veto-{node.name}").touch()
    standbys = stage.fleet.standbys(holder)
    starts = {node.name: mark(node) for node in standbys}
    promoted = {node.name: len(stage.told("promote", node)) for node in stage.fleet.nodes}
    holder.kill(Part.NEARD)
    for node in standbys:
        told_since(node, starts[node.name], "a hook refuses the promotion", "under maintenance", deadline=60.0)
        told_since(node, starts[node.name], "released the lock: a hook refuses")
    assert {node.name: len(stage.told("promote", node)) for node in stage.fleet.nodes} == promoted
    for sign in stage.signs.iterdir():
        sign.unlink()
    stage.healthy()
    stage.safe()
