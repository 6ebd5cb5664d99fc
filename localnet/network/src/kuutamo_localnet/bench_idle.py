# SPDX-License-Identifier: Apache-2.0
"""What a supervisor costs when nothing happens: requests to Consul, memory, processor time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from .bench_arena import Arena
from .consul import ConsulServer
from .consul_binary import ConsulBinary
from .fleet import Fleet
from .fleet_node import FleetNode, Part
from .fleet_plan import FleetSpec, NodeSite
from .request_counter import RequestCounter

SECONDS = 30.0  # how long it is watched
SETTLE = 5.0  # seconds after the fleet is complete: what follows a takeover is not idle
MOST_MEGABYTES = 60.0
MOST_PERCENT = 1.0
PARTS = (Part.SUPERVISOR, Part.GUARD)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Idle:
    """One node at idle. `requests_per_second` is by kind, memory in MB (10^6 bytes) and processor time in per cent of
    one core are of supervisor plus guard; `pss_mb` counts shared memory by its share, `rss_mb` wholly for each.
    """

    node: str
    role: str
    seconds: float
    requests_per_second: dict[str, float]
    pss_mb: float
    rss_mb: float
    cpu_percent: float

    @property
    def requests(self) -> float:
        """Requests of all kinds a second."""
        return sum(self.requests_per_second.values())


@dataclass(frozen=True)
class _Sample:
    at: float
    cpu: float
    requests: Mapping[str, int]


def cpu_seconds(stat: str) -> float:
    """Processor time in the text of /proc/PID/stat, its user and system parts together."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def megabytes(rollup: str, field: str) -> float:
    """A field such as `Pss` in the text of /proc/PID/smaps_rollup, in MB. Raises ValueError when it is not there."""
    for line in rollup.splitlines():
        name, _unused, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / 1e6
    raise ValueError(f"no field {field} in smaps_rollup")


def idle(directory: Path, binary: ConsulBinary, say: Callable[[str], None]) -> list[Idle]:
    """Watch a fleet do nothing, with all default settings. Raises AssertionError when it does not come up."""
    spec = FleetSpec()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ConsulServer(directory / "consul", binary=binary))
        agent = server.agent.spec
        counters = [stack.enter_context(RequestCounter(agent.address, agent.ports.http)) for _unused in range(spec.nodes)]
        sites = [NodeSite(consul_urls=(counter.url,)) for counter in counters]
        fleet = stack.enter_context(Fleet(directory / "fleet", sites, spec))
        _interval, holder = Arena(fleet, {}).wait_ready()
        say(f"idle: nothing is done to a fleet for {SECONDS:g} s")
        time.sleep(SETTLE)
        before = [_sample(node, counter) for node, counter in zip(fleet.nodes, counters, strict=True)]
        time.sleep(SECONDS)
        found = []
        for node, counter, first in zip(fleet.nodes, counters, before, strict=True):
            found.append(_figures(node, "holder" if node is holder else "standby", first, _sample(node, counter)))
    return found


def idle_table(results: Sequence[Idle]) -> Table:
    """The figures beside what they should be."""
    title = f"At idle, supervisor plus guard (aims: PSS < {MOST_MEGABYTES:g} MB, processor < {MOST_PERCENT:g} %)"
    table = Table(title=title, box=None, padding=(0, 2, 0, 0))
    for column in ("node", "role", "requests/s", "PSS MB", "RSS MB", "processor %", "requests/s by kind"):
        table.add_column(column, justify="left" if column in ("node", "role", "requests/s by kind") else "right")
    for each in results:
        kinds = sorted(each.requests_per_second.items(), key=lambda item: -item[1])
        table.add_row(
            each.node,
            each.role,
            f"{each.requests:.2f}",
            _below(each.pss_mb, MOST_MEGABYTES, 1),
            f"{each.rss_mb:.1f}",
            _below(each.cpu_percent, MOST_PERCENT, 2),
            ", ".join(f"{kind} {rate:.2f}" for kind, rate in kinds),
        )
    return table


def _below(value: float, most: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text if value < most else f"[red]{text}[/]"


def _sample(node: FleetNode, counter: RequestCounter) -> _Sample:
    cpu = sum(cpu_seconds(Path(f"/proc/{node.pid(part)}/stat").read_text()) for part in PARTS)
    return _Sample(time.monotonic(), cpu, counter.counts())


def _figures(node: FleetNode, role: str, first: _Sample, last: _Sample) -> Idle:
    seconds = last.at - first.at
    rollups = [Path(f"/proc/{node.pid(part)}/smaps_rollup").read_text() for part in PARTS]
    rates = {kind: round((count - first.requests.get(kind, 0)) / seconds, 3) for kind, count in last.requests.items()}
    return Idle(
        node=node.name,
        role=role,
        seconds=round(seconds, 1),
        requests_per_second={kind: rate for kind, rate in rates.items() if rate},
        pss_mb=round(sum(megabytes(text, "Pss") for text in rollups), 1),
        rss_mb=round(sum(megabytes(text, "Rss") for text in rollups), 1),
        cpu_percent=round(100 * (last.cpu - first.cpu) / seconds, 2),
    )
