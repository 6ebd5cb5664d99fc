# SPDX-License-Identifier: Apache-2.0
"""The operator's commands on a Consul that denies by default: each token may do exactly its part."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.scenario import BUSY, SHORT_HOLD_OFF, Stage, judged, rested
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.consul_acl import Token
from kuutamo_localnet.consul_client import ConsulAnswerError, ConsulClient
from kuutamo_localnet.fleet import Fleet
from kuutamo_localnet.fleet_plan import FleetSpec, NodeSite, installed
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import config_key, history_key, lock_key, member_key

pytestmark = pytest.mark.integration


@dataclass
class Guarded(Stage):
    """A fleet behind ACLs, and the tokens of those who have something to do with it."""

    server: ConsulServer
    files: dict[str, Path]
    tokens: dict[str, Token]

    def ctl(self, who: str, *words: str) -> subprocess.CompletedProcess[str]:
        to = ["--account-id", self.account, "--consul-url", self.server.url, "--consul-token-file", str(self.files[who])]
        argv = [str(installed("kuutamoctl")), *words, *to]
        return subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)

    def as_who(self, who: str) -> ConsulClient:
        return ConsulClient(self.server.url, token=self.tokens[who].secret)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory, plan = tmp_path_factory.mktemp("operator-acl"), FleetSpec(environment=SHORT_HOLD_OFF)
    with ConsulServer(directory / "consul", acl=True) as server:
        server.wait_ready(60)
        acl = server.acl()
        tokens = {
            "node": acl.node_token(plan.account, server.agent.name),
            "operator": acl.operator_token(plan.account),
            "reader": acl.reader_token(plan.account),
        }
        files = {who: directory / f"{who}.token" for who in tokens}
        for who, file in files.items():
            file.touch(0o600)
            file.write_text(tokens[who].secret + "\n")
        site = NodeSite([server.url], environment={"KUUTAMO_CONSUL_TOKEN_FILE": str(files["node"])})
        with Fleet(directory / "fleet", site, plan) as fleet, judged(Guarded(fleet, server, server, files, tokens)) as made:
            yield made


def test_a_reader_sees_everything_and_changes_nothing(stage: Guarded) -> None:
    holder = rested(stage)
    status = stage.ctl("reader", "status")
    assert status.returncode == 0, status.stdout + status.stderr
    assert holder.name in status.stdout
    assert stage.ctl("reader", "history").returncode == 0
    assert stage.ctl("reader", "active-validator").stdout == f"Name: {holder.name}\n"
    standby = stage.fleet.standbys(holder)[0].name
    for words in (["handover"], ["pause"], ["drain", standby], ["restart", standby]):
        done = stage.ctl("reader", *words)
        assert done.returncode == 3, (words, done.stdout, done.stderr)
        assert "permission denied" in done.stderr.lower()
    assert stage.holder() is holder


def test_an_operator_gives_orders_and_cannot_touch_the_lock(stage: Guarded) -> None:
    holder = rested(stage)
    done = stage.ctl("operator", "handover")
    assert done.returncode == 0, done.stdout + done.stderr
    new = stage.holder()
    assert new is not holder
    for words in (["pause", "--for", "1m"], ["resume"], ["drain", holder.name], ["undrain", holder.name]):
        done = stage.ctl("operator", *words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    standby = stage.fleet.standbys(new)[0]
    for words in (["status"], ["history"], ["restart", standby.name]):
        done = stage.ctl("operator", *words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        rested(stage)
    client = stage.as_who("operator")
    for key in (lock_key(stage.account), member_key(stage.account, new.name), history_key(stage.account, stage.term())):
        denied(client, key)
    assert stage.holder() is new


def test_a_node_writes_its_records_and_not_the_fleets_settings(stage: Guarded) -> None:
    rested(stage)
    client = stage.as_who("node")
    denied(client, config_key(stage.account))
    with pytest.raises(ConsulAnswerError, match="403"):
        client.kv_get(lock_key("other.near"))
    with pytest.raises(ConsulAnswerError, match="403"):
        client.kv_put(lock_key("other.near"), "x")


def denied(client: ConsulClient, key: str) -> None:
    """Consul lets this token neither write nor delete the key."""
    before = client.kv_get(key)
    with pytest.raises(ConsulAnswerError, match="403"):
        client.kv_put(key, "x")
    with pytest.raises(ConsulAnswerError, match="403"):
        client.kv_delete(key)
    after = client.kv_get(key)
    assert (before is None) == (after is None)


def test_every_node_keeps_its_part_with_its_token_alone(stage: Guarded) -> None:
    holder = rested(stage)
    for node in stage.fleet.nodes:
        assert "permission denied" not in node.log_text().lower(), node.name
    key = history_key(stage.account, stage.term())
    eventually(lambda: stage.client().kv_get(key) is not None, BUSY, "the term is in the history")
    assert holder.state() == "Validating"
