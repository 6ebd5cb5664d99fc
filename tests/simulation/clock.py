# SPDX-License-Identifier: Apache-2.0
"""The clock of one host: CLOCK_BOOTTIME with a rate that is a little wrong."""

from __future__ import annotations


class HostClock:
    """Local seconds as a straight line over true seconds. ``stops_in_suspend`` makes it the wrong clock (a mutant)."""

    __slots__ = ("_offset", "_stopped_at", "rate", "stops_in_suspend")

    def __init__(self, rate: float, offset: float, stops_in_suspend: bool = False) -> None:
        self.rate = rate
        self.stops_in_suspend = stops_in_suspend
        self._offset = offset
        self._stopped_at: float | None = None

    def local(self, true: float) -> float:
        """What the clock shows at ``true``."""
        if self._stopped_at is not None:
            true = self._stopped_at
        return self._offset + self.rate * true

    def true(self, local: float) -> float:
        """The true time at which it shows ``local``."""
        return (local - self._offset) / self.rate

    def span(self, local_seconds: float) -> float:
        """How long that many of its seconds really last."""
        return local_seconds / self.rate

    def suspend(self, true: float) -> None:
        """The host is suspended."""
        if self.stops_in_suspend:
            self._stopped_at = true

    def resume(self, true: float) -> None:
        """The host runs again."""
        if self._stopped_at is not None:
            self._offset -= self.rate * (true - self._stopped_at)
            self._stopped_at = None

    def reboot(self, true: float) -> None:
        """The count starts anew."""
        self._offset = 1.0 - self.rate * true
        self._stopped_at = None
