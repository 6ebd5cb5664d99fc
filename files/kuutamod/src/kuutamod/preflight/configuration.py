# SPDX-License-Identifier: Apache-2.0
"""The settings: their faults and warnings, each told where it belongs, and the law that ties the lease's numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..core.lease import LeaseLaw
from ..settings import Fault, Settings
from ..settings.fields import ACCOUNT_ID, CONSUL, LEASE, SETTINGS
from ..settings.hooks import SETTING as HOOK_DIR
from ..settings.reading import Reader
from .finding import Finding, Topic, fault, ok, warning
from .viewer import Viewer

KEY_SETTINGS = ("validator-key", "validator-node-key", "voter-node-key")
ADDRESS_SETTINGS = ("exporter-address", "validator-network-addr", "voter-network-addr")
LEASE_SETTINGS = tuple(setting.name for setting in LEASE.settings)

_TOPICS = {
    **dict.fromkeys(LEASE_SETTINGS, Topic.LAW),
    **dict.fromkeys(KEY_SETTINGS, Topic.KEYS),
    "neard-home": Topic.HOME,
    "neard-bin": Topic.NEARD,
    **dict.fromkeys(ADDRESS_SETTINGS, Topic.PORTS),
    **{setting.name: Topic.CONSUL for setting in CONSUL.settings},
    HOOK_DIR: Topic.HOOKS,
    "hook-deadline": Topic.HOOKS,
}
_NAMES = {setting.title: setting.name for setting in SETTINGS}
_FLAGS = {setting.flag: setting.name for setting in SETTINGS}
_PLACES = (*KEY_SETTINGS, "neard-home", "neard-bin", "consul-token-file", "consul-cert-file", "consul-key-file", HOOK_DIR)


def settings(found: Settings, read: Reader, viewer: Viewer) -> Iterable[Finding]:
    """What is wrong with the settings, and what they say."""
    for each in read.faults:
        yield _finding(each, read, viewer)
    for text in read.warnings:
        what, _unused, remedy = text.partition("; ")
        about = _FLAGS.get(text.partition(" ")[0].rstrip(":"), "")
        yield warning(_TOPICS.get(about, Topic.SETTINGS), what, remedy or "change the setting, if that is not meant")
    given = [value for value in read.values.values() if value.origin not in ("default", "not set")]
    if not given:
        yield warning(
            Topic.SETTINGS,
            "none is given: this is not the environment in which kuutamod runs",
            "load what its service loads, such as `set -a; . /etc/kuutamod/environment`, and name the key files",
        )
    elif read.sound("node-id", "account-id"):
        count = f"{len(given)} settings given, {len(read.values) - len(given)} left at their defaults"
        yield ok(Topic.SETTINGS, f"node {found.node_id} of {found.account_id}, {count}")
    validator = found.keys.validator.account_id
    if found.account_id == ACCOUNT_ID.default and validator not in ("", ACCOUNT_ID.default):
        yield warning(
            Topic.SETTINGS,
            f"{ACCOUNT_ID.flag} is left at {ACCOUNT_ID.default!r}, and every fleet that leaves it out has the same lock",
            f"set it to {validator} on all nodes before the first start; never on a part of a running fleet",
        )


def _finding(each: Fault, read: Reader, viewer: Viewer) -> Finding:
    name = _NAMES.get(each.subjects[0].setting, "")
    topic = _TOPICS.get(name, Topic.SETTINGS)
    text = f"{', '.join(map(str, each.subjects))}: {each.problem}"
    place = read.values[name].text if name in _PLACES else None
    if place and viewer.may_not_see(Path(place), write=name == "neard-home"):
        return warning(topic, f"{text} (for this user)", viewer.remedy)
    return fault(topic, text, each.remedy)


def law(found: Settings, read: Reader) -> Iterable[Finding]:
    """The law of the fence with its numbers, where it holds; where it does not, that is a fault of the settings."""
    numbers = found.policy.law
    if not read.sound(*LEASE_SETTINGS) or numbers.violations():
        return
    stopped, waited = numbers.stopped_after(), numbers.guard_time * (1 - numbers.clock_rate_error)
    yield ok(
        Topic.LAW,
        f"a holder without proof is stopped within ({numbers.fence_deadline:g} + {numbers.kill_budget:g} + "
        f"{numbers.scheduling_slack:g}) * {1 + numbers.clock_rate_error:g} = {stopped:.3f} s, the others wait for "
        f"{numbers.guard_time:g} * {1 - numbers.clock_rate_error:g} = {waited:.3f} s: {waited - stopped:.3f} s to spare",
    )
    if (default := LeaseLaw()) != numbers:
        changed = [name for name, value in vars(numbers).items() if value != getattr(default, name)]
        yield ok(Topic.LAW, f"not at their defaults: {', '.join(name.replace('_', '-') for name in changed)}")
