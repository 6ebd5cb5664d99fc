# SPDX-License-Identifier: Apache-2.0
"""Talking to a running localnet: a Unix socket in its directory, one JSON line each way."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .commands import CommandError, Request
from .workspace import CONTROL_SOCKET

REQUEST_DEADLINE = 2.0  # seconds for a client to send its line
ANSWER_DEADLINE = 60.0  # seconds; the loss of a host waits until all its processes are gone
LONGEST_LINE = 65_536


@contextlib.contextmanager
def _reachable(directory: Path) -> Iterator[str]:
    """An address of the socket in `directory` that is short enough for a Unix socket, however deep the directory is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{CONTROL_SOCKET}"
    finally:
        os.close(descriptor)


def ask(directory: Path, request: Request) -> str:
    """The running localnet's answer to `request`.

    Raises CommandError with its refusal, or with the remedy when none runs in `directory` or it does not answer.
    """
    try:
        with _reachable(directory) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_DEADLINE)
            connection.connect(address)
            connection.sendall(json.dumps(request.to_json()).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline(LONGEST_LINE))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise CommandError(f"--dir {directory}: no localnet runs in it; start one with `kuutamo-localnet up`") from None
    except (OSError, ValueError) as error:
        raise CommandError(f"--dir {directory}: the localnet did not answer: {error}") from error
    if not answer["ok"]:
        raise CommandError(answer["text"])
    return str(answer["text"])


class _Handler(socketserver.StreamRequestHandler):
    timeout = REQUEST_DEADLINE

    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        # A client that sends rubbish or leaves early is its own problem.
        with contextlib.suppress(OSError, ValueError):
            answer = self.server.answer(json.loads(self.rfile.readline(LONGEST_LINE)))
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class _Server(socketserver.UnixStreamServer):
    """One connection after the other: what is done to nodes is never done by two at a time."""

    def __init__(self, address: str, execute: Callable[[Request], str]) -> None:
        self._execute = execute
        super().__init__(address, _Handler)

    def answer(self, content: Any) -> dict[str, object]:
        """Carry out one request."""
        try:
            return {"ok": True, "text": self._execute(Request.from_json(content))}
        except CommandError as error:
            return {"ok": False, "text": str(error)}
        except Exception as error:  # the localnet goes on, whatever one command ran into
            return {"ok": False, "text": f"{type(error).__name__}: {error}"}

    def server_bind(self) -> None:
        """Bind, and let nobody else's processes connect: kernel permissions of the socket file decide."""
        super().server_bind()
        Path(str(self.server_address)).chmod(0o600)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing to say about a client that went away; overrides the traceback on standard error."""


class ControlServer:
    """Carries out requests in a thread of its own, from entering the context to leaving it."""

    def __init__(self, directory: Path, execute: Callable[[Request], str]) -> None:
        self._directory = directory
        self._socket = directory / CONTROL_SOCKET
        # A killed localnet leaves its socket behind; the caller holds the directory's lock, so nobody listens on it.
        self._socket.unlink(missing_ok=True)
        with _reachable(directory) as address:
            self._server = _Server(address, execute)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="control", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._socket.unlink(missing_ok=True)
