# SPDX-License-Identifier: Apache-2.0
"""Partitions of the holder, of the network itself where namespaces can be made, else of its way to Consul.

The stand-in's chain is a shared file, so a cut of the network never cuts off NEAR; the mode `isolated` does that.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.consul_stages import ProxiedStage, fenced, no_ghost, on_lab_hosts, proxied, rejoins, spec, undisturbed
from integration.scenario import BUSY, Stage, boottime, ready, steal_bound, told
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.netns import LabHost, available
from kuutamo_localnet.wait import eventually
from neard_standin.verdict import KeyInterval

pytestmark = pytest.mark.integration

LAB = available()
needs_lab = pytest.mark.skipif(not LAB, reason="no network namespaces here (needs root, ip and bridge)")
needs_no_lab = pytest.mark.skipif(LAB, reason="the network itself is cut here, which is the better test")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with on_lab_hosts(tmp_path_factory.mktemp("lab"), spec()) as stage:
        yield stage


@pytest.fixture(scope="module")
def behind_proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedStage]:
    with proxied(tmp_path_factory.mktemp("proxied"), spec()) as stage:
        yield stage


def host_of(node: FleetNode) -> LabHost:
    host = node.plan.site.host
    assert host is not None
    return host


def replaced(stage: Stage, holder: FleetNode, last_proof: float, term: int) -> FleetNode:
    """The holder is fenced in time, and only then another node has the key, in the next term; who."""
    old = fenced(stage, holder, last_proof)
    told(holder, "fence: killing neard", "no proof of holding the lock for")
    successor, new = stage.taken_over(holder, steal_bound() + BUSY)
    assert comes_after(old, new)
    assert new.loaded_at <= last_proof + steal_bound()
    told(successor, f"taking the lock for term {term + 1}", "has not proved itself for the guard time")
    successor.wait_state("Validating", BUSY)
    stage.safe()
    return successor


def comes_after(old: KeyInterval, new: KeyInterval) -> bool:
    return old.ended_at is not None and old.ended_at <= new.loaded_at


@needs_lab
def test_network_cut_from_consul_but_not_from_near(lab: Stage) -> None:
    holder = lab.healthy()
    term = lab.term()
    try:
        host_of(holder).cut()
        successor = replaced(lab, holder, boottime(), term)
    finally:
        host_of(holder).heal()
    rejoins(lab, holder, successor, term + 1)
    no_ghost(lab, successor)


@needs_lab
def test_network_cut_from_consul_and_standin_isolated_from_near(lab: Stage) -> None:
    holder = lab.healthy()
    term = lab.term()
    try:
        holder.behaviour(isolated=True)
        host_of(holder).cut()
        successor = replaced(lab, holder, boottime(), term)
        assert holder.state() != "Validating"
    finally:
        host_of(holder).heal()
        holder.behaviour(isolated=False)
    rejoins(lab, holder, successor, term + 1)
    no_ghost(lab, successor)


@needs_lab
def test_network_cut_one_way_so_that_the_holder_sends_and_does_not_receive(lab: Stage) -> None:
    holder = lab.healthy()
    term = lab.term()
    try:
        host_of(holder).cut_incoming()
        successor = replaced(lab, holder, boottime(), term)
    finally:
        host_of(holder).heal()
    rejoins(lab, holder, successor, term + 1)
    no_ghost(lab, successor)


@needs_lab
def test_network_cut_of_a_standby_leaves_the_holder_alone(lab: Stage) -> None:
    holder = lab.healthy()
    before, term = lab.last_interval(holder), lab.term()
    standby = lab.fleet.standbys(holder)[0]
    try:
        host_of(standby).cut()
        told(standby, "no answer")
        undisturbed(lab, holder, before, term)
    finally:
        host_of(standby).heal()
    eventually(lambda: ready(standby), 60, f"{standby.name} is a ready standby")
    undisturbed(lab, holder, before, term)


@needs_no_lab
def test_agent_refuses_connections_of_a_holder_that_still_has_near(behind_proxies: ProxiedStage) -> None:
    stage = behind_proxies
    holder = stage.healthy()
    term = stage.term()
    try:
        stage.proxy(holder).refuse()
        successor = replaced(stage, holder, boottime(), term)
    finally:
        stage.heal()
    rejoins(stage, holder, successor, term + 1)
    no_ghost(stage, successor)


@needs_no_lab
def test_agent_refuses_connections_of_a_holder_that_is_isolated_from_near_too(behind_proxies: ProxiedStage) -> None:
    stage = behind_proxies
    holder = stage.healthy()
    term = stage.term()
    try:
        holder.behaviour(isolated=True)
        stage.proxy(holder).refuse()
        successor = replaced(stage, holder, boottime(), term)
    finally:
        stage.heal()
        holder.behaviour(isolated=False)
    rejoins(stage, holder, successor, term + 1)
    no_ghost(stage, successor)


@needs_no_lab
def test_agents_answers_never_reach_the_holder(behind_proxies: ProxiedStage) -> None:
    """Its heartbeats are applied all the while: the standbys count G from the last of them."""
    stage = behind_proxies
    holder = stage.healthy()
    try:
        stage.proxy(holder).drop_answers()
        old = fenced(stage, holder, boottime())
        told(holder, "fence: killing neard", "no proof of holding the lock for")
        assert old.ended_at is not None
        successor, new = stage.taken_over(holder, steal_bound() + BUSY)
        assert comes_after(old, new)
        assert new.loaded_at <= old.ended_at + steal_bound()
    finally:
        stage.heal()
    rejoins(stage, holder, successor, stage.term())
