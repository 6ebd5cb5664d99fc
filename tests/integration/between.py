# SPDX-License-Identifier: Apache-2.0
"""A URL in front of Consul where a test meddles with single transactions: before they are applied, and with the answer."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

DEADLINE = 60.0  # seconds for Consul to answer, on a busy machine
_PASSED_ON = ("X-Consul-Token", "Content-Type")
_PASSED_BACK = ("X-Consul-Index", "Content-Type")

Meddle = Callable[[str, Callable[[], None]], bool]
"""Called for each transaction with its body and a function that applies it now. Is the answer to be given? A transaction
that was not applied by then has no answer.
"""


def lost(key: str) -> Meddle:
    """Transactions that name this key are applied, and their answers are lost."""

    def meddle(body: str, apply: Callable[[], None]) -> bool:
        apply()
        return key not in body

    return meddle


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextlib.contextmanager
def between(target: str, meddle: Meddle) -> Iterator[str]:
    """The URL, as long as it lasts. What is not a transaction passes as it is."""
    to = urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(self._ask(b""))

        def do_PUT(self) -> None:
            body, answers = self.rfile.read(int(self.headers.get("Content-Length") or 0)), []
            if self.path.startswith("/v1/txn"):
                given = meddle(body.decode(), lambda: answers.append(self._ask(body)))
                if not (given and answers):
                    self.close_connection = True
                    return
                self._answer(answers[0])
            else:
                self._answer(self._ask(body))

        def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
            consul = http.client.HTTPConnection(str(to.hostname), to.port, timeout=DEADLINE)
            with contextlib.closing(consul):
                headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
                consul.request(self.command, self.path, body or None, headers)
                answer = consul.getresponse()
                return answer, answer.read()

        def _answer(self, answer: tuple[http.client.HTTPResponse, bytes]) -> None:
            response, body = answer
            with contextlib.suppress(OSError):  # the asker has given up
                self.send_response(response.status)
                for name in _PASSED_BACK:
                    if (value := response.getheader(name)) is not None:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)
