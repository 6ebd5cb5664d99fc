# SPDX-License-Identifier: Apache-2.0
"""An IP address with a port, as settings and neard's config.json write it."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

_LARGEST_PORT = 65535
_REACHED_BY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  the wildcards, and where they are reached on this host


class Address(NamedTuple):
    """An IP address (no brackets) and a TCP port; prints as ``127.0.0.1:2233`` or ``[::1]:2233``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in ``text``. :raises ValueError: what is wrong with it."""
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ValueError("it has no port")
        if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= _LARGEST_PORT):
            raise ValueError(f"the port {port!r} is not a number from 1 to {_LARGEST_PORT}")
        bracketed = host.startswith("[") and host.endswith("]")
        try:
            ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
        except ValueError:
            raise ValueError(f"{host!r} is not an IP address") from None
        if bracketed != (ip.version == 6):
            raise ValueError(f"{host!r}: exactly IPv6 addresses are written in brackets")
        return cls(str(ip), int(port))

    def reached_at(self) -> Address:
        """Where a server that listens here is reached from this host: a wildcard stands for loopback."""
        return Address(_REACHED_BY.get(self.host, self.host), self.port)

    def collides_with(self, other: Address) -> bool:
        """Can one host not listen on both at a time?"""
        wild = self.host in _REACHED_BY or other.host in _REACHED_BY
        return self.port == other.port and (wild or self.host == other.host)
