# SPDX-License-Identifier: Apache-2.0
"""A small threaded HTTP/1.1 server that can misbehave on demand.

http.server would double the start-up time of a node and offers no way to accept and never answer.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from neard_standin.config import Address
from neard_standin.control import Behaviour

_BODY_LIMIT = 10 << 20
_HEADER_LIMIT = 64 << 10
_IDLE_SECONDS = 75.0
_RECHECK_MS = 100
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
            413: "Payload Too Large", 422: "Unprocessable Entity", 500: "Internal Server Error",
            503: "Service Unavailable"}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One HTTP request; the query string is cut off its path."""

    method: str
    path: str
    body: bytes


@dataclass(frozen=True)
class Response:
    """One HTTP response."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


class _DisconnectedError(Exception):
    """The client has gone."""


def _read_request(connection: socket.socket, pending: bytes) -> tuple[Request, bytes, bool]:
    """The next request, what was received beyond it, and whether the client wants to keep the connection."""
    while b"\r\n\r\n" not in pending:
        chunk = connection.recv(65536)
        if not chunk or len(pending) > _HEADER_LIMIT:
            raise _DisconnectedError
        pending += chunk
    head, _unused, rest = pending.partition(b"\r\n\r\n")
    request_line, *header_lines = head.decode("latin-1").split("\r\n")
    method, target, version = [*request_line.split(" "), "", "", ""][:3]
    headers = {
        name.strip().lower(): value.strip() for name, _unused, value in (line.partition(":") for line in header_lines)
    }
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > _BODY_LIMIT:
        raise _DisconnectedError
    while len(rest) < int(length):
        chunk = connection.recv(65536)
        if not chunk:
            raise _DisconnectedError
        rest += chunk
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Request(method, target.partition("?")[0], rest[: int(length)]), rest[int(length) :], keep


class HttpServer:
    """Serves `answer` on `address`, a thread for each connection, as `behaviour` demands at each request."""

    def __init__(self, address: Address, answer: Callable[[Request], Response], behaviour: Callable[[], Behaviour]) -> None:
        self._address = address
        self._answer = answer
        self._behaviour = behaviour
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the port is bound."""
        return self._listener is not None

    def open(self) -> None:
        """Bind the port and start to serve; OSError when it is taken."""
        family = socket.AF_INET6 if ":" in self._address.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._address.host, self._address.port))
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="rpc", daemon=True).start()

    def close(self) -> None:
        """Close the port and every connection at once."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        # Closing alone would leave the accepting thread inside accept().
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _unused = listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="rpc-connection", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(_IDLE_SECONDS)
            pending, keep = b"", True
            while keep and self.is_open:
                request, pending, keep = _read_request(connection, pending)
                self._hold(connection)
                connection.sendall(self._render(request, keep), socket.MSG_NOSIGNAL)
        except (OSError, _DisconnectedError):
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def _hold(self, connection: socket.socket) -> None:
        """Keep the client waiting as long as the node hangs or is slow; _DisconnectedError when it gives up."""
        gone = select.poll()
        gone.register(connection, select.POLLRDHUP)
        slow = self._behaviour().slow
        if slow and gone.poll(slow * 1000):
            raise _DisconnectedError
        while self._behaviour().hang:
            if gone.poll(_RECHECK_MS):
                raise _DisconnectedError

    def _render(self, request: Request, keep: bool) -> bytes:
        behaviour = self._behaviour()
        if behaviour.empty_body:
            response = Response(200)
        elif behaviour.garbage:
            response = Response(200, b'{"version":{"version":"\xff\xfe')
        else:
            response = self._answer(request)
        head = (
            f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\ncontent-type: {response.content_type}\r\n"
            f"content-length: {len(response.body)}\r\nconnection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        return head.encode() + (b"" if request.method == "HEAD" else response.body)
