# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is this inventory a fleet? What is wrong with it, as sentences that name the place and the remedy. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

SERVERS, VALIDATORS = "consul_servers", "validators"
NODE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,126}[A-Za-z0-9])?\Z")
"""What Consul takes as the name of a node and certificates as the name of a host."""

ACCOUNT = re.compile(r"(?=.{2,64}\Z)(?:[a-z0-9]+[-_])*[a-z0-9]+(?:\.(?:[a-z0-9]+[-_])*[a-z0-9]+)*\Z")
EXAMPLE = "inventory/example shows one"


class Unset(Exception):
    """A variable has no value; the text says why."""


Read = Callable[[str, str], object]
"""The value of a variable (second) on a host (first); raises Unset."""


@dataclass(frozen=True)
class Needs:
    """Which variables a playbook needs: on every host of the fleet, on the servers, on the validators."""

    everywhere: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    validators: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    """Those that must have one value in the whole fleet; not looked at where they are not set."""


@dataclass(frozen=True)
class Fleet:
    """An inventory as a playbook sees it. ``chosen``: the hosts that --limit leaves."""

    groups: Mapping[str, tuple[str, ...]]
    chosen: frozenset[str]
    read: Read
    partial: bool = False
    """Whether the operator wants a part of the fleet only."""
    absent: frozenset[str] = frozenset()
    """Hosts that a playbook is about to remove or has not added yet: --limit may leave them out."""

    @property
    def servers(self) -> tuple[str, ...]:
        """The hosts that run Consul as servers."""
        return self.groups.get(SERVERS, ())

    @property
    def validators(self) -> tuple[str, ...]:
        """The hosts that run kuutamod and neard."""
        return self.groups.get(VALIDATORS, ())

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts of the fleet, each once."""
        return tuple(dict.fromkeys((*self.servers, *self.validators)))


@dataclass(frozen=True)
class Findings:
    """What is wrong, and what is only unwise."""

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def inspect(fleet: Fleet, needs: Needs) -> Findings:
    """Everything that can be said of an inventory before a host is touched."""
    empty = _groups(fleet)
    if empty:
        return Findings(empty)
    faults = [*_limit(fleet), *_names(fleet), *_addresses(fleet), *_missing(fleet, needs), *_unequal(fleet, needs)]
    return Findings([*faults, *_accounts(fleet)], _sizes(fleet))


def _groups(fleet: Fleet) -> list[str]:
    what = {SERVERS: "Consul servers", VALIDATORS: "hosts that run kuutamod and neard"}
    return [
        f"inventory: the group {group} is missing or empty; name the {text} in it ({EXAMPLE})"
        for group, text in what.items()
        if not fleet.groups.get(group)
    ]


def _limit(fleet: Fleet) -> list[str]:
    left_out = [host for host in fleet.hosts if host not in fleet.chosen and host not in fleet.absent]
    if not left_out or fleet.partial:
        return []
    return [
        f"--limit: it leaves out {', '.join(left_out)}; what a part of the fleet looks like says nothing of the rest. "
        "Run without --limit, or with -e allow_partial=true if only this part is meant"
    ]


def _names(fleet: Fleet) -> list[str]:
    bad = [
        f"inventory: the name of host {host!r} can't be a Consul node's: use letters, digits, dashes and dots, 128 at most"
        for host in fleet.hosts
        if not NODE_NAME.match(host)
    ]
    counts = Counter(host.lower() for host in fleet.hosts)
    twins = [
        f"inventory: {', '.join(host for host in fleet.hosts if host.lower() == low)} differ only in case; "
        "Consul takes them for one node, rename all but one"
        for low, count in counts.items()
        if count > 1
    ]
    return bad + twins


def _value(fleet: Fleet, host: str, name: str) -> object | None:
    try:
        return fleet.read(host, name)
    except Unset:
        return None


def _addresses(fleet: Fleet) -> list[str]:
    places: dict[tuple[str, str], list[str]] = {}
    for host in fleet.hosts:
        address = str(_value(fleet, host, "ansible_host") or host).lower()
        places.setdefault((address, str(_value(fleet, host, "ansible_port") or 22)), []).append(host)
    return [
        f"inventory: {', '.join(hosts)} have the same address {address} (ansible_host); one machine under two names "
        "would be two members with one key, give each its own address"
        for (address, _port), hosts in places.items()
        if len(hosts) > 1 and not _local(fleet, hosts)
    ]


def _local(fleet: Fleet, hosts: Iterable[str]) -> bool:
    """Are they reached without an address, as in tests of the rules themselves?"""
    return all(_value(fleet, host, "ansible_connection") == "local" for host in hosts)


def _missing(fleet: Fleet, needs: Needs) -> list[str]:
    wanted = [
        *((host, name) for host in fleet.hosts for name in needs.everywhere),
        *((host, name) for host in fleet.servers for name in needs.servers),
        *((host, name) for host in fleet.validators for name in needs.validators),
    ]
    lacking: dict[tuple[str, str], list[str]] = {}
    for host, name in wanted:
        try:
            value = fleet.read(host, name)
            why = "it is empty" if value is None or value in ("", {}, []) else ""
        except Unset as error:
            why = str(error)
        if why:
            hosts = lacking.setdefault((name, why), [])
            if host not in hosts:
                hosts.append(host)
    return [
        f"{name}: {why} on {_who(fleet, hosts)}; set it in the inventory's group_vars ({EXAMPLE})"
        for (name, why), hosts in lacking.items()
    ]


def _who(fleet: Fleet, hosts: list[str]) -> str:
    return "all hosts" if set(hosts) == set(fleet.hosts) and len(hosts) > 1 else ", ".join(hosts)


def _unequal(fleet: Fleet, needs: Needs) -> list[str]:
    faults = []
    for name in needs.same:
        values = {str(value) for host in fleet.hosts if (value := _value(fleet, host, name)) is not None}
        if len(values) > 1:
            faults.append(f"{name}: it differs between hosts; one fleet has one value, set it in group_vars/all")
    return faults


def _accounts(fleet: Fleet) -> list[str]:
    found = {str(value) for host in fleet.validators if (value := _value(fleet, host, "kuutamod_account_id"))}
    return [
        f"kuutamod_account_id: {account!r} is no NEAR account; give the validator's, such as validator.pool.near"
        for account in sorted(found)
        if not ACCOUNT.match(account)
    ]


def _sizes(fleet: Fleet) -> list[str]:
    warnings, servers = [], len(fleet.servers)
    if servers < 3:
        warnings.append(f"consul_servers has {servers}: the loss of one stops the validator; use three or five")
    elif servers % 2 == 0:
        warnings.append(
            f"consul_servers has {servers}: an even number tolerates no more losses than one less; use {servers - 1}"
        )
    elif servers > 7:
        warnings.append(f"consul_servers has {servers}: every write waits for more of them; use five")
    if len(fleet.validators) < 2:
        warnings.append("validators has one host: there is no standby to take over")
    return warnings
