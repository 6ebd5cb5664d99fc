# SPDX-License-Identifier: Apache-2.0
"""The height rule: no height is signed by two nodes, though they never hold the key at the same time.

A validator whose head is h signs for h + 1. The former holder's neard is dead before the next one signs (``lease``), but
the next one's head may still be where the dead one's was: then it would sign for the same height again. So a new holder
waits, before it gets the key, until the chain has moved past what the former holder can have signed. It knows that in one
of two ways:

* a bound that the former holder's release carries: its head as last seen, plus one, plus as many blocks as can have been
  made between that look and its death;
* its own head: once that has moved by two blocks since the former holder was dead. A synced node's head is at most one
  block behind the network's (nearcore starts to sync when it is two behind), so the first block makes up for that and the
  second is newer than anything the dead neard can have signed for.

Standard library only and no imports from this package: the guard uses it too.
"""

from __future__ import annotations

import math

FASTEST_BLOCK = 0.5
"""Seconds; no NEAR network makes blocks faster (mainnet's min_block_production_delay is 0.6 s)."""

BLOCKS_TO_WAIT = 2
"""Blocks by which the chain must have moved since the former holder was dead."""


def signed_bound(head: int, seen: float, until: float) -> int:
    """No height above this was signed by a neard that showed ``head`` when asked at ``seen`` and lived until ``until``.

    Times in seconds of one clock. 0 (unknown) when its head was never seen.
    """
    if head <= 0:
        return 0
    return head + 1 + math.ceil(max(0.0, until - seen) / FASTEST_BLOCK)


def past(head: int, bound: int, base: int | None) -> bool:
    """May a node with this head sign next? ``bound`` 0: unknown; ``base``: its first head since the takeover, if seen."""
    return (bound > 0 and head >= bound) or (base is not None and head >= base + BLOCKS_TO_WAIT)
