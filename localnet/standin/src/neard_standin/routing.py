# SPDX-License-Identifier: Apache-2.0
"""A simple model of NEAR's account routing: which peer the network sends a validator's messages to.

Three traits of the real network matter to a supervisor and are kept: an announcement takes some seconds to spread, a
demoted but still running node answers the announcement of its successor with a newer one and takes the route back, and
a dead node does neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neard_standin.chain import Load
from neard_standin.procfs import ProcessId

# Broadcasts are limited to one per 10 s per connection (nearcore: accounts_data), so this is one hop.
PROPAGATION_SECONDS = 10.0


def route(loads: Sequence[Load], now: float, alive: Callable[[ProcessId], bool]) -> str | None:
    """The node key which the network routes an account to at `now` (CLOCK_BOOTTIME, seconds), or None before any.

    `loads` are the loads of the account's key in the order of time.
    """
    announced = [load for load in loads if load.at + PROPAGATION_SECONDS <= now]
    if not announced:
        return None
    newest = announced[-1]
    rivals = [load for load in announced if load.process != newest.process and alive(load.process)]
    # A rival hears the newest announcement after one hop; its answer needs another to reach the rest.
    if rivals and now >= newest.at + 2 * PROPAGATION_SECONDS:
        return rivals[-1].node_key
    return newest.node_key
