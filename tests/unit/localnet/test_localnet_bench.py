# SPDX-License-Identifier: Apache-2.0
"""The arithmetic and the tables of the bench, and the counting of requests."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import requests
from rich.console import Console

from kuutamo_localnet.bench import Figures, figures, percentile, takeover_table
from kuutamo_localnet.bench_cases import CASES, Run, next_signer, without_signer
from kuutamo_localnet.bench_idle import Idle, cpu_seconds, idle_table, megabytes
from kuutamo_localnet.request_counter import RequestCounter, kind_of
from neard_standin.ledger import Ledger, Validator
from neard_standin.referee import Referee
from neard_standin.verdict import KeyInterval


def drawn(table: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(table)
    return out.getvalue()


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(1, 0.5, 1), (1, 0.99, 1), (20, 0.5, 10), (20, 0.99, 20), (100, 0.99, 99), (3, 0.5, 2)]
)
def test_a_percentile_is_a_measured_value(count: int, share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(count, 0, -1)], share) == expected


def test_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_figures_of_a_case() -> None:
    runs = [Run(seconds, overlaps, "a", "b") for seconds, overlaps in [(3.0, 0), (1.0, 1), (2.00049, 2)]]
    result = figures("clean_stop", runs)
    assert asdict(result) == {"case": "clean_stop", "n": 3, "p50": 2.0, "p99": 3.0, "overlap": 3}


def test_exactly_the_promised_cases() -> None:
    assert list(CASES) == [
        "handover",
        "clean_stop",
        "neard_crash",
        "supervisor_kill",
        "neard_hang",
        "host_loss",
        "partition",
    ]


def test_the_table_shows_aims_beside_figures() -> None:
    lines = drawn(takeover_table([Figures("host_loss", 20, 9.123, 12.0, 0), Figures("neard_hang", 20, 5.5, 5.9, 1)]))
    rows = [line.split() for line in lines.splitlines()[-2:]]
    assert rows[0] == ["host_loss", "20", "9.12", "<=", "9.5", "12.00", "<=", "11", "0"]
    assert rows[1] == ["neard_hang", "20", "5.50", "<=", "6", "5.90", "-", "1"]


def interval(pid: int, loaded_at: float, ended_at: float | None) -> KeyInterval:
    return KeyInterval("/home", pid, 1, "fleet.near", "ed25519:key", loaded_at, loaded_at, ended_at)


def test_time_without_a_signer() -> None:
    last, following = interval(1, 0.0, 10.0), interval(2, 12.5, None)
    assert without_signer(last, following, None) == 2.5
    # A hung process holds the key until it is killed, and yet does not sign.
    assert without_signer(last, following, 4.0) == 8.5
    with pytest.raises(ValueError, match="still holds the key"):
        without_signer(interval(1, 0.0, None), following, 4.0)


def test_the_next_signer_is_the_first_after_the_last(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "ledger", validators=[Validator("fleet.near", "ed25519:key")])

    class Seen(Referee):
        def intervals(self, account: str | None = None) -> tuple[KeyInterval, ...]:
            return (interval(1, 1.0, 2.0), interval(2, 3.0, 4.0), interval(3, 5.0, None))

    referee = Seen(ledger.path)
    found = next_signer(referee, "fleet.near", interval(1, 1.0, 2.0))
    assert found is not None
    assert found.pid == 2
    assert next_signer(referee, "fleet.near", interval(3, 5.0, None)) is None


def test_processor_time_and_memory_are_read_behind_strange_names() -> None:
    stat = "12 (a) (b c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 99\n"
    assert cpu_seconds(stat) == pytest.approx(200 / 100)
    rollup = "55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  3000 kB\nPss:  2000 kB\nPss_Anon: 1 kB\n"
    assert megabytes(rollup, "Pss") == pytest.approx(2.048)
    with pytest.raises(ValueError, match="no field Swap"):
        megabytes(rollup, "Swap")


def test_idle_figures_are_marked_when_they_miss_their_aims() -> None:
    good = Idle("node0", "standby", 30.0, {"GET kv": 0.5, "PUT session/renew": 0.333}, 40.0, 70.0, 0.5)
    text = drawn(idle_table([good]))
    assert "GET kv 0.50, PUT session/renew 0.33" in text
    assert "0.83" in text


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v1/kv/kuutamod-leader/fleet.near?index=7&wait=10s", "GET kv"),
        ("PUT", "/v1/txn", "PUT txn"),
        ("PUT", "/v1/session/renew/0e7a", "PUT session/renew"),
        ("GET", "/v1/status/leader", "GET status"),
    ],
)
def test_requests_are_of_a_kind(method: str, path: str, kind: str) -> None:
    assert kind_of(method, path) == kind


@pytest.fixture
def agent() -> Iterator[http.server.ThreadingHTTPServer]:
    """Answers with what it was sent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = json.dumps([self.path, body.decode(), self.headers["X-Consul-Token"]]).encode()
            self.send_response(409)
            self.send_header("X-Consul-Index", "7")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_counter_changes_nothing_and_counts_each_request_of_a_connection(
    agent: http.server.ThreadingHTTPServer,
) -> None:
    with RequestCounter("127.0.0.1", agent.server_address[1]) as counter, requests.Session() as session:
        session.trust_env = False
        for number in range(3):
            url = f"{counter.url}/v1/session/renew/{number}?dc=x"
            answer = session.put(url, data=f"body {number}", headers={"X-Consul-Token": "t"}, timeout=20)
            assert answer.status_code == 409
            assert answer.headers["X-Consul-Index"] == "7"
            assert answer.json() == [f"/v1/session/renew/{number}?dc=x", f"body {number}", "t"]
        assert counter.counts() == {"PUT session/renew": 3}


def test_an_agent_that_is_gone_is_gone_behind_the_counter_too(agent: http.server.ThreadingHTTPServer) -> None:
    with RequestCounter("127.0.0.1", 1) as counter, requests.Session() as session:
        session.trust_env = False
        with pytest.raises(requests.ConnectionError):
            session.put(f"{counter.url}/v1/txn", data=b"x", timeout=20)
