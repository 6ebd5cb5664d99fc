# SPDX-License-Identifier: Apache-2.0
"""The names of all reasons why a node may not take the lock, as ``core.readiness`` gives them (a test compares)."""

from __future__ import annotations

REASON_CODES = (
    "stopping",
    "memory",
    "unregistered",
    "no-neard",
    "no-answer",
    "stranger",
    "no-key",
    "syncing",
    "settling",
    "frozen",
    "few-peers",
    "old-head",
    "lag",
    "old-protocol",
    "unknown-fleet",
    "bad-config",
    "foreign-key",
    "term-regress",
    "drained",
    "paused",
    "new-watch",
    "hold-off",
)
"""Each has a series of its own in ``kuutamod_ineligible_reason``, so that alerts can name it before it ever applied."""
