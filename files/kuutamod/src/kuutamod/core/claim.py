# SPDX-License-Identifier: Apache-2.0
"""On what grounds a node takes the lock; it keeps them for as long as it holds it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .protocol import LockRecord


class Cause(enum.Enum):
    """What made a takeover possible; a label in metrics and history."""

    FIRST = "first"
    HANDOVER = "handover"
    RELEASE = "release"
    FAULT = "fault"
    STEAL = "steal"
    FREE = "free"
    MISSING = "missing"


@dataclass(frozen=True)
class Claim:
    """The grounds of a takeover.

    ``why``: one sentence. ``fault``: the previous holder gave the lock up by its own fault (hold-off counts these).
    ``confirmed``: an operator's word, of the lock that is taken, that nothing signs. ``final``: the previous holder's last
    height is all it can have signed, but for the next. ``request``: the operator's request behind it. ``before``: the
    record that was taken over. ``silent_since``: boottime seconds; since when nobody signs, as far as this node could see.
    """

    cause: Cause = Cause.FIRST
    why: str = ""
    fault: bool = False
    confirmed: bool = False
    final: bool = False
    request: str = ""
    before: LockRecord | None = None
    silent_since: float = 0.0
