# SPDX-License-Identifier: Apache-2.0
"""A server that answers as a test says, for answers that a healthy Consul never gives."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kuutamod.clock import BootClock
from kuutamod.consul.adapter import ConsulAdapter
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.protocol import LockRecord, MemberRecord

ACCOUNT = "fleet.near"
KEY = f"kuutamod-leader/{ACCOUNT}"
SESSION = "11111111-2222-3333-4444-555555555555"
RECORD = LockRecord(hostname="host-a", node_id="n1", term=3, heartbeat=7, guard_time=9.0)
MEMBER = MemberRecord(node_id="n1", hostname="host-a", life="life-1", home="/srv/near")

_made: list[ConsulAdapter] = []


@dataclass(frozen=True)
class Answer:
    """What the server says; ``index`` is the header of a blocking query, ``location`` that of a redirect."""

    status: int
    body: str = ""
    index: str | None = "7"
    location: str | None = None


@dataclass
class Asked:
    """What the server was asked: method and path with query, and the tokens sent along."""

    requests: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)


Behaviour = Callable[[str, str], Answer]
"""From method and path to the answer."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextlib.contextmanager
def answering(behaviour: Behaviour) -> Iterator[tuple[str, Asked]]:
    """A running server: its URL, and what it was asked."""
    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer()

        def do_POST(self) -> None:
            self.do_PUT()

        def do_DELETE(self) -> None:
            self.do_PUT()

        def _answer(self) -> None:
            asked.requests.append(f"{self.command} {self.path}")
            asked.tokens.append(self.headers.get("X-Consul-Token"))
            answer = behaviour(self.command, self.path)
            with contextlib.suppress(OSError):  # the asker has given up
                self.send_response(answer.status)
                if answer.index is not None:
                    self.send_header("X-Consul-Index", answer.index)
                if answer.location is not None:
                    self.send_header("Location", answer.location)
                self.send_header("Content-Length", str(len(answer.body.encode())))
                self.end_headers()
                self.wfile.write(answer.body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5.0)


def adapter(
    settings: ConsulSettings, law: LeaseLaw | None = None, observe: Callable[[str, str, float], None] | None = None
) -> ConsulAdapter:
    """An adapter for node ``n1``; ``close_adapters`` ends it."""
    observer = observe or (lambda _operation, _outcome, _seconds: None)
    made = ConsulAdapter(settings, ACCOUNT, "n1", "life-1", "host-a", "/srv/near", law or LeaseLaw(), BootClock(), observer)
    _made.append(made)
    return made


def close_adapters() -> None:
    """End the threads of all adapters made so far."""
    while _made:
        _made.pop().close()
