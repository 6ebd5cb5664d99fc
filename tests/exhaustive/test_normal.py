# SPDX-License-Identifier: Apache-2.0
"""Worlds that count as one can't be told apart, and worlds that differ do not count as one."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable
from unittest import mock

import pytest

from exhaustive import bench, names, normal, world
from exhaustive.machine import Machine
from exhaustive.search import first_world
from exhaustive.side import Kind
from exhaustive.walk import walk
from exhaustive.world import CURRENT, NOW, Host, Scale, World
from kuutamod.core import actions as ac
from kuutamod.core import decide as rules
from kuutamod.core import events as ev
from kuutamod.core import model, observe, protocol
from kuutamod.core.change import replace
from kuutamod.core.lease import Lease
from kuutamod.guard.rules import GuardView

PARTS: tuple[type[typing.Any], ...] = (
    model.NodeState,
    model.Child,
    model.Session,
    Lease,
    model.Ghost,
    model.Watch,
    model.LockView,
    model.Faults,
    ev.ChildExited,
    GuardView,
    protocol.LockRecord,
    ac.PlaceKey,
    ac.ExtendGuard,
    ac.StartChild,
    ac.StopChild,
    ac.KillChild,
    ac.ReleasePlan,
    *(ac.Heartbeat, ac.Take, ac.CreateKey, ac.Release),
    *(world.Host, world.Guard, world.Neard, world.Side, world.Message, world.Consul, world.Register),
)
NO_MOMENTS = {
    "LockRecord.guard_time",
    "LockRecord.idle",
    "LockRecord.fence_deadline",
    "Watch.largest_guard",
    "StopChild.grace",
}
NO_NAMES = {
    "NodeState.session_fault",  # a text
    "Consul.sessions",  # a set: ``names`` handles it
}


def _fields(part: type[typing.Any]) -> dict[str, object]:
    hints = typing.get_type_hints(part)
    return {field.name: hints[field.name] for field in dataclasses.fields(part)}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part.__name__))
def test_every_moment_is_listed(part: type[typing.Any]) -> None:
    name = part.__name__
    moments = {each for each, kind in _fields(part).items() if kind in (float, float | None)}
    assert moments - {each.split(".")[1] for each in NO_MOMENTS if each.startswith(f"{name}.")} == set(
        normal.TIMES.get(name, ())
    )


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part.__name__))
def test_every_name_is_listed(part: type[typing.Any]) -> None:
    layout = names.LAYOUTS.get(part.__name__, names.Layout())
    for each, kind in _fields(part).items():
        if f"{part.__name__}.{each}" in NO_NAMES:
            continue
        text = kind in (str, str | None)
        assert (each in layout.sessions) == (text and ("session" in each or (part is model.Session and each == "id"))), each
        assert (each in layout.terms) == ("term" in each and kind is int), each
        assert (each in layout.indexes) == (each == "index"), each


@functools.cache
def _hosts() -> list[Host]:
    machine = Machine(Scale())
    found: dict[Host, None] = {}
    for seed in range(60):
        for here, *_rest in walk(machine, seed, 60):
            found[machine.sides.parts[here.a].host] = None
            found[machine.sides.parts[here.b].host] = None
    return [host for host in found if host.node is not None]


def test_a_node_at_another_time_decides_the_same() -> None:
    """The rules compare times only with each other and with now."""
    hosts = _hosts()
    assert len(hosts) > 500
    for host in hosts:
        assert host.node is not None
        decided = rules.decide(host.node, NOW)
        later = rules.decide(normal.shifted(host.node, 1e5), NOW + 1e5)
        assert (later.why, later.wake_at) == (decided.why, decided.wake_at + 1e5)
        assert [type(action) for action in later.actions] == [type(action) for action in decided.actions]
        outward = [bench.plain_action(a) for a in decided.actions if isinstance(a, bench.OUTWARD)]
        assert [bench.plain_action(a) for a in later.actions if isinstance(a, bench.OUTWARD)] == [
            normal.shifted(action, 1e5) for action in outward
        ]


def _remembering(host: Host, _unused: Scale) -> Host:
    """Only what the bench itself relies on: neard is always number 1, and can be asked more than once in a tick."""
    node = host.node
    if node is None:
        return host
    child = None if node.child is None else replace(node.child, serial=1)
    tried: dict[model.Slot, float] = {slot: at for slot, at in node.tried.items() if slot is not model.Slot.STATUS}
    return replace(host, node=replace(node, child=child, serial=0 if child is None else 1, tried=tried))


@pytest.mark.parametrize(
    "scale", [Scale(), Scale(promotion="restart"), Scale(longer=2)], ids=["hot-swap", "restart", "mixed"]
)
def test_what_is_forgotten_makes_no_difference(scale: Scale) -> None:
    """Side by side with worlds in which nothing is forgotten: always the same can happen, with the same outcome."""

    compared = 0
    tidy, raw = Machine(scale), Machine(scale)
    for seed in range(20):
        with mock.patch.object(bench, "tidied_host", _remembering), mock.patch.object(observe, "SETTLED", 0.5):
            remembered = list(walk(raw, seed, 70))
        here = first_world(tidy, raw.budgets.parts[remembered[0][0].budget])
        for _unused, expected, taken in remembered:
            following = {each.step: each for each in tidy.after(here)}
            assert set(following) == {each.step for each in expected}
            here = following[taken.step].world
            assert tidy.consuls.parts[here.consul] == raw.consuls.parts[taken.world.consul]
            compared += len(expected)
    assert compared > 3000


def _renamed(side: world.Side) -> world.Side:
    """The side as it would be, had there been more writes and more sessions before."""

    def index(old: int) -> int:
        return old if old in (world.UNSEEN, 0, CURRENT) else 2 * old - CURRENT

    def session(old: str) -> str:
        return old if old[1:] in ("0", str(world.NEWEST)) else f"{old[0]}{2 * int(old[1:]) - world.NEWEST}"

    return names.renamed(side, index, 0, session)


def test_other_names_make_no_difference() -> None:
    machine = Machine(Scale())
    changed = 0
    for seed in range(30):
        for here, *_rest in walk(machine, seed, 60):
            side, consul = machine.sides.parts[here.a], machine.consuls.parts[here.consul]
            other = _renamed(side)
            changed += other != side
            assert names.met(other, consul)[0] == names.met(side, consul)[0] == side
    assert changed > 100


def test_the_hosts_in_each_others_place_are_one_world() -> None:
    machine = Machine(Scale())
    budget = machine.budgets.number((Kind.PAUSE,))
    for seed in range(10):
        for here, *_rest in walk(machine, seed, 40):
            a, b, consul = machine.sides.parts[here.a], machine.sides.parts[here.b], machine.consuls.parts[here.consul]
            swapped = World(
                machine.number(names.mirrored(b)),
                machine.number(names.mirrored(a)),
                machine.consuls.number(names.mirrored(consul)),
                budget,
            )
            assert machine.key(swapped) == machine.key(here._replace(budget=budget))
            assert names.mirrored(names.mirrored(a)) == a


def _older_proof(node: model.NodeState) -> model.NodeState | None:
    lease = node.lease
    return None if lease is None or lease.proof < NOW else replace(node, lease=replace(lease, proof=NOW - 1))


def _count_begun_later(node: model.NodeState) -> model.NodeState | None:
    watch = node.watch
    if watch is None or watch.view.index != CURRENT or watch.first_seen > NOW - 2:
        return None
    return replace(node, watch=replace(watch, first_seen=NOW))


def _spent(node: model.NodeState) -> model.NodeState | None:
    return None if node.session is None or node.session.spent else replace(node, session=replace(node.session, spent=True))


@pytest.mark.parametrize("change", [_older_proof, _count_begun_later, _spent])
def test_what_matters_is_not_forgotten(change: Callable[[model.NodeState], model.NodeState | None]) -> None:
    changed = 0
    for host in _hosts():
        assert host.node is not None
        node = change(host.node)
        if node is not None:
            changed += 1
            assert normal.tidied_host(replace(host, node=node), Scale()) != normal.tidied_host(host, Scale())
    assert changed > 10
