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
"""Bytes; larger than any message (release plan and all but the largest environments included)."""
LONGEST_SENTENCE = 300
"""Characters of a sentence in a message: somebody's long reason must not keep an order from arriving."""
_SENTENCES = ("why", "outcome")

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
    """Send one message; False when it will not arrive: it is too large, the other end is gone, or it is not reading."""
    cut = {name: value[:LONGEST_SENTENCE] for name, value in fields.items() if name in _SENTENCES}
    data = json.dumps({"kind": kind, **fields, **cut}, separators=(",", ":")).encode()
    if len(data) > PACKET:
        return False
    try:
        end.send(data, socket.MSG_DONTWAIT)
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
