# SPDX-License-Identifier: Apache-2.0
"""What one request to the exporter looks at: one immutable state of the node, and the time."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.model import NodeState


@dataclass(frozen=True)
class View:
    """The node at one moment.

    ``now`` in boottime seconds, ``wall`` in Unix seconds. ``said``: the newest decision's sentence.
    """

    state: NodeState
    now: float
    wall: float
    said: str = ""

    def unix(self, moment: float) -> float:
        """A boottime second as Unix seconds, by this host's wall clock."""
        return moment + self.wall - self.now
