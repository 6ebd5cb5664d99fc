# SPDX-License-Identifier: Apache-2.0
"""What an operator's orders write to a real Consul, and what the command line says of it when answers are lost."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from integration.between import Meddle, between, lost
from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.fleet_plan import installed
from kuutamo_localnet.wait import eventually
from kuutamod.consul import history
from kuutamod.consul.once import ask_once
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core.protocol import (
    Ask,
    FleetConfig,
    Mark,
    Outcome,
    Request,
    Step,
    TermRecord,
    config_key,
    history_key,
    lock_key,
    members_prefix,
    request_key,
)

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]

DEADLINE = 60.0  # seconds; only a hang takes that long
FIT = {"promotion": "hot-swap", "fingerprint": "ed25519:validator"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    with ConsulServer(tmp_path_factory.mktemp("orders") / "consul") as server:
        yield server


class Scene:
    """A fleet in which n1 holds the lock in term 7 and n2 could take it, and an operator's command lines."""

    def __init__(self, server: ConsulServer, account: str = "") -> None:
        self.url = server.url
        self.fleet = WrittenFleet(server.client(), account or f"a{uuid.uuid4().hex[:10]}.near")
        self.fleet.join("n1", **FIT)
        self.fleet.join("n2", eligible=True, **FIT)
        self.fleet.hold("n1", 7)
        self.fleet.join("n1", state="Validating", phase="active", term_seen=7, **FIT)

    def argv(self, *words: str, urls: str = "") -> list[str]:
        return [str(installed("kuutamoctl")), *words, "--account-id", self.fleet.account, "--consul-url", urls or self.url]

    def ctl(self, *words: str, urls: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        argv = self.argv(*words, urls=urls)
        return subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False, env=env)

    def request(self) -> Request | None:
        entry = self.fleet.client.kv_get(request_key(self.fleet.account))
        return Request.from_json(entry.value) if entry is not None else None

    def write(self, request: Request) -> None:
        assert self.fleet.client.kv_put(request_key(self.fleet.account), request.to_json())

    def config(self) -> FleetConfig:
        entry = self.fleet.client.kv_get(config_key(self.fleet.account))
        config = FleetConfig.from_json(entry.value if entry is not None else None)
        assert config is not None
        return config

    @contextmanager
    def nodes(self, outcome: Outcome) -> Iterator[None]:
        """The nodes answer the next request with this outcome."""

        def answer() -> None:
            def asked() -> Request | None:
                found = self.request()
                return found if found is not None and found.outcome is None else None

            found = eventually(asked, DEADLINE, "something is asked for", interval=0.01)
            assert found is not None
            marks = (Mark(Step.CONFIRMED, found.issued), Mark(Step.DONE, found.issued + 1))
            self.write(replace(found, marks=marks, outcome=outcome, why="so the nodes say"))

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield
        thread.join(DEADLINE)


@pytest.fixture
def scene(server: ConsulServer) -> Iterator[Scene]:
    scene = Scene(server)
    yield scene
    scene.fleet.end()


def key(scene: Scene) -> str:
    return request_key(scene.fleet.account)


def never(wanted: str) -> Meddle:
    """Transactions that name this key are lost on their way."""

    def meddle(body: str, apply: Callable[[], None]) -> bool:
        if wanted in body:
            return False
        apply()
        return True

    return meddle


# --- answers that are lost ---


def test_a_lost_answer_at_one_url_is_found_at_the_next(scene: Scene) -> None:
    """What lies there is our own request, and no other one's."""
    with between(scene.url, lost(key(scene))) as broken, scene.nodes(Outcome.DONE):
        done = scene.ctl("handover", urls=f"{broken},{scene.url}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done: so the nodes say" in done.stdout
    assert "pending" not in done.stderr


def test_a_lost_answer_of_the_only_url_is_followed_to_the_end(scene: Scene) -> None:
    with between(scene.url, lost(key(scene))) as broken, scene.nodes(Outcome.DONE):
        done = scene.ctl("handover", urls=broken)
    found = scene.request()
    assert found is not None
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"it is not known whether Consul has request {found.id}" in done.stderr
    assert "done: so the nodes say" in done.stdout


def test_a_request_whose_answer_was_lost_and_that_nobody_begins_is_withdrawn(scene: Scene) -> None:
    sent: list[str] = []

    def meddle(body: str, apply: Callable[[], None]) -> bool:
        apply()
        sent.append(body)
        return len(sent) > 1

    with between(scene.url, meddle) as broken:
        done = scene.ctl("handover", "--timeout", "1", "--json", urls=broken)
    told, found = json.loads(done.stdout), scene.request()
    assert found is not None
    assert (done.returncode, told["outcome"], told["id"], told["code"]) == (5, "expired", found.id, 5), done.stderr
    assert found.outcome is Outcome.EXPIRED


def test_a_request_that_never_arrives_has_changed_nothing(scene: Scene) -> None:
    old = Request("old", Ask.HANDOVER, "n1", 6, 1.0, 2.0, node="n2", outcome=Outcome.DONE)
    for before in (None, old):
        if before is not None:
            scene.write(before)
        with between(scene.url, never(key(scene))) as broken:
            done = scene.ctl("handover", "--timeout", "1", urls=broken)
        assert done.returncode == 5, done.stdout + done.stderr
        assert "expired: it never arrived in Consul" in done.stdout
        assert scene.request() == before


def test_without_waiting_a_lost_answer_is_said_to_be_unknown(scene: Scene) -> None:
    with between(scene.url, lost(key(scene))) as broken:
        done = scene.ctl("handover", "--no-wait", urls=broken)
    found = scene.request()
    assert found is not None
    assert done.returncode == 6
    assert f"it is not known whether Consul has request {found.id}" in done.stderr
    assert f"unknown: request {found.id}" in done.stdout


def test_without_waiting_an_answer_is_the_end(scene: Scene) -> None:
    done = scene.ctl("handover", "--no-wait")
    found = scene.request()
    assert found is not None
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"asked for, request {found.id}")
    assert found.outcome is None


def test_ctrl_c_while_a_request_is_being_written_says_that_it_goes_on(scene: Scene) -> None:
    arrived = threading.Event()
    leave = threading.Event()

    def meddle(_body: str, apply: Callable[[], None]) -> bool:
        apply()
        arrived.set()
        leave.wait(DEADLINE)
        return False

    with between(scene.url, meddle) as slow:
        command = subprocess.Popen(
            scene.argv("handover", urls=slow), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert arrived.wait(DEADLINE)
        command.send_signal(signal.SIGINT)
        _unused, said = command.communicate(timeout=DEADLINE)
        leave.set()
    found = scene.request()
    assert found is not None
    assert command.returncode == 130
    assert f"request {found.id} goes on without this command; `kuutamoctl status` shows it" in said
    assert "Traceback" not in said


def test_ctrl_c_while_a_request_is_followed_says_the_same(scene: Scene) -> None:
    command = subprocess.Popen(scene.argv("handover"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    eventually(lambda: scene.request() is not None, DEADLINE, "the request is placed")
    found = scene.request()
    assert found is not None
    assert command.stdout is not None
    # The plan is said before the request is written, and a phase when it is followed.
    scene.write(replace(found, marks=(Mark(Step.PLANNED, found.issued),)))
    while "planned" not in command.stdout.readline():
        assert command.poll() is None
    command.send_signal(signal.SIGINT)
    _unused, said = command.communicate(timeout=DEADLINE)
    assert command.returncode == 130
    assert f"request {found.id} goes on without this command; `kuutamoctl status` shows it" in said
    found = scene.request()
    assert found is not None
    assert found.outcome is None


# --- what is refused ---


@pytest.mark.parametrize("words", [("handover",), ("restart", "n2"), ("drain", "n1")])
def test_another_pending_request_refuses_and_is_named(scene: Scene, words: tuple[str, ...]) -> None:
    pending = Request("r1", Ask.HANDOVER, "n1", 7, 4e9, 4e9, node="n2", by="bob@host")
    scene.write(pending)
    done = scene.ctl(*words, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["outcome"], told["code"]) == (1, "refused", 1), done.stderr
    assert "kuutamoctl: refused: a handover of n2 asked for by bob@host (r1) is pending" in done.stderr
    assert "is pending; one request at a time" in told["why"]
    assert scene.request() == pending
    assert scene.config() == FleetConfig()


def test_a_newer_version_s_request_is_not_written_over(scene: Scene) -> None:
    strange = '{"id": "r1", "ask": "dance", "holder": "n1"}'
    assert scene.fleet.client.kv_put(key(scene), strange)
    for words in (("handover",), ("restart", "n2"), ("drain", "n1")):
        done = scene.ctl(*words)
        assert (done.returncode, "done" in done.stdout) == (1, False), done.stderr
        assert f"refused: key {key(scene)} holds no request that this version knows: " in done.stderr
    entry = scene.fleet.client.kv_get(key(scene))
    assert entry is not None
    assert entry.value.decode() == strange


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("handover", "--to", "n9"), "there is no node n9; known are n2"),
        (("handover", "--expect-holder", "n2"), "n1 holds the lock, not n2"),
        (("restart", "n9"), "there is no live node n9; live are n1, n2"),
        (("restart", "n2", "--at", "window"), "n2 does not hold the lock, so its neard restarts at once"),
        (("restart", "n2", "--at", "123456"), "n2 does not hold the lock, so its neard restarts at once"),
        (("drain", "n9"), "there is no node n9; there are n1, n2"),
    ],
)
def test_what_cannot_be_is_refused_in_text_and_as_one_object(scene: Scene, words: tuple[str, ...], why: str) -> None:
    done = scene.ctl(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"kuutamoctl: refused: {why}" in done.stderr
    done = scene.ctl(*words, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["outcome"], told["code"], told["id"], told["phases"]) == (1, "refused", 1, None, [])
    assert why in told["why"]
    assert scene.request() is None


@pytest.mark.parametrize("words", [("handover",), ("restart", "n1"), ("drain", "n1"), ("pause", "--node", "n1")])
@pytest.mark.parametrize("hidden", ["the lock", "the nodes' records"])
def test_a_token_that_may_not_see_the_fleet_decides_nothing(
    guarded: tuple[ConsulServer, Scene], words: tuple[str, ...], hidden: str
) -> None:
    server, scene = guarded
    account, admin = scene.fleet.account, server.acl()
    rules = {
        "the lock": f'key "{lock_key(account)}" {{ policy = "read" }}',
        "the nodes' records": f'key_prefix "{members_prefix(account)}" {{ policy = "read" }}',
    }
    seen = " ".join(rule for part, rule in rules.items() if part != hidden)
    write = f'key "{request_key(account)}" {{ policy = "write" }} key "{config_key(account)}" {{ policy = "write" }}'
    secret = admin.token(admin.policy(f"p{uuid.uuid4().hex}", f"{seen} {write}")).secret
    done = scene.ctl(*words, env={"KUUTAMO_CONSUL_TOKEN": secret, "PATH": "/usr/bin:/bin"})
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert f"kuutamoctl: Consul refuses: {hidden} can't be read: permission denied" in done.stderr
    assert scene.request() is None
    assert scene.config() == FleetConfig()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ConsulServer, Scene]]:
    with ConsulServer(tmp_path_factory.mktemp("guarded") / "consul", acl=True) as server:
        server.wait_ready(DEADLINE)
        yield server, Scene(server, "fleet.near")


# --- plans, drain ---


def test_a_plan_for_a_window_warns_of_endorsements(scene: Scene) -> None:
    done = scene.ctl("handover", "--dry-run", "--at", "window")
    assert [line.split(" ")[0] for line in done.stdout.splitlines()] == ["Handover", "Note:"]
    assert (
        "endorsements are due" in json.loads(scene.ctl("handover", "--dry-run", "--at", "window", "--json").stdout)["note"]
    )
    assert json.loads(scene.ctl("handover", "--dry-run", "--json").stdout)["note"] is None
    for words in (("restart", "n1"), ("drain", "n1")):
        with scene.nodes(Outcome.REFUSED):
            done = scene.ctl(*words, "--at", "window")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "\nNote: neard's windows tell of blocks and chunks only: endorsements" in done.stdout


def object_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one object that was printed."""
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    assert found["code"] == done.returncode
    return found


def test_drain_prints_one_object_whatever_it_has_to_do(scene: Scene) -> None:
    told = object_of(scene.ctl("drain", "n2", "--json"))
    assert (told["code"], told["outcome"], told["drained"], told["id"]) == (0, "done", True, None)
    assert scene.config().no_takeover == ("n2",)
    told = object_of(scene.ctl("drain", "n1", "--json"))
    assert (told["code"], told["outcome"], told["drained"]) == (1, "refused", False)
    assert "n2 is drained" in told["why"]
    assert scene.ctl("undrain", "n2").stdout == "n2 may take the lock again.\n"
    with scene.nodes(Outcome.REFUSED):
        told = object_of(scene.ctl("drain", "n1", "--json"))
    assert (told["code"], told["outcome"], told["drained"]) == (1, "refused", False)
    assert scene.config().no_takeover == ()
    with scene.nodes(Outcome.DONE):
        told = object_of(scene.ctl("drain", "n1", "--json"))
    assert (told["code"], told["outcome"], told["drained"], told["reason"]) == (0, "done", True, "drain n1")
    assert scene.config().no_takeover == ("n1",)


@pytest.mark.parametrize("way", [lost, never])
def test_a_drain_that_hands_over_and_does_not_know_of_its_mark_says_both(
    scene: Scene, way: Callable[[str], Meddle]
) -> None:
    """Whoever asks can't tell a mark that was lost on its way from one whose answer was."""
    with between(scene.url, way(config_key(scene.fleet.account))) as broken, scene.nodes(Outcome.DONE):
        done = scene.ctl("drain", "n1", "--json", urls=broken)
    told = object_of(done)
    assert scene.config().no_takeover == (("n1",) if way is lost else ())
    assert (told["code"], told["outcome"], told["drained"]) == (6, "done", None)
    text = "the lock was handed over to n2, but it is not known whether n1 is drained: "
    assert f"kuutamoctl: {text}Consul can't be asked: " in done.stderr
    assert told["why"].startswith(text)


def test_a_drain_that_hands_over_and_cannot_mark_says_both(scene: Scene) -> None:
    assert scene.fleet.client.kv_put(config_key(scene.fleet.account), "not json")
    with scene.nodes(Outcome.DONE):
        done = scene.ctl("drain", "n1", "--json")
    told = object_of(done)
    assert (told["code"], told["outcome"], told["drained"]) == (1, "done", False)
    text = "the lock was handed over to n2, but n1 is not drained: "
    assert f"kuutamoctl: {text}refused: key {config_key(scene.fleet.account)} is not a JSON object" in done.stderr
    assert told["why"].startswith(text)


def test_consul_that_can_not_be_asked_is_an_object_too(scene: Scene) -> None:
    with between(scene.url, lost("")) as gone:
        pass
    for words in (("handover",), ("restart", "n1"), ("drain", "n1")):
        done = scene.ctl(*words, "--json", urls=gone)
        told = object_of(done)
        assert (told["code"], told["outcome"]) == (3, None)
        assert f"kuutamoctl: Consul can't be asked: {gone}: Connection refused" in done.stderr


# --- pause ---


def test_a_pause_names_whom_it_replaces_and_only_nodes_that_there_are(scene: Scene) -> None:
    done = scene.ctl("pause", "--node", "n9")
    assert (done.returncode, done.stdout) == (1, "")
    assert "kuutamoctl: refused: there is no node n9; there are n1, n2" in done.stderr
    first = scene.ctl("pause", "--reason", "kernel", "--for", "1h").stdout
    assert "replaces" not in first
    assert "replaces" not in scene.ctl("pause", "--node", "n2").stdout
    by = next(pause.by for pause in scene.config().pauses if not pause.node)
    second = scene.ctl("pause", "--for", "10m").stdout
    assert f"This replaces the pause that {by} had set: kernel, which would have ended " in second
    assert sorted(pause.node for pause in scene.config().pauses) == ["", "n2"]


def test_resume_for_one_node_says_that_the_fleets_pause_goes_on(scene: Scene) -> None:
    scene.ctl("pause", "--reason", "kernel")
    scene.ctl("pause", "--node", "n2")
    said = scene.ctl("resume", "--node", "n2").stdout.splitlines()
    assert said[0].startswith("Ended the pause of node n2 that ")
    assert said[1].startswith("The pause of the whole fleet goes on until ")
    assert [pause.node for pause in scene.config().pauses] == [""]
    said = scene.ctl("resume", "--node", "n2").stdout.splitlines()
    assert said[0] == "Node n2 had no pause of its own."
    assert said[1].startswith("The pause of the whole fleet goes on until ")
    assert scene.ctl("resume").stdout.startswith("Ended the pause of the whole fleet that ")
    assert scene.ctl("resume").stdout == "Nothing was paused.\n"


def test_a_pause_whose_answer_was_lost_is_made_once_and_its_end_is_told(scene: Scene) -> None:
    with between(scene.url, lost(config_key(scene.fleet.account))) as broken:
        both = f"{broken},{scene.url}"
        done = scene.ctl("pause", "--reason", "kernel", urls=both)
        assert (done.returncode, "replaces" in done.stdout) == (0, False), done.stderr
        assert [pause.reason for pause in scene.config().pauses] == ["kernel"]
        assert scene.ctl("resume", urls=both).stdout.startswith("Ended the pause of the whole fleet that ")
        assert scene.ctl("drain", "n2", urls=both).returncode == 0
        assert scene.ctl("undrain", "n2", urls=both).stdout == "n2 may take the lock again.\n"
    assert scene.config() == FleetConfig()


def test_a_pause_and_a_drain_at_once_both_survive(scene: Scene) -> None:
    drains: list[int] = []

    def meddle(_body: str, apply: Callable[[], None]) -> bool:
        if not drains:
            # Between the reading and the writing of the other command.
            drains.append(scene.ctl("drain", "n2").returncode)
        apply()
        return True

    with between(scene.url, meddle) as slow:
        assert scene.ctl("pause", urls=slow).returncode == 0
    assert drains == [0]
    config = scene.config()
    assert (len(config.pauses), config.no_takeover) == (1, ("n2",))


# --- history ---


def test_a_late_write_of_a_terms_own_record_keeps_how_it_ended(scene: Scene) -> None:
    account, settings = scene.fleet.account, ConsulSettings((scene.url,))
    own = TermRecord(8, "n2", 100.0, since=101.0, cause="handover", began="asked for", gap=0.5, first_height=9)
    ended = TermRecord(8, "n2", 0.0, until=200.0, ended="it died", fault=True, last_height=77)
    following = TermRecord(9, "n1", 200.0)
    for record, before in ((own, None), (following, ended), (own, None)):
        ask_once(settings, DEADLINE, lambda client, r=record, b=before: history.write(client, account, r, b))  # type: ignore[misc]
    entry = scene.fleet.client.kv_get(history_key(account, 8))
    assert entry is not None
    assert TermRecord.from_json(entry.value) == replace(own, until=200.0, ended="it died", fault=True, last_height=77)
