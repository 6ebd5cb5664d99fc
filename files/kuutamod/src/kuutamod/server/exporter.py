# SPDX-License-Identifier: Apache-2.0
"""The node over HTTP: ``/metrics``, ``/health`` and ``/neard-pid`` as the Rust kuutamod serves them, and this one's pages.

Everything runs in daemon threads beside the supervisor's loop, which never waits for a client. An address that can't be had
is tried again every few seconds: the exporter is never a reason to stop a validator. The number of clients is bounded; the
oldest one gives way to a new one, so clients that stay connected and say nothing don't lock out the others.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseRequestHandler, BaseServer

from ..clock import Clock
from ..core.model import NodeState
from ..log import Log
from .metrics import Metrics
from .pages import PLAIN, Pages, Reply
from .view import View

RETRY_INTERVAL = 3.0
"""Seconds between two tries to listen."""

CLIENTS = 16
"""Connections that are served at the same time."""

CLIENT_TIMEOUT = 5.0
"""Seconds for one read or write of a connection."""

_EVICTION_WAIT = 0.5
_BACKLOG = 64
_NO_SERVER = BaseServer(("", 0), BaseRequestHandler)  # the handler's base class wants one and doesn't use it


class Exporter:
    """The HTTP server; see the module. ``start`` and ``stop`` return at once."""

    def __init__(
        self,
        address: tuple[str, int],
        snapshot: Callable[[], NodeState],
        clock: Clock,
        log: Log,
        *,
        retry_interval: float = RETRY_INTERVAL,
        client_timeout: float = CLIENT_TIMEOUT,
        clients: int = CLIENTS,
        said: Callable[[], str] = lambda: "",
    ) -> None:
        """``address``: host (name, IPv4 or IPv6 without brackets) and port.

        ``snapshot`` and ``said`` (the newest decision's sentence) are called from other threads.
        """
        self._address = address
        self._snapshot = snapshot
        self._said = said
        self._clock = clock
        self._log = log
        self._metrics = Metrics(lambda: log.dropped)
        self._pages = Pages(self._metrics)
        self._retry_interval = retry_interval
        self._client_timeout = client_timeout
        self._limit = clients
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._listener: socket.socket | None = None
        self._clients: dict[socket.socket, None] = {}  # oldest first

    def start(self) -> None:
        """Listen and serve in the background, as soon as the address can be had."""
        threading.Thread(target=self._run, name="exporter", daemon=True).start()

    def stop(self) -> None:
        """End the listener and all connections."""
        self._stopped.set()
        with self._changed:
            if self._listener is not None:
                _hang_up(self._listener)  # wakes the thread that waits on it
            for client in self._clients:
                _hang_up(client)

    def observe_call(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call to Consul and how long it took. Both names must come from small fixed sets."""
        self._metrics.observed.call(operation, outcome, seconds)

    def observe_state(self, state: NodeState) -> None:
        """The node's state after an event, or after a decision; call it on the loop. Never raises."""
        try:
            self._metrics.observed.state(state, self._clock.now())
        except Exception as error:  # counting is no reason to stop a validator
            self._log.error("a change of the node's state can't be counted", why=f"{type(error).__name__}: {error}")

    def answer(self, target: str, accept: str = "") -> Reply:
        """The reply to one path with its query; ``accept``: the request's header of that name."""
        state = self._snapshot()  # before the clock is read: nothing in it is of the future
        return self._pages.answer(target, accept, View(state, self._clock.now(), self._clock.wall(), self._said()))

    def failed(self, error: Exception) -> None:
        """Log that a request could not be answered."""
        self._log.error("a request to the exporter failed", why=f"{type(error).__name__}: {error}")

    def _run(self) -> None:
        host, port = self._address
        while not self._stopped.is_set():
            try:
                listener = _listen(host, port)
            except (OSError, ValueError, OverflowError) as error:  # also names and ports that can't exist
                self._metrics.bind_failed()
                # The log holds repeats back: this is printed once a minute.
                self._log.error(
                    "the exporter can't listen, metrics are not served",
                    address=f"{host}:{port}",
                    why=error,
                    remedy="free the port or change KUUTAMO_EXPORTER_ADDRESS",
                )
                self._stopped.wait(self._retry_interval)
                continue
            with self._changed:
                self._listener = listener
            with listener:
                self._log.info("the exporter listens", address=f"{host}:{port}")
                self._serve(listener)

    def _serve(self, listener: socket.socket) -> None:
        """Accept until stopped, or until the listener breaks."""
        ready = select.poll()
        ready.register(listener, select.POLLIN)
        while not self._stopped.is_set():
            ready.poll()
            try:
                client, address = listener.accept()
            except (BlockingIOError, ConnectionError):
                continue  # the client has gone again
            except OSError as error:
                if self._stopped.is_set():
                    return
                self._log.error("the exporter can't accept connections, starting it anew", why=error)
                self._stopped.wait(self._retry_interval)
                return
            self._admit(client, address)

    def _admit(self, client: socket.socket, address: object) -> None:
        with self._changed:
            if len(self._clients) >= self._limit:
                _hang_up(next(iter(self._clients)))
                self._changed.wait_for(lambda: len(self._clients) < self._limit, _EVICTION_WAIT)
            if self._stopped.is_set() or len(self._clients) >= self._limit:
                client.close()
                return
            self._clients[client] = None
        try:
            threading.Thread(target=self._attend, args=(client, address), name="exporter-client", daemon=True).start()
        except RuntimeError as error:  # no more threads on this host
            self.failed(error)
            self._forget(client)

    def _attend(self, client: socket.socket, address: object) -> None:
        try:
            client.settimeout(self._client_timeout)
            with contextlib.suppress(OSError):  # the client went, or took too long
                _Handler(client, address, self)
        finally:
            self._forget(client)

    def _forget(self, client: socket.socket) -> None:
        with self._changed:
            del self._clients[client]
            self._changed.notify_all()
        client.close()


class _Handler(BaseHTTPRequestHandler):
    """One request on one connection; the constructor does it all."""

    server_version = "kuutamod"
    sys_version = ""

    def __init__(self, client: socket.socket, address: object, exporter: Exporter) -> None:
        self._exporter = exporter
        super().__init__(client, address, _NO_SERVER)

    def do_GET(self) -> None:
        """Answer in full."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer as GET, without the body."""
        self._answer(with_body=False)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a method that has no ``do_...`` here: nothing can be changed. Other errors as in the base class."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._reply(Reply(HTTPStatus.METHOD_NOT_ALLOWED, PLAIN, b"only GET and HEAD\n"), with_body=True)
        else:
            super().send_error(code, message, explain)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line."""

    def _answer(self, *, with_body: bool) -> None:
        try:
            reply = self._exporter.answer(self.path, ", ".join(self.headers.get_all("Accept", [])))
        except Exception as error:  # a fault in one page must be seen, and must not end more than this request
            self._exporter.failed(error)
            reply = Reply(HTTPStatus.INTERNAL_SERVER_ERROR, PLAIN, b"internal error, see the log\n")
        self._reply(reply, with_body=with_body)

    def _reply(self, reply: Reply, *, with_body: bool) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        if reply.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if with_body:
            self.wfile.write(reply.body)


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _unused, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _hang_up(client: socket.socket) -> None:
    """End a socket under the thread that works on it; only that thread closes it."""
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
