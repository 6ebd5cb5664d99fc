# SPDX-License-Identifier: Apache-2.0
"""The failing proxy, in front of a small HTTP server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from kuutamo_localnet.proxy import Direction, Mode, RefusingProxy
from kuutamo_localnet.wait import eventually


class Target(ThreadingHTTPServer):
    """Answers everything and remembers what reached it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Target

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.paths.append(self.path)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")

    do_PUT = do_GET  # noqa: N815 - named by http.server

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(target: Target) -> Iterator[RefusingProxy]:
    with RefusingProxy("127.0.0.1", target.server_port) as proxy:
        yield proxy


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_passes_everything(proxy: RefusingProxy, target: Target, http: requests.Session) -> None:
    assert http.get(f"{proxy.url}/a", timeout=20).text == "fine"
    assert http.put(f"{proxy.url}/b", data=b"x" * 300_000, timeout=20).text == "fine"
    assert target.paths == ["/a", "/b"]
    assert proxy.accepted == 1  # one connection, kept alive


def test_refuses_and_resets_and_comes_back_on_the_same_port(
    proxy: RefusingProxy, target: Target, http: requests.Session
) -> None:
    with socket.create_connection((proxy.host, proxy.port), timeout=20) as existing:
        eventually(lambda: proxy.accepted == 1, 20, "the connection is accepted")
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            existing.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((proxy.host, proxy.port), timeout=20)
    assert target.paths == []
    proxy.pass_through()
    assert http.get(f"{proxy.url}/again", timeout=20).text == "fine"


def test_a_black_hole_accepts_and_delivers_late(proxy: RefusingProxy, target: Target, http: requests.Session) -> None:
    proxy.blackhole()
    with pytest.raises(requests.ReadTimeout):
        http.get(f"{proxy.url}/cut", timeout=(20, 0.3))
    assert target.paths == []
    proxy.pass_through()
    eventually(lambda: target.paths == ["/cut"], 20, "the request of the client that gave up arrives late")


def test_a_black_hole_holds_existing_connections_too(proxy: RefusingProxy, target: Target, http: requests.Session) -> None:
    http.get(f"{proxy.url}/before", timeout=20)
    proxy.blackhole()
    with pytest.raises(requests.ReadTimeout):
        http.get(f"{proxy.url}/during", timeout=(20, 0.3))
    assert target.paths == ["/before"]
    assert proxy.accepted == 1


def test_dropped_answers_never_come_and_requests_do(proxy: RefusingProxy, target: Target, http: requests.Session) -> None:
    proxy.drop_answers()
    with socket.create_connection((proxy.host, proxy.port), timeout=20) as client:
        client.sendall(b"GET /one-way HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: target.paths == ["/one-way"], 20, "the request arrives")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.pass_through()
        # A stream with a hole is reset rather than continued.
        client.settimeout(20)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert http.get(f"{proxy.url}/after", timeout=20).text == "fine"


@pytest.mark.parametrize("direction", list(Direction))
def test_delays_by_the_given_time(
    direction: Direction, proxy: RefusingProxy, target: Target, http: requests.Session
) -> None:
    proxy.delay(2.0, direction)
    begun = time.monotonic()
    if direction is Direction.REQUESTS:
        with pytest.raises(requests.ReadTimeout):
            http.get(f"{proxy.url}/slow", timeout=(20, 0.1))
        assert target.paths == []
    assert http.get(f"{proxy.url}/slow", timeout=20).text == "fine"
    assert time.monotonic() - begun >= 2.0
    assert proxy.mode is Mode.DELAY


@pytest.mark.parametrize("status", [500, 403])
def test_answers_errors_itself(status: int, proxy: RefusingProxy, target: Target, http: requests.Session) -> None:
    http.get(f"{proxy.url}/before", timeout=20)
    proxy.error(status, "No cluster leader")
    for _unused in range(2):
        answer = http.put(f"{proxy.url}/x", data=b"y" * 300_000, timeout=20)
        assert (answer.status_code, answer.text) == (status, "No cluster leader")
    assert target.paths == ["/before"]
    proxy.pass_through()
    assert http.get(f"{proxy.url}/after", timeout=20).status_code == 200


def test_a_dead_target_resets_the_client() -> None:
    with (
        RefusingProxy("127.0.0.1", 1) as proxy,
        socket.create_connection((proxy.host, proxy.port), timeout=20) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_close_resets_connections_and_may_be_repeated(target: Target) -> None:
    proxy = RefusingProxy("127.0.0.1", target.server_port).start()
    with socket.create_connection((proxy.host, proxy.port), timeout=20) as client:
        eventually(lambda: proxy.accepted == 1, 20, "the connection is accepted")
        proxy.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    proxy.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((proxy.host, proxy.port), timeout=20)
