# SPDX-License-Identifier: Apache-2.0
"""A neard's RPC that says what a test wants, and a client of it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kuutamod.address import Address
from kuutamod.clock import BootClock
from kuutamod.neard.home import HomeLock, Owner
from kuutamod.neard.rpc import StatusClient

Reply = bytes | Callable[[BaseHTTPRequestHandler], None]


def status(**changes: Any) -> dict[str, Any]:
    """What a synced neard answers to ``/status``; ``changes`` replace fields of ``sync_info``, or of the whole."""
    sync = {"latest_block_height": 120, "latest_block_time": "2026-03-01T10:00:00.123456789Z", "syncing": False}
    whole = {
        "node_public_key": "ed25519:node",
        "validator_account_id": None,
        "validator_public_key": None,
        "version": {"version": "2.11.0", "build": "2.11.0"},
        "protocol_version": 83,
        "latest_protocol_version": 84,
        "uptime_sec": 9,
    }
    for name, value in changes.items():
        (sync if name in sync else whole)[name] = value
    return {**whole, "sync_info": sync}


@dataclass
class StubRpc:
    """``replies``: by path, a body or what sends one; what is missing is a 404. ``asked``: the bodies of the requests."""

    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    @contextlib.contextmanager
    def served(self) -> Iterator[Address]:
        """Serve it, each request in a thread of its own."""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                stub.asked.append((self.path, self.rfile.read(int(self.headers.get("Content-Length") or 0))))
                reply = stub.replies.get(self.path)
                if callable(reply):
                    reply(self)
                    return
                self.send_response(404 if reply is None else 200)
                self.end_headers()
                self.wfile.write(reply or b"")

            do_GET = do_POST = answer  # noqa: N815  the library's names

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the client has gone
                    super().handle()

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield Address("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@contextlib.contextmanager
def client_of(address: Address, home: Path) -> Iterator[StatusClient]:
    """A client of what listens there, for a home that it has locked."""
    lock = HomeLock.acquire(home, Owner("a", 1, 1, "host"))
    try:
        yield StatusClient(address, home / "data", lock, BootClock(), home / "key.json")
    finally:
        os.close(lock.fd)


def text(data: object) -> bytes:
    """As JSON."""
    return json.dumps(data).encode()
