# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl check`` with a real Consul: what a node may do there, what is known of its fleet, and what is in the way."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kuutamo_localnet.consul import ConsulCluster, ConsulServer
from kuutamo_localnet.fleet import Fleet
from kuutamo_localnet.fleet_plan import FleetSpec, NodeSite, arguments, environment, installed
from kuutamo_localnet.ports import PortPool
from kuutamo_localnet.process import Process
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import LockRecord, MemberRecord, config_key, lock_key, member_key
from kuutamod.neard.procfs import lock_holder
from neard_standin.files import read_object, write_object
from neard_standin.keys import generate_key_file

pytestmark = pytest.mark.integration

DEADLINE = 120.0  # seconds; the check itself has deadlines that add up to less
BUSY = 60.0
ACCOUNT = "fleet.near"
NO_CLOCK = "clock"  # whether the host that runs the tests is synchronised is not ours to say
TOO_BUSY = "that is longer than --request-deadline"  # nor how busy it is


@dataclass(frozen=True)
class Checked:
    """What a check printed, and its exit code."""

    code: int
    said: dict[str, Any]

    def texts(self, level: str, topic: str) -> str:
        """All findings of that kind, with their remedies."""
        found = [each for each in self.said["findings"] if (each["level"], each["topic"]) == (level, topic)]
        return "\n".join(f"{each['text']} | {each['remedy']}" for each in found)

    def topics(self, level: str) -> set[str]:
        """About what there are findings of that level."""
        found = [each for each in self.said["findings"] if each["level"] == level and TOO_BUSY not in each["text"]]
        return {each["topic"] for each in found} - {NO_CLOCK}


@dataclass
class Site:
    """A node that does not run."""

    fleet: Fleet

    def check(self, *options: str | Path, **env: str) -> Checked:
        """The node's preflight, with more options and variables."""
        node = self.fleet.nodes[0]
        argv = [*arguments(node.plan, self.fleet.spec, self.fleet.keys)[1:], *options]
        done = subprocess.run(
            [installed("kuutamoctl"), "check", "--json", *argv],
            env={**environment(node.plan, self.fleet.spec), **env},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.stderr == ""
        said = json.loads(done.stdout)
        assert said["exit_code"] == done.returncode
        assert (said["node"], said["account"]) == ("node0", ACCOUNT)
        for key in (self.fleet.keys.validator_key, node.plan.voter_node_key):
            assert read_object(key)["secret_key"] not in done.stdout
        return Checked(done.returncode, said)

    @property
    def home(self) -> Path:
        """neard's home."""
        return self.fleet.nodes[0].plan.home

    @property
    def public_key(self) -> str:
        """The validator's."""
        return self.fleet.keys.public_key


def site(directory: Path, url: str) -> Site:
    """A node of a fleet of one, with a home that has nothing to be warned of."""
    fleet = Fleet(directory / "fleet", NodeSite([url]), FleetSpec(account=ACCOUNT, nodes=1))
    config = fleet.nodes[0].plan.home / "config.json"
    data = read_object(config)
    write_object(config, {**data, "store": {**data["store"], "load_mem_tries_for_tracked_shards": True}})
    return Site(fleet)


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


@pytest.fixture(scope="module")
def guarded() -> Iterator[ConsulServer]:
    with ConsulServer(acl=True) as server:
        yield server


@pytest.fixture
def node(tmp_path: Path, consul: ConsulServer) -> Iterator[Site]:
    """A node of an account of which nothing is in Consul yet."""
    made, client = site(tmp_path, consul.url), consul.client()
    yield made
    made.fleet.close()
    for prefix in ("kuutamod/", "kuutamod-leader/"):
        for entry in client.kv_list(prefix):
            client.kv_delete(entry.key)


# --- as a whole ---


def test_a_node_before_its_first_start(node: Site, consul: ConsulServer) -> None:
    found = node.check()
    assert (found.code, found.topics("fault"), found.topics("warning")) == (0, set(), {"rights"}), found
    assert "Consul has no ACLs" in found.texts("warning", "rights")
    assert f"validator key {node.public_key} of {ACCOUNT}" in found.texts("ok", "keys")
    assert "Consul 1." in found.texts("ok", "consul") + found.texts("warning", "consul")
    assert f"no key {lock_key(ACCOUNT)} yet" in found.texts("ok", "fleet")
    assert "by hot-swap" in found.texts("ok", "neard")
    assert node.check("--strict").code == 1
    assert not consul.client().kv_list("kuutamod"), "nothing was written"
    assert not consul.client().session_list()


def test_a_node_that_runs(node: Site) -> None:
    running = node.fleet.nodes[0]
    node.fleet.start()
    running.wait_state("Validating", BUSY)
    found = node.check()
    assert (found.code, found.topics("fault"), found.topics("warning")) == (0, set(), {"rights"}), found
    assert f"kuutamod of this node runs on it as pid {running.process.pid}" in found.texts("ok", "home")
    ports = found.texts("ok", "ports")
    assert ports.count("is served by neard of this node") == 2
    assert ports.count("is served by kuutamod of this node") == 1
    assert "the lock is held by node0 in term 1" in found.texts("ok", "fleet")
    assert running.state() == "Validating"


def test_several_faults_at_once_hide_nothing(node: Site, consul: ConsulServer, tmp_path: Path) -> None:
    """The wrong key, too small a guard time, a port that is taken: each is told, with what to do."""
    wrong = tmp_path / "wrong.json"
    generate_key_file(wrong, ACCOUNT)
    consul.client().kv_put(config_key(ACCOUNT), json.dumps({"fingerprint": node.public_key}))
    with closing(PortPool()) as pool, ConsulServer(http_port=pool.reserve(1)[0]) as other:
        found = node.check(
            "--validator-key", wrong, "--guard-time", "6", "--exporter-address", other.url.removeprefix("http://")
        )
        pid = other.agent.process.pid
    assert found.code == 2
    assert found.topics("fault") == {"law", "fleet", "ports"}, found
    assert "(--fence-deadline 7 + --kill-budget 1 + --scheduling-slack 0.5) * 1.01 = 8.585 s" in found.texts("fault", "law")
    assert f"the fleet's recorded one is {node.public_key}" in found.texts("fault", "fleet")
    assert f"is taken by pid {pid} (" in found.texts("fault", "ports")


def test_on_a_terminal_and_for_people(node: Site) -> None:
    plan = node.fleet.nodes[0].plan
    argv = ["script", "-qec", f"{installed('kuutamoctl')} check --home {plan.home}", "/dev/null"]
    env = {**environment(plan, node.fleet.spec), "TERM": "xterm", "COLUMNS": "80"}
    for name, coloured in (("", True), ("1", False)):
        done = subprocess.run(
            argv, env={**env, "NO_COLOR": name}, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == 2, "there are no keys in the environment"
        assert ("\x1b[" in done.stdout) == coloured
        assert "it is needed" in done.stdout


# --- the fleet ---


def test_another_key_in_the_fleet(node: Site, consul: ConsulServer) -> None:
    client = consul.client()
    client.kv_put(
        lock_key(ACCOUNT), LockRecord("host-b", "node9", 4, guard_time=9.0, fingerprint="ed25519:other").to_json()
    )
    assert "node9 has ed25519:other" in node.check().texts("fault", "fleet")
    client.kv_put(
        lock_key(ACCOUNT), LockRecord("host-b", "node9", 4, guard_time=9.0, fingerprint=node.public_key).to_json()
    )
    found = node.check()
    assert not found.texts("fault", "fleet")
    assert "was last written by node9 in term 4" in found.texts("ok", "fleet")


def test_what_this_host_knows_is_newer_than_consul(node: Site, consul: ConsulServer) -> None:
    record = LockRecord("host-b", "node9", 4, guard_time=9.0, fingerprint=node.public_key)
    consul.client().kv_put(lock_key(ACCOUNT), record.to_json())
    (node.home / "kuutamod.json").write_text('{"term": 9, "session": ""}')
    found = node.check()
    assert "the lock's term 4 is lower than 9, which this host has seen" in found.texts("fault", "fleet")
    assert "kuutamoctl confirm" in found.texts("fault", "fleet")
    word = {"confirmed_term": 4, "confirmed_seen": 9, "confirmed_record": record.digest}
    consul.client().kv_put(config_key(ACCOUNT), json.dumps(word))
    assert not node.check().texts("fault", "fleet")


def test_other_nodes(node: Site, consul: ConsulServer) -> None:
    client = consul.client()
    session = client.session_create("kuutamod", TTL="600s", Behavior="delete", Checks=[])
    mine = MemberRecord("node0", "host-b", "life", fingerprint=node.public_key, home="/srv/near", guard_time=9.0)
    for record in (mine, replace(mine, node_id="node9", guard_time=12.0)):
        assert client.kv_put(member_key(ACCOUNT, record.node_id), record.to_json(), acquire=session)
    client.kv_put(config_key(ACCOUNT), json.dumps({"no_takeover": ["node0"]}))
    found = node.check()
    assert "node id node0 is used by a node on host host-b with home /srv/near" in found.texts("fault", "fleet")
    warned = found.texts("warning", "fleet")
    assert "node9 has --guard-time 12, this node 9" in warned
    assert "node0 is drained" in warned
    client.session_destroy(session)
    assert not node.check().texts("fault", "fleet")


# --- Consul itself ---


def test_urls_that_do_not_answer(node: Site, consul: ConsulServer) -> None:
    dead = "http://127.0.0.1:1"
    found = node.check("--consul-url", f"{dead},{consul.url}")
    assert (found.code, f"{dead}: Connection refused" in found.texts("warning", "consul")) == (0, True)
    assert consul.url in found.texts("ok", "consul")
    found = node.check("--consul-url", dead)
    assert (found.code, found.topics("fault")) == (2, {"consul"})


def test_a_consul_that_is_frozen(tmp_path: Path) -> None:
    with ConsulServer() as frozen:
        made = site(tmp_path, frozen.url)
        frozen.freeze()
        found = made.check()
        frozen.thaw()
        made.fleet.close()
    assert (found.code, found.topics("fault")) == (2, {"consul"})
    assert "no answer" in found.texts("fault", "consul")


def test_something_else_at_the_url(node: Site) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = node.check("--consul-url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert (found.code, found.topics("fault")) == (2, {"consul"})
    assert "HTTP 501" in found.texts("fault", "consul")


def test_settings_of_agents_that_spoil_the_lease(tmp_path: Path) -> None:
    slow = {"performance": {"raft_multiplier": 5}, "session_ttl_min": "20s"}
    with ConsulCluster(tmp_path / "cluster", n_servers=1, n_clients=1, server_extra=slow) as cluster:
        made = site(tmp_path, cluster.servers[0].url)
        found = made.check("--consul-url", f"{cluster.servers[0].url},{cluster.agents[0].url}")
        made.fleet.close()
    assert "set performance { raft_multiplier = 1 }" in found.texts("warning", "consul")
    assert "the agent leaves the cluster when it is stopped" in found.texts("warning", "consul")
    assert "its session_ttl_min is 20 s, more than --session-ttl 10" in found.texts("fault", "consul")


def test_a_consul_without_a_leader(tmp_path: Path) -> None:
    with closing(ConsulServer(tmp_path / "lonely", persistent=True, extra={"bootstrap_expect": 3})) as lonely:
        lonely.start()
        made = site(tmp_path, lonely.url)
        eventually(lambda: "no leader" in made.check().texts("fault", "consul"), BUSY, "it answers, but has no leader")
        made.fleet.close()


# --- rights ---


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, guarded: ConsulServer) -> Iterator[Site]:
    made = site(tmp_path_factory.mktemp("acl"), guarded.url)
    yield made
    made.fleet.close()


def with_rules(server: ConsulServer, rules: str) -> dict[str, str]:
    """The environment with a token that has these rules."""
    admin = server.acl()
    return {"KUUTAMO_CONSUL_TOKEN": admin.token(admin.policy(f"p{uuid.uuid4().hex}", rules), description="a test's").secret}


def test_a_nodes_token_is_enough_and_finding_that_out_writes_nothing(locked: Site, guarded: ConsulServer) -> None:
    client = guarded.client()
    client.kv_put(lock_key(ACCOUNT), record := LockRecord("h", "n", 3, guard_time=9.0, fingerprint="").to_json())
    before = client.kv_list("")
    token = guarded.acl().node_token(ACCOUNT, guarded.agent.name).secret
    found = locked.check(KUUTAMO_CONSUL_TOKEN=token)
    assert "warning" not in {each["level"] for each in found.said["findings"] if each["topic"] == "rights"}, found
    assert "the token may make sessions, read the lock, write the lock" in found.texts("ok", "rights")
    assert f"token 'node-fleet-near-{guarded.agent.name}'" in found.texts("ok", "rights")
    assert token not in json.dumps(found.said)
    assert client.kv_list("") == before
    assert client.session_list() == []
    assert before[0].value.decode() == record


LOCK, BELOW = f'key "{lock_key(ACCOUNT)}"', f'key_prefix "kuutamod/{ACCOUNT}/"'
READ, WRITE = '{ policy = "read" }', '{ policy = "write" }'


@pytest.mark.parametrize(
    ("rules", "may_not"),
    [
        (
            f"{LOCK} {READ} {BELOW} {READ}",
            "write the lock, write its member record, write the history, answer requests",
        ),
        (
            f"{LOCK} {WRITE}",
            "write its member record, read the other nodes' records, write the history, answer requests, "
            "read the fleet's config",
        ),
        (f"{BELOW} {WRITE}", "read the lock, write the lock"),
        (
            f'{LOCK} {WRITE} key "{member_key(ACCOUNT, "node0")}" {WRITE} key "{config_key(ACCOUNT)}" {READ}',
            "read the other nodes' records, write the history, answer requests",
        ),
    ],
)
def test_a_token_that_may_not_do_everything(locked: Site, guarded: ConsulServer, rules: str, may_not: str) -> None:
    found = locked.check(**with_rules(guarded, rules))
    said = found.texts("fault", "rights")
    assert found.code == 2
    assert f"the token may not {may_not} | grant " in said
    assert "the token may not make sessions on the Consul node of that agent" in said
    assert 'grant session "NODE" { policy = "write" }' in said
    assert "version and settings are not seen" in found.texts("warning", "consul")


def test_a_token_without_sessions_alone(locked: Site, guarded: ConsulServer) -> None:
    rules = f'{LOCK} {WRITE} {BELOW} {WRITE} agent_prefix "" {READ} session "elsewhere" {WRITE}'
    found = locked.check(**with_rules(guarded, rules))
    said = found.texts("fault", "rights")
    assert said.count("\n") == 0
    assert f'grant session "{guarded.agent.name}" {{ policy = "write" }}' in said


@pytest.mark.parametrize("token", ["", "unknown"])
def test_no_token_and_an_unknown_one(locked: Site, token: str) -> None:
    env = {"KUUTAMO_CONSUL_TOKEN": str(uuid.uuid4())} if token else {}
    found = locked.check(**env)
    assert found.code == 2
    assert {"rights", "fleet"} <= found.topics("fault")
    assert "Consul does not know the token" in found.texts("fault", "rights")


def test_a_token_that_expires(locked: Site, guarded: ConsulServer, tmp_path: Path) -> None:
    client, admin = guarded.client(), guarded.acl()
    rules = f'{LOCK} {WRITE} {BELOW} {WRITE} session_prefix "" {WRITE} agent_prefix "" {READ}'
    body = {"Policies": [{"Name": admin.policy(f"p{uuid.uuid4().hex}", rules)}], "ExpirationTTL": "1h"}
    secret = client.call("PUT", "acl/token", body=body)["SecretID"]
    assert "and then the validator is stopped" in locked.check(KUUTAMO_CONSUL_TOKEN=secret).texts("warning", "rights")
    file = tmp_path / "token"
    file.write_text(secret)
    found = locked.check(KUUTAMO_CONSUL_TOKEN_FILE=str(file))
    assert not found.texts("warning", "rights")
    assert "it expires at 2" in found.texts("ok", "rights")


# --- the home ---


def test_a_neard_that_somebody_started_by_hand(node: Site) -> None:
    argv: list[str | Path] = [node.fleet.spec.neard, "--home", node.home, "run"]
    env = {"PATH": os.environ["PATH"]}
    with Process(argv, log=node.home / "neard.log", env=env, cwd=node.home, name="foreign neard") as foreign:
        eventually(lambda: lock_holder(node.home / "data" / "LOCK") == foreign.pid, BUSY, "neard holds data/LOCK")
        eventually(lambda: node.check().topics("fault") == {"home", "ports"}, BUSY, "its database and its ports are seen")
        found = node.check()
    assert f"LOCK is held by pid {foreign.pid} (" in found.texts("fault", "home")
    assert found.texts("fault", "ports").count(f"is taken by pid {foreign.pid} (") == 2


def test_a_shutdown_that_was_left_in_the_config(node: Site) -> None:
    config = node.home / "config.json"
    write_object(config, {**read_object(config), "expected_shutdown": 17})
    found = node.check()
    assert (found.code, found.topics("fault")) == (2, {"config"})
    assert "expected_shutdown is 17" in found.texts("fault", "config")
