# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: its pages, and that neither clients nor a taken port can hurt the supervisor."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from kuutamo_localnet.ports import PortPool
from kuutamo_localnet.wait import eventually
from kuutamod.core.model import NodeState
from kuutamod.log import Format, Level, Log
from kuutamod.server.exporter import Exporter
from kuutamod.server.metrics import CONTENT_TYPE
from unit.server import snapshots

Answer = tuple[int, dict[str, str], bytes]


class StillClock:
    """Time by hand."""

    def __init__(self) -> None:
        self.time = 200.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time


class Bench:
    """Exporters on reserved ports over a state that the test sets."""

    def __init__(self) -> None:
        self.state = snapshots.VOTING
        self.said = "standby: waiting"
        self.clock = StillClock()
        self.text = io.StringIO()
        self.log = Log(Format.LOGFMT, Level.INFO, self.text, node="a", clock=self.clock)
        self.ports = PortPool()
        self.port = self.ports.reserve()[0]
        self.exporters: list[Exporter] = []

    def exporter(self, host: str = "127.0.0.1", **options: float) -> Exporter:
        """A started one; clients are patient with each other unless told otherwise."""
        patience = {"retry_interval": 0.02, "client_timeout": 300.0, **options}
        made = Exporter(
            (host, self.port),
            self.snapshot,
            self.clock,
            self.log,
            said=lambda: self.said,
            **patience,  # type: ignore[arg-type]
        )
        self.exporters.append(made)
        made.start()
        return made

    def snapshot(self) -> NodeState:
        return self.state

    def ask(self, path: str, method: str = "GET", host: str = "127.0.0.1", accept: str = "*/*") -> Answer:
        """One request; raises while nothing listens."""
        connection = http.client.HTTPConnection(host, self.port, timeout=60)
        try:
            connection.request(method, path, headers={"Accept": accept})
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            connection.close()

    def wait_served(self, host: str = "127.0.0.1") -> None:
        eventually(lambda: self.ask("/health", host=host)[2] == b"OK", 30, "the exporter serves")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def lines(self, part: str) -> list[str]:
        self.log.flush(30)
        return [line for line in self.text.getvalue().splitlines() if part in line]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for exporter in made.exporters:
        exporter.stop()
    eventually(lambda: not threads("exporter"), 30, "the exporters' threads end")
    made.ports.close()


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def value(text: bytes, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text.decode(), re.MULTILINE)
    assert found, name
    return float(found[1])


def test_the_pages(bench: Bench) -> None:
    bench.exporter()
    bench.wait_served()
    status, headers, body = bench.ask("/metrics?name=x")
    assert (status, headers["Content-Type"]) == (200, CONTENT_TYPE)
    assert b'\nkuutamod_state{type="Voting"} 1\n' in body
    assert b"\nkuutamod_uptime 100000\n" in body
    assert bench.ask("/health")[::2] == (200, b"OK")
    assert bench.ask("/neard-pid")[::2] == (200, b"77")
    assert bench.ask("/elsewhere")[0] == 404


def test_the_nodes_own_view(bench: Bench) -> None:
    bench.exporter()
    bench.wait_served()
    status, headers, body = bench.ask("/status")
    found = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert (found["node"], found["at"], found["uptime"]) == ("a", 200.0, 100.0)
    assert found["decision"] == "standby: waiting"
    bench.said = "taking the lock"
    assert json.loads(bench.ask("/status")[2])["decision"] == "taking the lock"


def test_the_role_pages_follow_the_state(bench: Bench) -> None:
    def codes() -> dict[str, int]:
        return {path: bench.ask(path)[0] for path in ("/active", "/standby", "/ready")}

    bench.exporter()
    bench.wait_served()
    bench.clock.time = snapshots.NOW
    assert codes() == {"/active": 503, "/standby": 503, "/ready": 503}
    bench.state = snapshots.ELIGIBLE
    assert codes() == {"/active": 503, "/standby": 200, "/ready": 200}
    bench.state = snapshots.HOLDER
    assert codes() == {"/active": 200, "/standby": 503, "/ready": 200}
    bench.clock.time = 157.0  # nothing has proven the lease since
    assert codes() == {"/active": 503, "/standby": 503, "/ready": 503}


@pytest.mark.parametrize(("target", "accept"), [("/active?format=json", "*/*"), ("/active", "application/json")])
def test_a_role_page_as_json(bench: Bench, target: str, accept: str) -> None:
    bench.exporter()
    bench.wait_served()
    status, headers, body = bench.ask(target, accept=accept)
    assert (status, headers["Content-Type"]) == (503, "application/json")
    assert json.loads(body)["active"] is False


def test_the_terms_that_were_told(bench: Bench) -> None:
    exporter = bench.exporter()
    exporter.observe_state(snapshots.HOLDER)
    exporter.observe_state(snapshots.VOTING)
    bench.wait_served()
    status, headers, body = bench.ask("/history")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert [term["term"] for term in json.loads(body)["terms"]] == [5, 4]


def test_what_the_supervisor_tells_is_counted(bench: Bench) -> None:
    exporter = bench.exporter()
    exporter.observe_state(snapshots.ELIGIBLE)
    exporter.observe_state(snapshots.HOLDER)
    bench.wait_served()
    assert value(bench.ask("/metrics")[2], r'kuutamod_takeovers_total\{cause="steal"\}') == 1


def test_a_state_that_can_not_be_counted_is_logged_and_hurts_nobody(bench: Bench) -> None:
    exporter = bench.exporter()
    exporter.observe_state(snapshots.ELIGIBLE)
    broken = replace(snapshots.HOLDER, lease="no lease")  # type: ignore[arg-type]
    exporter.observe_state(broken)
    assert len(bench.lines("can't be counted")) == 1
    bench.wait_served()


@pytest.mark.parametrize(
    "path", ["/metrics", "/neard-pid", "/status", "/active", "/standby", "/ready", "/history", "/none"]
)
def test_head_answers_as_get_without_the_body(bench: Bench, path: str) -> None:
    bench.exporter()
    bench.wait_served()
    status, headers, body = bench.ask(path)
    with bench.connect() as client:
        client.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        head, _unused, rest = b"".join(iter(lambda: client.recv(1000), b"")).partition(b"\r\n\r\n")
    assert rest == b""
    assert head.startswith(f"HTTP/1.0 {status} ".encode())
    assert f"Content-Type: {headers['Content-Type']}".encode() in head
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize("child", [None, replace(snapshots.RUNNING, pid=None)])
def test_no_pid_without_a_child(bench: Bench, child: None) -> None:
    bench.state = replace(snapshots.FRESH, child=child)
    bench.exporter()
    bench.wait_served()
    assert bench.ask("/neard-pid")[::2] == (200, b"")


def test_head_has_the_length_and_no_body(bench: Bench) -> None:
    bench.exporter()
    bench.wait_served()
    with bench.connect() as client:
        client.sendall(b"HEAD /health HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.0 200 ")
    assert b"Content-Length: 2\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_nothing_can_be_changed(bench: Bench, method: str) -> None:
    bench.exporter()
    bench.wait_served()
    status, headers, _unused = bench.ask("/metrics", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("rubbish", [b"\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_rubbish_harms_nobody(bench: Bench, rubbish: bytes) -> None:
    bench.exporter()
    bench.wait_served()
    with bench.connect() as client:
        client.sendall(rubbish)
        while client.recv(1000):
            pass
    bench.wait_served()


def test_ipv6(bench: Bench) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 on this host: {error}")
    bench.exporter("::1")
    bench.wait_served("::1")


def test_concurrent_scrapes_of_a_changing_state_agree_with_themselves(bench: Bench) -> None:
    changing = [replace(state, starts=number + 1) for number, state in enumerate(snapshots.BY_STATE.values())]
    names = [f'kuutamod_state{{type="{state.value}"}} 1' for state in snapshots.BY_STATE]
    bench.exporter()
    bench.wait_served()
    done = threading.Event()

    def change() -> None:
        number = 0
        while not done.is_set():
            number += 1
            bench.state = changing[number % len(changing)]

    def scrape(_unused: int) -> int:
        text = bench.ask("/metrics")[2].decode()
        restarts = int(value(text.encode(), "kuutamod_neard_restarts"))
        assert re.findall(r"^kuutamod_state.* 1$", text, re.MULTILINE) == [names[restarts]]
        return restarts

    changer = threading.Thread(target=change)
    changer.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            seen = set(pool.map(scrape, range(120)))
    finally:
        done.set()
        changer.join()
    assert len(seen) > 1, "the state never changed between two scrapes"


def occupied(port: int) -> socket.socket:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", port))
    taken.listen()
    return taken


def test_a_taken_port_is_tried_until_it_is_free(bench: Bench) -> None:
    def failures() -> float:
        return value(exporter.answer("/metrics").body, "kuutamod_exporter_bind_failures_total")

    with occupied(bench.port):
        exporter = bench.exporter()
        eventually(lambda: failures() >= 5, 30, "five tries")
        assert len(bench.lines("can't listen")) == 1, "one line a minute"
        bench.clock.time += 61
        before = failures()
        eventually(lambda: failures() > before + 1, 30, "more tries")
        assert len(bench.lines("can't listen")) == 2
    bench.wait_served()
    line = bench.lines("can't listen")[0]
    assert f"address=127.0.0.1:{bench.port}" in line
    assert "KUUTAMO_EXPORTER_ADDRESS" in line
    assert value(bench.ask("/metrics")[2], "kuutamod_exporter_bind_failures_total") >= 7


def test_a_listener_that_breaks_later_is_made_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.exporter()
    bench.wait_served()
    broken = threading.Event()
    accept = socket.socket.accept

    def break_once(listener: socket.socket) -> tuple[socket.socket, object]:
        if not broken.is_set():
            broken.set()
            raise OSError("too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", break_once)
    bench.wait_served()
    assert broken.is_set()
    assert len(bench.lines("too many open files")) == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 100 + ".example"])
def test_an_address_that_is_not_ours_ends_nothing(bench: Bench, host: str) -> None:
    exporter = bench.exporter(host)
    eventually(lambda: bench.lines("can't listen"), 60, "the line in the log")
    exporter.stop()


def test_clients_that_say_nothing_do_not_block_others(bench: Bench) -> None:
    bench.exporter(clients=2)
    bench.wait_served()
    idle = [bench.connect() for _unused in range(6)]
    try:
        for client in idle:
            client.sendall(b"GET /hea")
        for _unused in range(5):
            bench.wait_served()
            # Whoever gave way may need a moment to end.
            eventually(lambda: len(threads("exporter-client")) <= 2, 30, "no more clients than there is room for")
        assert idle[0].recv(1000) == b"", "the oldest connection gave way"
    finally:
        for client in idle:
            client.close()


def test_a_slow_client_is_served_while_there_is_room(bench: Bench) -> None:
    bench.exporter()
    bench.wait_served()
    with bench.connect() as client:
        client.sendall(b"GET /hea")
        for _unused in range(20):
            bench.wait_served()
        client.sendall(b"lth HTTP/1.0\r\n\r\n")
        assert b"".join(iter(lambda: client.recv(1000), b"")).endswith(b"OK")


def test_a_silent_client_is_cut_off_after_a_while(bench: Bench) -> None:
    bench.exporter(client_timeout=0.1)
    bench.wait_served()
    with bench.connect() as client:
        assert client.recv(1000) == b""


def test_a_fault_of_a_page_is_logged_and_ends_one_request(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = threading.Event()

    def snapshot() -> NodeState:
        if failing.is_set():
            raise RuntimeError("no snapshot")
        return bench.state

    monkeypatch.setattr(bench, "snapshot", snapshot)
    bench.exporter()
    bench.wait_served()
    failing.set()
    assert bench.ask("/metrics")[0] == 500
    failing.clear()
    bench.wait_served()
    assert len(bench.lines("no snapshot")) == 1


def test_stop_frees_the_port_and_hangs_up(bench: Bench) -> None:
    exporter = bench.exporter()
    bench.wait_served()
    with bench.connect() as client:
        client.sendall(b"GET /hea")
        eventually(lambda: threads("exporter-client"), 30, "the connection is served")
        exporter.stop()
        with contextlib.suppress(ConnectionResetError):  # how a close shows when something was left unread
            assert client.recv(1000) == b""
    eventually(lambda: occupied(bench.port), 30, "the port is free").close()


def test_a_client_that_comes_while_it_stops_is_hung_up_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = bench.exporter()
    bench.wait_served()
    accept = socket.socket.accept

    def stop_meanwhile(listener: socket.socket) -> tuple[socket.socket, object]:
        found = accept(listener)
        exporter.stop()
        return found

    monkeypatch.setattr(socket.socket, "accept", stop_meanwhile)
    with bench.connect() as client:
        assert client.recv(1000) == b""


def test_calls_to_consul_show_up(bench: Bench) -> None:
    exporter = bench.exporter()
    exporter.observe_call("heartbeat", "applied", 0.02)
    bench.wait_served()
    assert (
        b'kuutamod_consul_request_seconds_count{operation="heartbeat",outcome="applied"} 1.0\n' in bench.ask("/metrics")[2]
    )
