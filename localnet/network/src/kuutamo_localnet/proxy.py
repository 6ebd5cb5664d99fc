# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that fails on demand: refused, silent, one-way, slow or answering errors.

It stands in front of a Consul agent where a test cannot cut a real network, and where only one direction shall be cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypeVar

from .ports import PortPool

T = TypeVar("T")

CONTROL_DEADLINE = 10.0  # seconds for the proxy's thread to obey, on a busy machine
CHUNK = 65_536


class Mode(Enum):
    """What happens to connections, old and new.

    OPEN: as if the proxy were not there. REFUSE: connection refused, existing connections reset. BLACKHOLE: accepted,
    nothing is delivered either way; bytes sent meanwhile arrive late when the mode ends, as TCP would deliver them
    after a healed cut. DROP_ANSWERS: requests arrive, their answers never do. DELAY: answers or requests arrive late.
    ERROR: each request gets a canned HTTP answer and never reaches the target.
    """

    OPEN = "open"
    REFUSE = "refuse"
    BLACKHOLE = "blackhole"
    DROP_ANSWERS = "drop-answers"
    DELAY = "delay"
    ERROR = "error"


class Direction(Enum):
    """One half of a connection."""

    REQUESTS = "requests"
    ANSWERS = "answers"


@dataclass(frozen=True)
class _Behaviour:
    mode: Mode
    seconds: float = 0.0
    direction: Direction = Direction.ANSWERS
    answer: bytes = b""


class RefusingProxy:
    """A proxy on `listen_host` (a free port unless one is given) in front of `target_host:target_port`.

    It runs in a thread of its own from `start()` (or entering the context) to `close()`. Each method that changes the
    mode returns when the change is in effect. `target_socket` makes the sockets towards the target, which lets it
    reach into another network namespace. `accepted` counts connections.
    """

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        listen_host: str = "127.0.0.1",
        port: int | None = None,
        target_socket: Callable[[], socket.socket] | None = None,
    ) -> None:
        self._target = (target_host, target_port)
        self._target_socket = target_socket or (lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        self._pool = PortPool()
        self.host = listen_host
        self.port = port if port is not None else self._pool.reserve(1, listen_host)[0]
        self.accepted = 0
        self._behaviour = _Behaviour(Mode.OPEN)
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        # Only used on the loop.
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    @property
    def url(self) -> str:
        """The proxy's address as an HTTP base URL."""
        return f"http://{self.host}:{self.port}"

    @property
    def mode(self) -> Mode:
        """The mode in effect."""
        return self._behaviour.mode

    def start(self) -> Self:
        """Start listening. Raises OSError when the port is taken."""
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()
        self._call(self._listen())
        return self

    def pass_through(self) -> None:
        """Deliver everything again."""
        self._set(_Behaviour(Mode.OPEN))

    def refuse(self) -> None:
        """Refuse connections and reset the existing ones."""
        self._set(_Behaviour(Mode.REFUSE))

    def blackhole(self) -> None:
        """Accept connections and deliver nothing, until another mode is set."""
        self._set(_Behaviour(Mode.BLACKHOLE))

    def drop_answers(self) -> None:
        """Deliver requests, swallow answers: a cut that only the client sees."""
        self._set(_Behaviour(Mode.DROP_ANSWERS))

    def delay(self, seconds: float, direction: Direction = Direction.ANSWERS) -> None:
        """Deliver what flows in `direction` `seconds` late."""
        self._set(_Behaviour(Mode.DELAY, seconds=seconds, direction=direction))

    def error(self, status: int, text: str = "refused by the test proxy") -> None:
        """Answer each request with this HTTP status and text."""
        body = text.encode()
        head = f"HTTP/1.1 {status} Canned\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        self._set(_Behaviour(Mode.ERROR, answer=f"{head}Connection: close\r\n\r\n".encode() + body))

    def close(self) -> None:
        """Reset all connections and stop. May be called twice."""
        if self._thread is not None:
            self._call(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CONTROL_DEADLINE)
            self._thread = None
        if not self._loop.is_closed():
            self._loop.close()
        self._pool.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CONTROL_DEADLINE)

    def _set(self, behaviour: _Behaviour) -> None:
        self._call(self._apply(behaviour))

    async def _apply(self, behaviour: _Behaviour) -> None:
        before, self._behaviour = self._behaviour, behaviour
        if behaviour.mode is Mode.REFUSE:
            await self._stop()
        elif before.mode is Mode.DROP_ANSWERS:
            # A stream with a hole cannot be continued.
            await self._reset(lambda connection: connection.dropped)
        if behaviour.mode is not Mode.REFUSE and self._server is None:
            await self._listen()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, reuse_address=True)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset(lambda _connection: True)

    async def _reset(self, chosen: Callable[[_Connection], bool]) -> None:
        tasks = [task for task, connection in self._connections.items() if chosen(connection)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        connection = _Connection(self, reader, writer)
        self._connections[task] = connection
        try:
            await connection.run()
        except (OSError, asyncio.CancelledError):
            connection.reset()
        finally:
            del self._connections[task]
            connection.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self._target_socket()
        target.setblocking(False)
        try:
            await self._loop.sock_connect(target, self._target)
        except OSError:
            target.close()
            raise
        return await asyncio.open_connection(sock=target)

    async def _deliverable(self, direction: Direction, arrived: float) -> _Behaviour:
        """Wait until bytes of `direction` that arrived at that time of the loop move on; returns the mode then."""
        while self._behaviour.mode is Mode.BLACKHOLE:
            await self._changed.wait()
        behaviour = self._behaviour
        if behaviour.mode is Mode.DELAY and behaviour.direction is direction:
            await asyncio.sleep(arrived + behaviour.seconds - self._loop.time())
        return behaviour


class _Inbox:
    """Reads a stream as bytes arrive and remembers when each piece did, so that a delay is the same for all."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        data = b"begin"
        while data:
            try:
                data = await self._reader.read(CHUNK)
            except OSError:
                data = b""
            await self._pieces.put((loop.time(), data))

    async def next(self) -> tuple[float, bytes]:
        """When the next piece arrived (time of the loop), and the piece, empty at the end of the stream."""
        return await self._pieces.get()

    def close(self) -> None:
        """Stop reading."""
        self._task.cancel()


class _Connection:
    """One client's connection, from its first byte to its end."""

    def __init__(self, proxy: RefusingProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._requests = _Inbox(reader)
        self._writer = writer
        self._target_writer: asyncio.StreamWriter | None = None
        self.dropped = False

    async def run(self) -> None:
        """Carry bytes until either side ends."""
        answers: asyncio.Task[None] | None = None
        try:
            while True:
                arrived, data = await self._requests.next()
                behaviour = await self._proxy._deliverable(Direction.REQUESTS, arrived)
                if not data:
                    break
                if behaviour.mode is Mode.ERROR:
                    await self._answer(data, behaviour.answer)
                    return
                if self._target_writer is None:
                    target_reader, self._target_writer = await self._proxy._connect()
                    answers = asyncio.create_task(self._carry_answers(_Inbox(target_reader)))
                self._target_writer.write(data)
                await self._target_writer.drain()
            if self._target_writer is not None and answers is not None:
                self._target_writer.write_eof()
                await answers
        finally:
            if answers is not None:
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)

    async def _carry_answers(self, answers: _Inbox) -> None:
        try:
            while True:
                arrived, data = await answers.next()
                behaviour = await self._proxy._deliverable(Direction.ANSWERS, arrived)
                if not data:
                    break
                if behaviour.mode is Mode.DROP_ANSWERS:
                    self.dropped = True
                elif not self.dropped:
                    self._writer.write(data)
                    await self._writer.drain()
            if not self.dropped:
                self._writer.close()
        except OSError:
            self.reset()
        finally:
            answers.close()

    async def _answer(self, data: bytes, answer: bytes) -> None:
        """Read the rest of one request, so that the client is not reset while it still sends; then answer."""
        while not _is_whole_request(data):
            _unused, more = await self._requests.next()
            if not more:
                return
            data += more
        self._writer.write(answer)
        await self._writer.drain()

    def reset(self) -> None:
        """End the client's connection by RST instead of FIN."""
        raw = self._writer.get_extra_info("socket")
        if raw is not None and not self._writer.is_closing():
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """End both sides."""
        self._requests.close()
        self._writer.close()
        if self._target_writer is not None:
            self._target_writer.close()


def _is_whole_request(data: bytes) -> bool:
    head, separator, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _unused, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    return bool(separator) and len(body) >= length
