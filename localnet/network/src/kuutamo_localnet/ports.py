# SPDX-License-Identifier: Apache-2.0
"""Free loopback ports that no other test process is handed at the same time.

Ports come from outside the kernel's ephemeral range, so that no outgoing connection can take one between the
reservation and the use. Each is reserved by a lock on a file of its own, shared by all test processes of this user;
the kernel drops the lock when the process ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

FIRST_PORT = 10_240
LAST_PORT = 65_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def candidate_ports() -> list[int]:
    """All ports outside the kernel's ephemeral range, from which reservations are drawn."""
    low, high = (int(part) for part in EPHEMERAL_RANGE.read_text().split())
    return [port for port in range(FIRST_PORT, LAST_PORT + 1) if not low <= port <= high]


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether `port` can be bound on `host` for TCP and UDP (Consul's gossip needs both)."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # Without it the remains of a closed connection (TIME_WAIT) would look like a listener.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    return False
                raise
    return True


class PortPool:
    """Ports reserved for this process until `release()`, `close()` or its end."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or Path(tempfile.gettempdir()) / f"kuutamo-ports-{os.getuid()}"
        self._locks: dict[int, int] = {}

    def reserve(self, count: int = 1, host: str = "127.0.0.1") -> list[int]:
        """`count` distinct ports that are free on `host`. Raises RuntimeError when there are not enough."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        candidates = candidate_ports()
        # Parallel runs start at different places and so rarely meet on one lock file.
        random.SystemRandom().shuffle(candidates)
        found: list[int] = []
        for port in candidates:
            if len(found) == count:
                break
            if self._take(port, host):
                found.append(port)
        if len(found) < count:
            self.release(*found)
            raise RuntimeError(f"only {len(found)} of {count} ports between {FIRST_PORT} and {LAST_PORT} are free")
        return found

    def release(self, *ports: int) -> None:
        """Give ports back; unknown ones are ignored."""
        for port in ports:
            if (descriptor := self._locks.pop(port, None)) is not None:
                os.close(descriptor)

    def close(self) -> None:
        """Give all ports back."""
        self.release(*list(self._locks))

    def _take(self, port: int, host: str) -> bool:
        if port in self._locks:
            return False
        descriptor = os.open(self._directory / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_free(port, host):
                self._locks[port] = descriptor
                return True
        os.close(descriptor)
        return False


_shared = PortPool()


def reserve_ports(count: int = 1, host: str = "127.0.0.1") -> list[int]:
    """`count` ports reserved for the rest of this process's life. Raises RuntimeError when there are not enough."""
    return _shared.reserve(count, host)


def reserve_port(host: str = "127.0.0.1") -> int:
    """One port reserved for the rest of this process's life. Raises RuntimeError when there is none."""
    return _shared.reserve(1, host)[0]
