# SPDX-License-Identifier: Apache-2.0
"""A fleet of kuutamods for one validator, on one simulated chain, watched by the referee."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from neard_standin.referee import Referee

from .fleet_node import FleetNode
from .fleet_plan import FleetSpec, NodeSite, make_keys, make_ledger, make_node
from .ports import PortPool
from .wait import eventually


class Fleet:
    """Nodes `node0...` of one account. `sites` says where each runs; one site stands for all.

    The constructor makes all files in `directory` (keys, ledger, homes); `start()` or entering the context starts the
    referee and then the nodes; `close()` ends what was started. Consul is the caller's.
    """

    def __init__(self, directory: Path, sites: NodeSite | Sequence[NodeSite], spec: FleetSpec | None = None) -> None:
        self.directory = directory
        self.spec = spec or FleetSpec()
        chosen = [sites] * self.spec.nodes if isinstance(sites, NodeSite) else list(sites)
        if len(chosen) != self.spec.nodes:
            raise ValueError(f"sites: {len(chosen)} were given for {self.spec.nodes} nodes")
        self._pool = PortPool()
        self.keys = make_keys(directory / "keys", self.spec.account)
        self.ledger = make_ledger(directory / "ledger", self.spec, self.keys.public_key)
        self.nodes = [
            FleetNode(
                make_node(name, directory / name, self.spec, site, ledger=self.ledger, pool=self._pool),
                self.spec,
                self.keys,
            )
            for name, site in zip((f"node{number}" for number in range(self.spec.nodes)), chosen, strict=True)
        ]
        self._referee = Referee(self.ledger.path)
        self._stack = contextlib.ExitStack()

    @property
    def referee(self) -> Referee:
        """The referee, which watches from `start()` on."""
        return self._referee

    def node(self, number: int) -> FleetNode:
        """The node with this number."""
        return self.nodes[number]

    def start(self) -> Self:
        """Start the referee, then all nodes; does not wait for a state."""
        self._stack.enter_context(self._referee)
        self._stack.callback(self._close_nodes)
        for node in self.nodes:
            node.start()
        return self

    def validating(self) -> list[FleetNode]:
        """The nodes that say they are Validating. Those that do not answer count as not."""
        found = []
        for node in self.nodes:
            with contextlib.suppress(requests.RequestException):
                if node.state() == "Validating":
                    found.append(node)
        return found

    def wait_validator(self, deadline: float, *, other_than: FleetNode | None = None) -> FleetNode:
        """The node that is Validating within `deadline` seconds. Raises AssertionError with the nodes' last log lines."""

        def found() -> FleetNode | None:
            return next((node for node in self.validating() if node is not other_than), None)

        what = "a node is Validating" + (f" other than {other_than.name}" if other_than else "")
        try:
            node = eventually(found, deadline, what)
        except AssertionError as error:
            for each in self.nodes:
                error.add_note(f"log of {each.name}:\n{each.log_text()[-2000:]}")
            raise
        assert node is not None
        return node

    def standbys(self, holder: FleetNode) -> list[FleetNode]:
        """All nodes but this one."""
        return [node for node in self.nodes if node is not holder]

    def close(self) -> None:
        """End all nodes, then the referee, and give the ports back."""
        self._stack.close()
        self._pool.close()

    def _close_nodes(self) -> None:
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
