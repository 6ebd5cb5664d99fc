# SPDX-License-Identifier: Apache-2.0
"""What a fleet consists of: its hosts, their groups, their addresses. Pure; kept in a file of the fleet's directory."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .errors import FleetError
from .image import SUITES

DEFAULT_NAME = "demo"
DEFAULT_ACCOUNT = "fleet.near"
DEFAULT_HOSTS = 3
MOST_HOSTS = 50
PLAN_FILE = "fleet.json"
FIRST_ADDRESS = 10  # in the fleet's network
LABEL_FLEET = "near.kuutamo.fleet"
LABEL_PLACE = "near.kuutamo.directory"

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_FLEET = re.compile(r"[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class Host:
    """One host. `server` runs a Consul server, `validator` kuutamod and neard; one host may be both."""

    name: str
    suite: str = SUITES[0]
    server: bool = True
    validator: bool = True

    @property
    def groups(self) -> tuple[str, ...]:
        """The inventory groups of the host."""
        return (("consul_servers",) if self.server else ()) + (("validators",) if self.validator else ())


@dataclass(frozen=True)
class FleetPlan:
    """A whole fleet. `internal`: its network has no way out; `disks`: disks of their own for data.

    `neard_archive` is the path of a neard archive of the user's, empty for the stand-in.
    """

    name: str
    hosts: tuple[Host, ...]
    account: str = DEFAULT_ACCOUNT
    internal: bool = False
    disks: bool = False
    neard_archive: str = ""

    @property
    def network(self) -> str:
        """The podman network."""
        return f"kuutamo-{self.name}"

    def container(self, host: str) -> str:
        """The container of a host."""
        return f"{self.name}-{host}"

    def host(self, name: str) -> Host:
        """The host of that name. Raises FleetError when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise FleetError(f"{name}: the fleet {self.name} has no such host; it has {', '.join(h.name for h in self.hosts)}")

    def address(self, host: str, subnet: str) -> str:
        """The address of a host in the fleet's network `subnet` (CIDR)."""
        index = [item.name for item in self.hosts].index(host)
        return str(ipaddress.ip_network(subnet)[FIRST_ADDRESS + index])


@dataclass(frozen=True)
class Wish:
    """What the command line asks for; None where it says nothing, so that what is there stays.

    `hosts` are `NAME` or `NAME:SUITE`; `clients` are validators without a Consul server, `servers` Consul servers
    without a validator, both names of hosts, made when `hosts` does not name them.
    """

    name: str = DEFAULT_NAME
    count: int | None = None
    hosts: tuple[str, ...] = ()
    suite: str | None = None
    clients: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    account: str | None = None
    internal: bool | None = None
    disks: bool | None = None
    neard_archive: str | None = None


def check_fleet(text: str) -> str:
    """`text` when it can name a fleet. Raises FleetError."""
    if _FLEET.fullmatch(text) is None:
        raise FleetError(f"--name {text!r}: small letters, digits, dots and dashes are expected, 32 at most")
    return text


def _check_host(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        raise FleetError(f"--host {text!r}: small letters, digits and dashes are expected, 32 at most")
    return text


def _parse_host(text: str, suite: str) -> Host:
    name, colon, own = text.partition(":")
    chosen = own if colon else suite
    if chosen not in SUITES:
        raise FleetError(f"--host {text}: suite {chosen!r}: there are {', '.join(SUITES)}")
    return Host(_check_host(name), chosen)


def _wished_hosts(wish: Wish) -> tuple[Host, ...]:
    suite = wish.suite or SUITES[0]
    if suite not in SUITES:
        raise FleetError(f"--suite {suite}: there are {', '.join(SUITES)}")
    if wish.hosts and wish.count is not None:
        raise FleetError("--hosts and --host are both given; keep one")
    if both := set(wish.clients) & set(wish.servers):
        raise FleetError(
            f"--clients and --servers both name {', '.join(sorted(both))}: a host in both groups is the default"
        )
    hosts = [_parse_host(text, suite) for text in wish.hosts]
    if wish.count is not None and not 1 <= wish.count <= MOST_HOSTS:
        raise FleetError(f"--hosts {wish.count}: 1 to {MOST_HOSTS} are expected")
    if wish.count is not None:
        hosts = [Host(f"node{number}", suite) for number in range(wish.count)]
    known = {host.name for host in hosts}
    hosts += [_parse_host(text, suite) for text in (*wish.servers, *wish.clients) if text.partition(":")[0] not in known]
    clients, servers = ({text.partition(":")[0] for text in names} for names in (wish.clients, wish.servers))
    return tuple(replace(h, server=h.name not in clients, validator=h.name not in servers) for h in hosts)


def make_plan(wish: Wish, present: FleetPlan | None = None) -> FleetPlan:
    """The plan that fulfils `wish`: a new one, or `present` with hosts added.

    Raises FleetError for a wish that contradicts itself or what is there.
    """
    check_fleet(wish.name)
    wished = _wished_hosts(wish)
    if len({host.name for host in wished}) != len(wished):
        raise FleetError("--host: a host is named twice")
    if present is None:
        fallback = tuple(Host(f"node{number}", wish.suite or SUITES[0]) for number in range(DEFAULT_HOSTS))
        plan = FleetPlan(
            name=wish.name,
            hosts=wished or fallback,
            account=wish.account or DEFAULT_ACCOUNT,
            internal=bool(wish.internal),
            disks=bool(wish.disks),
            neard_archive=wish.neard_archive or "",
        )
    else:
        for field in ("account", "internal", "disks", "neard_archive"):
            asked, is_so = getattr(wish, field), getattr(present, field)
            if asked is not None and asked != is_so:
                option = field.replace("_", "-")
                raise FleetError(
                    f"--{option}: the fleet {present.name} was made with {field}={is_so}; `kuutamo-fleet down` it first"
                )
        plan = replace(present, hosts=_merge(present, wished))
    if not 1 <= len(plan.hosts) <= MOST_HOSTS:
        raise FleetError(f"--hosts {len(plan.hosts)}: 1 to {MOST_HOSTS} are expected")
    return plan


def _merge(present: FleetPlan, wished: Iterable[Host]) -> tuple[Host, ...]:
    hosts = {host.name: host for host in present.hosts}
    for host in wished:
        if host.name in hosts and hosts[host.name] != host:
            raise FleetError(
                f"{host.name}: the fleet {present.name} has it as {_in_words(hosts[host.name])}, not "
                f"{_in_words(host)}; `kuutamo-fleet down` the fleet first"
            )
        hosts[host.name] = host
    return tuple(hosts.values())


def _in_words(host: Host) -> str:
    return f"{host.suite} in {' and '.join(host.groups)}"


def to_json(plan: FleetPlan) -> str:
    """The plan as text for its file."""
    return json.dumps(asdict(plan), indent=2) + "\n"


def from_json(text: str) -> FleetPlan:
    """The plan in `text`. Raises ValueError, KeyError or TypeError when it is none."""
    content: dict[str, Any] = json.loads(text)
    hosts: Sequence[dict[str, Any]] = content.pop("hosts")
    return FleetPlan(hosts=tuple(Host(**host) for host in hosts), **content)


def read_plan(directory: Path) -> FleetPlan | None:
    """The plan of the fleet in `directory`, None when there is none. Raises FleetError for a damaged file."""
    path = directory / PLAN_FILE
    try:
        return from_json(path.read_text())
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise FleetError(f"{path}: not the plan of a fleet ({error}); remove it after `kuutamo-fleet down`") from None
