# SPDX-License-Identifier: Apache-2.0
"""The network that `up` watches: nodes, chain and referee; here made of the stand-in neard and its simulated chain."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from neard_standin.procfs import boottime
from neard_standin.referee import Referee

from .fleet import Fleet
from .fleet_node import FleetNode
from .fleet_plan import FleetSpec, NodeSite


@dataclass(frozen=True)
class Network:
    """A running network. `head` is the height of its chain, None while unknown; `referee` is None with a real neard."""

    nodes: Sequence[FleetNode]
    account: str
    head: Callable[[], int | None]
    referee: Referee | None
    summary: str


@contextlib.contextmanager
def simulated(directory: Path, consul_url: str, spec: FleetSpec) -> Iterator[Network]:
    """A fleet on a simulated chain, from entering the context to leaving it."""
    with Fleet(directory, NodeSite(consul_urls=(consul_url,)), spec) as fleet:
        ledger = fleet.ledger
        yield Network(
            nodes=fleet.nodes,
            account=spec.account,
            head=lambda: ledger.height_at(boottime()),
            referee=fleet.referee,
            summary=(
                f"a simulated chain with {len(ledger.validators)} validators and a block every {spec.block_time_ms} ms; "
                f"{spec.nodes} kuutamods hold the key of {spec.account}"
            ),
        )
