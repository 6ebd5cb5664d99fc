# SPDX-License-Identifier: Apache-2.0
"""Tells systemd how the service is: ready, its status line, alive, stopping (protocol: sd_notify(3)).

Without systemd nothing happens. Nothing here waits or raises: a full or missing socket costs a message, not the validator.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """The channel to systemd. Each message method tells whether the message was handed over."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        """Reads systemd's variables once and removes them, so that no child can speak for this process."""
        found = os.environ if environment is None else environment
        self._address, patience, pid = (found.pop(name, "") for name in _VARIABLES)
        self._patience = _seconds(patience) if pid in ("", str(os.getpid())) else None

    def watchdog_interval(self) -> float | None:
        """Seconds between two pings, half of systemd's patience as it advises; None when it does not watch."""
        return None if self._patience is None else self._patience / 2

    def ready(self) -> bool:
        """The service has started."""
        return self._send("READY=1")

    def status(self, text: str) -> bool:
        """One line for ``systemctl status``."""
        # A line break would let the rest of the text pass as another message.
        return self._send("STATUS=" + " ".join(text.splitlines()))

    def watchdog(self) -> bool:
        """The service is alive."""
        return self._send("WATCHDOG=1")

    def stopping(self) -> bool:
        """The service is about to end."""
        return self._send("STOPPING=1")

    def _send(self, message: str) -> bool:
        if self._address[:1] not in ("/", "@"):
            return False
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            with socket.socket(socket.AF_UNIX, kind) as channel:
                channel.sendto(message.encode(errors="backslashreplace"), os.fsencode(path))
        except OSError:
            return False
        return True


def _seconds(microseconds: str) -> float | None:
    try:
        seconds = int(microseconds) / 1e6
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None
