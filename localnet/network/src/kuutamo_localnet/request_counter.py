# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy in front of a Consul agent that counts requests by kind."""

from __future__ import annotations

import collections
import http.client
import http.server
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

ANSWER_DEADLINE = 660.0  # seconds; Consul holds a blocking query for at most 10 minutes and a sixteenth
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def kind_of(method: str, path: str) -> str:
    """What a request is about: the method and the endpoint, without keys and ids, such as `PUT session/renew`."""
    parts = urlsplit(path).path.removeprefix("/v1/").split("/")
    return f"{method} {'/'.join(parts[:2]) if parts[0] == 'session' else parts[0]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, RequestCounter)
        host, port = self.server.target
        self._agent = http.client.HTTPConnection(host, port, timeout=ANSWER_DEADLINE)

    def finish(self) -> None:
        self._agent.close()
        super().finish()

    def _forward(self) -> None:
        assert isinstance(self.server, RequestCounter)
        self.server.count(kind_of(self.command, self.path))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        try:
            self._agent.request(self.command, self.path, body, headers)
            answer = self._agent.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (OSError, http.client.HTTPException):
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - the names http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        """Nothing; overrides the access log on standard error."""


class RequestCounter(http.server.ThreadingHTTPServer):
    """The proxy on a free port, in front of `target_host:target_port`; it runs while its context is entered."""

    daemon_threads = True
    # Blocking queries may last for minutes; their threads end with the process.
    block_on_close = False

    def __init__(self, target_host: str, target_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = (target_host, target_port)
        self._counts: collections.Counter[str] = collections.Counter()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="request-counter", daemon=True)

    @property
    def url(self) -> str:
        """The proxy's address as an HTTP base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, kind: str) -> None:
        """Count one request."""
        with self._guard:
            self._counts[kind] += 1

    def counts(self) -> dict[str, int]:
        """How many requests of each kind there were since the start."""
        with self._guard:
            return dict(self._counts)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing to say about a client that went away; overrides the traceback on standard error."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.shutdown()
        self.server_close()
