# SPDX-License-Identifier: Apache-2.0
"""The height rule: no height is signed by two nodes, though they never hold the key at the same time.

A validator whose head is h signs for h + 1. The former holder's neard is dead before the next one signs (``lease``), but
the next one's head may still be where the dead one's was: then it would sign for the same height again. So a new holder
gets the key only after its own head has moved twice since the take. A synced node is at most one block behind the network
(nearcore starts to sync when it is two behind), so the first move makes up for that, and the second is to a block that was
made after the former holder's death. Looks are counted, not heights: a node that catches up jumps over many at once.

What the former holder's supervisor knew of the chain is no help where its neard had the key to the end: that may have
moved on by more than one block between the last look at it and its death. Where it had shown before that look that the key
was gone, the height is final (``Claim.final``) and takes the place of the two moves.
"""

from __future__ import annotations

from dataclasses import dataclass

MOVES = 2
"""Looks at our own head, since the take, that must have shown a higher one than before."""


@dataclass(frozen=True)
class Chain:
    """What a new holder has seen of the chain since its take. ``head``: 0 before the first look; ``moves``: see MOVES."""

    head: int = 0
    moves: int = 0

    def after(self, head: int) -> Chain:
        """With one more look, at this head."""
        if head <= self.head:
            return self
        return Chain(head, self.moves + 1 if self.head else 0)

    @property
    def moved_on(self) -> bool:
        """Is the head past everything that the former holder can have signed?"""
        return self.moves >= MOVES


UNSEEN = Chain()
"""Before the first look."""
