# SPDX-License-Identifier: Apache-2.0
"""Reading what a scrape prints."""

from __future__ import annotations

from kuutamod.core.model import NodeState
from kuutamod.server.metrics import Metrics
from kuutamod.server.view import View
from unit.server import snapshots


def values(text: str) -> dict[str, float]:
    """Series with its labels as printed -> value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}
    assert len(found) == len(lines), "a series is there twice"
    return found


def scrape_view(metrics: Metrics, view: View) -> dict[str, float]:
    """One scrape of these metrics."""
    return values(metrics.render(view).decode())


def scrape(state: NodeState, now: float, metrics: Metrics | None = None) -> dict[str, float]:
    """One scrape of a state, by metrics that were told nothing unless some are given."""
    return scrape_view(metrics or Metrics(lambda: 0), snapshots.view(state, now))
