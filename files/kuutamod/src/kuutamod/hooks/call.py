# SPDX-License-Identifier: Apache-2.0
"""What a hook is called with, and what a question to the hooks is answered with. Pure."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..redact import redact

LONGEST_REASON = 1000
"""Characters of the reason that a hook gets."""


class HookEvent(enum.Enum):
    """What a hook is called for; the value is its first argument. Only pre-promote is a question."""

    PRE_PROMOTE = "pre-promote"
    PROMOTE = "promote"
    DEMOTE = "demote"
    FENCE = "fence"
    HANDOVER = "handover"
    PAUSE = "pause"


@dataclass(frozen=True)
class HookCall:
    """One event on ``node``, in ``term`` of the lock of ``account``. ``reason``: one sentence of why."""

    event: HookEvent
    node: str
    term: int
    account: str
    reason: str = ""

    def argv(self, hook: Path) -> list[str]:
        """The argument vector of one hook."""
        return [str(hook), self.event.value, self.node, str(self.term), self.account]

    def environment(self, daemon: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of a hook. Of the ``daemon``'s it gets three names: the rest may hold a Consul token."""
        return {
            "PATH": daemon.get("PATH") or os.defpath,
            "HOME": daemon.get("HOME") or "/",
            "LANG": daemon.get("LANG") or "C.UTF-8",
            "KUUTAMO_HOOK_EVENT": self.event.value,
            "KUUTAMO_HOOK_NODE": self.node,
            "KUUTAMO_HOOK_TERM": str(self.term),
            "KUUTAMO_HOOK_ACCOUNT": self.account,
            # It may quote a foreign program's words, and no variable can hold a null byte.
            "KUUTAMO_HOOK_REASON": redact(self.reason).replace("\0", " ")[:LONGEST_REASON],
        }


@dataclass(frozen=True)
class HookVerdict:
    """What the hooks say to a question: go on, or a veto with ``why`` as a sentence."""

    go: bool
    why: str = ""


GO = HookVerdict(True)
