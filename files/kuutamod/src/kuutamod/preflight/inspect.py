# SPDX-License-Identifier: Apache-2.0
"""Everything a preflight looks at, each by a deadline of its own and none waiting for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..deadline import Lane, Overrun
from ..neard.config import ConfigFault, NeardConfig, read_config
from ..settings import Settings
from ..settings.daemon import examine
from ..settings.fields import CONSUL, SETTINGS
from ..settings.reading import Reader
from ..settings.sources import resolve
from ..trust import user_name
from . import consul
from .clocks import clocks
from .configuration import law, settings
from .finding import Finding, Topic, fault, in_order, warning
from .home import home
from .hooks import hooks
from .keys import keys
from .neard import VERSION_DEADLINE, config, neard
from .ports import ports
from .viewer import Viewer

T = TypeVar("T")

DISK_DEADLINE = 10.0
"""Seconds for all that is read from the disk and from the kernel about one topic."""

_CONSUL_NAMES = tuple(setting.name for setting in CONSUL.settings)


@dataclass(frozen=True)
class Preflight:
    """What was found. ``node_id`` and ``account_id``: whose preflight it was, empty where they are not right."""

    node_id: str
    account_id: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Read:
    """What is on the disk. ``config`` None: it can't be used."""

    viewer: Viewer
    settings: Settings
    read: Reader
    config: NeardConfig | None


def inspect(given: Mapping[str, object], env: Mapping[str, str]) -> Preflight:
    """Look at a node that has these options and this environment. Never longer than some of the deadlines together."""
    return asyncio.run(_inspect(given, env))


async def _inspect(given: Mapping[str, object], env: Mapping[str, str]) -> Preflight:
    try:
        seen = await _within(DISK_DEADLINE, lambda: _read(given, env))
    except Overrun as error:
        late = fault(Topic.SETTINGS, f"the files that they name can't be read: {error}", "look at the disk they are on")
        return Preflight("", "", (late,))
    found, read, viewer, its_config = seen.settings, seen.read, seen.viewer, seen.config
    looks: list[tuple[Topic, float, Callable[[], Iterable[Finding]]]] = [
        (Topic.USER, DISK_DEADLINE, viewer.findings),
        (Topic.SETTINGS, DISK_DEADLINE, lambda: settings(found, read, viewer)),
        (Topic.LAW, DISK_DEADLINE, lambda: law(found, read)),
        (Topic.KEYS, DISK_DEADLINE, lambda: keys(found, viewer, env)),
        (Topic.HOME, DISK_DEADLINE, lambda: home(found, its_config, viewer)),
        (Topic.PORTS, DISK_DEADLINE, lambda: ports(found, its_config, read, viewer)),
        (Topic.CLOCK, DISK_DEADLINE, lambda: clocks(found.policy.law)),
        (Topic.HOOKS, DISK_DEADLINE, lambda: hooks(found.hook_dir, found.hook_deadline, viewer)),
    ]
    if its_config is not None:
        looks.append((Topic.CONFIG, DISK_DEADLINE, partial(config, found, its_config)))
    if read.sound("neard-bin"):
        looks.append((Topic.NEARD, VERSION_DEADLINE + DISK_DEADLINE, lambda: neard(found, read, viewer, env)))
    parts = [_findings(viewer, *look) for look in looks]
    if read.sound(*_CONSUL_NAMES, "account-id", "node-id"):
        parts.append(_consul(found, viewer))
    together = [finding for part in await asyncio.gather(*parts) for finding in part]
    node, account = (found.node_id if read.sound("node-id") else "", found.account_id if read.sound("account-id") else "")
    return Preflight(node, account, in_order(together))


def _read(given: Mapping[str, object], env: Mapping[str, str]) -> _Read:
    text = resolve(SETTINGS, given, env)["neard-home"].text
    viewer = Viewer.of(Path(text) if text and "\0" not in text else None)
    found, read = examine(given, env, viewer.user)
    try:
        return _Read(viewer, found, read, read_config(found.neard_home))
    except ConfigFault:  # the settings say so
        return _Read(viewer, found, read, None)


async def _consul(found: Settings, viewer: Viewer) -> list[Finding]:
    """Each URL, then what is behind one that answers."""
    looks = [partial(consul.look, found.consul, url, found.account_id) for url in found.consul.urls]
    seen = await asyncio.gather(*(_within(2 * consul.DEADLINE, look) for look in looks))
    together = list(consul.urls(seen, found.policy.law))
    if any(each.agent is not None for each in seen):
        for topic, look in ((Topic.RIGHTS, consul.rights), (Topic.FLEET, consul.fleet)):
            together += await _findings(viewer, topic, 2 * consul.DEADLINE, partial(look, found, seen))
    return together


async def _findings(viewer: Viewer, topic: Topic, deadline: float, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return await _within(deadline, lambda: list(look()))
    except (Overrun, OSError) as error:
        if viewer.blind and isinstance(error, PermissionError):
            return [warning(topic, f"it can't be seen by {user_name(viewer.uid)}: {error}", viewer.remedy)]
        return [fault(topic, f"it could not be looked at: {error}", "look at the disk and the kernel's log, then again")]


async def _within(deadline: float, call: Callable[[], T]) -> T:
    """What a blocking call returns, from a thread that is left behind if it does not."""
    lane = Lane("check")
    try:
        return await lane.run(call, deadline)
    finally:
        lane.abandon()
