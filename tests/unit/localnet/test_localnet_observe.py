# SPDX-License-Identifier: Apache-2.0
"""Reading what a fleet says of itself, and what Consul says of the lock."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
import requests

from kuutamo_localnet.consul_client import ConsulClient, KvEntry
from kuutamo_localnet.exporter import Metrics
from kuutamo_localnet.observe import LockFacts, node_facts, read_height, read_lock
from kuutamod.core.protocol import LockRecord

SCRAPE = """
kuutamod_state{type="Voting"} 1
kuutamod_state{type="Validating"} 0
kuutamod_term 4.0
kuutamod_eligible 0.0
kuutamod_ineligible_reason{reason="syncing"} 1.0
kuutamod_ineligible_reason{reason="frozen"} 1.0
"""


def test_facts_of_a_scrape() -> None:
    facts = node_facts("node0", Metrics.parse(SCRAPE), 100, 103)
    assert (facts.state, facts.eligible, facts.reasons) == ("Voting", False, ("frozen", "syncing"))
    assert (facts.term, facts.held, facts.height, facts.lag) == (4, None, 100, 3)
    held = node_facts("node0", Metrics.parse(SCRAPE + "kuutamod_lock_held_seconds 2.5\n"), 104, 103)
    assert (held.held, held.lag) == (2.5, 0)
    assert node_facts("node0", Metrics.parse(SCRAPE), None, 103).lag is None


class Consul(ConsulClient):
    """Answers with one entry, or with an error."""

    def __init__(self, answer: KvEntry | requests.RequestException | None) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answer = answer

    def kv_get(self, key: str, *, consistent: bool = True) -> KvEntry | None:
        assert (key, consistent) == ("kuutamod-leader/fleet.near", True)
        if isinstance(self.answer, requests.RequestException):
            raise self.answer
        return self.answer


def entry(value: str, session: str = "", index: int = 7) -> KvEntry:
    return KvEntry("kuutamod-leader/fleet.near", value.encode(), session, 1, index, 1, 0)


RECORD = LockRecord("host", "node1", 5, phase="active", reason="").to_json()


def test_a_value_without_a_session_is_no_holder() -> None:
    assert read_lock(Consul(entry(RECORD, "session")), "fleet.near", LockFacts()).holder == "node1"
    free = read_lock(Consul(entry(RECORD)), "fleet.near", LockFacts())
    assert (free.holder, free.term) == ("", 5)


def test_the_age_of_the_lock_counts_from_the_move_of_its_index() -> None:
    before = LockFacts(index=7, moved=1.0)
    assert read_lock(Consul(entry(RECORD, index=7)), "fleet.near", before).moved == 1.0
    assert read_lock(Consul(entry(RECORD, index=8)), "fleet.near", before).moved > 1.0
    missing = read_lock(Consul(None), "fleet.near", before)
    assert (missing.term, missing.holder, missing.index) == (0, "", 0)
    assert read_lock(Consul(None), "fleet.near", missing).moved == missing.moved


def test_faults_of_consul_and_of_the_value_are_told() -> None:
    before = read_lock(Consul(entry(RECORD, "session")), "fleet.near", LockFacts())
    silent = read_lock(Consul(requests.ReadTimeout()), "fleet.near", before)
    assert (silent.fault, silent.holder) == ("Consul does not answer: ReadTimeout", "node1")
    assert read_lock(Consul(entry("rubbish")), "fleet.near", before).fault == "the lock's value is not kuutamod's"


@pytest.fixture
def status() -> Iterator[tuple[str, list[bytes]]]:
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bodies[-1])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", bodies
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("body", "height"),
    [
        (b'{"sync_info": {"latest_block_height": 42}}', 42),
        (b'{"sync_info": null}', None),
        (b"[]", None),
        (b"garbage", None),
        (b"", None),
    ],
)
def test_the_height_of_a_neard(status: tuple[str, list[bytes]], body: bytes, height: int | None) -> None:
    url, bodies = status
    bodies.append(body)
    assert read_height(url) == height


def test_no_neard_no_height() -> None:
    assert read_height("http://127.0.0.1:1") is None
