# SPDX-License-Identifier: Apache-2.0
"""What a test may do wrong on purpose: the world with all of these off is the product."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Switches:
    """Faults of an adapter or a guard; faults of the rules themselves are in ``mutants``."""

    proof_from_answer: bool = False
    """A proof counts from its answer, not from its request."""
    locking_heartbeat: bool = False
    """A heartbeat is a lock, so that the leader looks at the lock delay first."""
    default_reads: bool = False
    """A read is answered by whoever believes to lead."""
    stale_reads: bool = False
    """A read, and the blocking query, is answered by a follower, however far behind it is."""
    clock_stops_in_suspend: bool = False
    """Timers run on a clock that stops in suspend."""
    polite_fence: bool = False
    """A fence is SIGTERM, with SIGKILL thirty seconds later."""


NONE = Switches()
