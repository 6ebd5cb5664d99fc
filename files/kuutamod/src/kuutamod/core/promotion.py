# SPDX-License-Identifier: Apache-2.0
"""Which way the key gets into neard."""

from __future__ import annotations

import re

from .model import NodeState, Promotion

HOT_SWAP_SINCE = (2, 0, 0)
"""The first neard release that loads a validator key on SIGHUP (nearcore #11536)."""


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The numbers of a neard version such as ``2.11.0-rc.1``; None where there are none (``trunk``)."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def choose_promotion(setting: str, shadow_tracking: bool, version: str) -> tuple[Promotion, str]:
    """The way to promote and why: the setting, or for ``auto`` whether neard tracks and can do what hot swap needs."""
    if setting == Promotion.RESTART.value:
        return Promotion.RESTART, "promotion is set to restart"
    if setting == Promotion.HOT_SWAP.value:
        return Promotion.HOT_SWAP, "promotion is set to hot-swap"
    if not shadow_tracking:
        return Promotion.RESTART, "auto: config.json does not track this account as ShadowValidator"
    parsed = parse_version(version)
    if parsed is None:
        return Promotion.RESTART, f"auto: neard's version {version!r} does not tell whether it can hot swap"
    if parsed < HOT_SWAP_SINCE:
        return Promotion.RESTART, f"auto: neard {version} is older than 2.0.0 and cannot hot swap"
    return (
        Promotion.HOT_SWAP,
        f"auto: config.json tracks this account as ShadowValidator and neard {version} can hot swap",
    )


def promotion_of(state: NodeState) -> tuple[Promotion, str]:
    """The way for this term: restart for the rest of it once a hot swap has failed."""
    if state.promotion_failed:
        return Promotion.RESTART, "the hot swap did not succeed in time"
    return choose_promotion(state.policy.promotion, state.policy.shadow_tracking, state.neard_version)
