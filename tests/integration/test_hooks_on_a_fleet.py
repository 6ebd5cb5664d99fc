# SPDX-License-Identifier: Apache-2.0
"""The operator's hooks on running nodes: they are told, may refuse the key, and delay nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.consul_stages import ProxiedStage, fenced, proxied, rejoins
from integration.operator_line import ctl
from integration.scenario import (
    BUSY,
    SHORT_HOLD_OFF,
    boottime,
    mark,
    release_bound,
    rested,
    steal_bound,
    told_since,
    unmoved,
)
from kuutamo_localnet.fleet_node import FleetNode, Part
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.wait import eventually

pytestmark = pytest.mark.integration

HOOK = """#!/bin/sh
echo "$1 $2 $3 $4: $KUUTAMO_HOOK_REASON" >> {log}
[ "$1" = pre-promote ] && [ -e {signs}/veto-$2 ] && {{ echo "under maintenance"; exit 7; }}
[ -e {signs}/hang-$1-$2 ] && sleep 1000
exit 0
"""
DEADLINE = 20.0
"""Seconds for the hooks of one event: longer than a fence takes."""


@dataclass
class Hooked(ProxiedStage):
    """A fleet whose nodes call one hook; files in ``signs`` tell the hook what to do."""

    log: Path
    signs: Path

    def told(self, event: str, node: FleetNode) -> list[str]:
        """What the hook was called with for this event on this node."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(f"{event} {node.name} ")]

    def sign(self, what: str) -> None:
        """From now on the hook does this, on every node."""
        for node in self.fleet.nodes:
            (self.signs / f"{what}-{node.name}").touch()

    def clear(self) -> None:
        """From now on it does nothing but take notes."""
        for sign in self.signs.iterdir():
            sign.unlink()

    def failed_over(self, holder: FleetNode) -> FleetNode:
        """The node that validates after the holder's neard has died, once its hooks are called."""
        before = {node.name: len(self.told("promote", node)) for node in self.fleet.nodes}
        holder.kill(Part.NEARD)
        new, _unused = self.taken_over(holder, release_bound() + BUSY)
        new.wait_state("Validating", BUSY)
        eventually(lambda: len(self.told("promote", new)) > before[new.name], BUSY, "the promotion is told")
        return new


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooked]:
    directory = tmp_path_factory.mktemp("hooked")
    hooks, signs, log = directory / "hooks", directory / "signs", directory / "calls.log"
    hooks.mkdir(0o755)
    signs.mkdir()
    (hooks / "10-tell").write_text(HOOK.format(log=log, signs=signs))
    (hooks / "10-tell").chmod(0o755)
    settings = {**SHORT_HOLD_OFF, "KUUTAMO_HOOK_DIR": str(hooks), "KUUTAMO_HOOK_DEADLINE": f"{DEADLINE:g}"}
    with proxied(directory, FleetSpec(environment=settings)) as made:
        yield Hooked(made.fleet, made.consul, made.proxies, log, signs)


@pytest.fixture(autouse=True)
def healed(stage: Hooked) -> Iterator[None]:
    """What a test has broken is whole again for the next one, and nothing unsafe has happened."""
    yield
    stage.clear()
    stage.heal()
    stage.safe()


def test_a_takeover_is_told_on_both_nodes(stage: Hooked) -> None:
    holder = rested(stage)
    holder.kill(Part.NEARD)
    new, _unused = stage.taken_over(holder, release_bound() + BUSY)
    new.wait_state("Validating", BUSY)
    term = stage.term()
    eventually(lambda: stage.told("demote", holder), BUSY, "the old holder's demotion is told")
    eventually(lambda: stage.told("promote", new), BUSY, "the new holder's promotion is told")
    assert stage.told("pre-promote", new)[-1].startswith(f"pre-promote {new.name} {term} {stage.account}: ")
    assert f"{holder.name} released it" in stage.told("promote", new)[-1]


def test_a_hook_that_hangs_delays_no_heartbeat_and_no_takeover(stage: Hooked) -> None:
    holder = rested(stage)
    stage.sign("hang-promote")
    starts = {node.name: mark(node) for node in stage.fleet.nodes}
    new = stage.failed_over(holder)
    unmoved(stage, 5)
    stage.clear()
    new.kill(Part.NEARD)
    stage.taken_over(new, release_bound() + BUSY)
    told_since(new, starts[new.name], "10-tell was ended", deadline=DEADLINE + BUSY)


@pytest.mark.parametrize("event", ["promote", "fence", "demote"])
def test_a_hook_that_hangs_delays_no_fence(stage: Hooked, event: str) -> None:
    holder = rested(stage)
    stage.sign(f"hang-{event}")
    if event == "promote":
        holder = stage.failed_over(holder)
    calls, term = {each: len(stage.told(each, holder)) for each in ("fence", "demote")}, stage.term()
    stage.proxy(holder).blackhole()
    fenced(stage, holder, boottime())
    stage.taken_over(holder, steal_bound() + BUSY)
    stage.clear()
    stage.proxy(holder).pass_through()
    for each, count in calls.items():
        eventually(lambda: len(stage.told(each, holder)) > count, DEADLINE + BUSY, f"{each} is told")  # noqa: B023
    assert f" {term} {stage.account}: no proof" in stage.told("fence", holder)[-1]
    rejoins(stage, holder, stage.holder(), term + 1)


def test_a_handover_and_a_pause_are_told(stage: Hooked) -> None:
    holder = rested(stage)
    candidate, term = stage.fleet.standbys(holder)[-1], stage.term()
    done = ctl(stage, "handover", "--to", candidate.name, "--reason", "new disk")
    assert done.returncode == 0, done.stdout + done.stderr
    for event in ("handover", "demote"):
        eventually(
            lambda: [line for line in stage.told(event, holder) if f" {term} " in line],  # noqa: B023
            BUSY,
            f"{event} is told",
        )
    (handover,) = [line for line in stage.told("handover", holder) if f" {term} " in line]
    assert handover.startswith(f"handover {holder.name} {term} {stage.account}: ")
    assert handover.endswith("new disk")
    assert not [line for line in stage.told("fence", holder) if f" {term} " in line], "nobody was fenced"
    before = {node.name: len(stage.told("pause", node)) for node in stage.fleet.nodes}
    paused = ctl(stage, "pause", "--for", "1h", "--reason", "switch work")
    assert paused.returncode == 0, paused.stdout + paused.stderr
    try:
        for node in stage.fleet.nodes:
            name = node.name
            eventually(lambda: len(stage.told("pause", node)) > before[name], BUSY, f"{name} tells the pause")  # noqa: B023
            assert stage.told("pause", node)[-1].endswith("switch work")
    finally:
        resumed = ctl(stage, "resume")
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr


def test_a_veto_keeps_the_key_away_and_lets_the_lock_go(stage: Hooked) -> None:
    holder = rested(stage)
    stage.sign("veto")
    standbys = stage.fleet.standbys(holder)
    starts = {node.name: mark(node) for node in standbys}
    promoted = {node.name: len(stage.told("promote", node)) for node in stage.fleet.nodes}
    holder.kill(Part.NEARD)
    for node in standbys:
        told_since(node, starts[node.name], "a hook refuses the promotion", "under maintenance", deadline=60.0)
        told_since(node, starts[node.name], "released the lock: a hook refuses")
    assert {node.name: len(stage.told("promote", node)) for node in stage.fleet.nodes} == promoted
    stage.clear()
    stage.healthy()
