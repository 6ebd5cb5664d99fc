# SPDX-License-Identifier: Apache-2.0
"""What supervisor and guard say to each other: one JSON object per packet on a SOCK_SEQPACKET pair.

Times are boottime seconds. Standard library only.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

PACKET = 128 * 1024
"""Bytes; larger than any message (environment and release plan included)."""

Message = Mapping[str, Any]

# supervisor -> guard
START = "start"
PLACE = "place"
UNLOAD = "unload"
EXTEND = "extend"
STOP = "stop"
KILL = "kill"
# guard -> supervisor
STARTED = "started"
FAILED = "failed"
ACK = "ack"
PLACED = "placed"
UNLOADED = "unloaded"
REFUSED = "refused"
EXITED = "exited"
RELEASED = "released"


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends; packets keep their borders, and a closed end is seen at once."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, kind: str, **fields: Any) -> bool:
    """Send one message; False when the other end is gone or its queue is full (it is not reading)."""
    try:
        end.send(json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode(), socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True


def receive(end: socket.socket) -> Message | None:
    """The next message, or None when the other end is closed.

    :raises BlockingIOError: nothing to read on a non-blocking end.
    """
    try:
        data = end.recv(PACKET)
    except ConnectionError:
        return None
    if not data:
        return None
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message
