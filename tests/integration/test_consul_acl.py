# SPDX-License-Identifier: Apache-2.0
"""A holder's Consul token is revoked while it validates, and replaced in its token file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.consul_stages import fenced, no_ghost, rejoins, retire, spec, undisturbed
from integration.scenario import BUSY, Stage, boottime, judged, mark, steal_bound, told_since
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.consul_acl import Token
from kuutamo_localnet.fleet import Fleet
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.fleet_plan import NodeSite

pytestmark = pytest.mark.integration


@dataclass
class AclStage(Stage):
    """A stage on a Consul that denies by default; each node reads its token from a file of its own."""

    tokens: dict[str, Token]
    files: dict[str, Path]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AclStage]:
    directory, plan = tmp_path_factory.mktemp("acl"), spec()
    with ConsulServer(directory / "consul", acl=True) as server:
        retire(server.client(), plan.account)
        files = [directory / f"token{number}" for number in range(plan.nodes)]
        # Sessions belong to the Consul node through which they are made: the one server.
        tokens = [server.acl().node_token(plan.account, server.agent.name) for _unused in files]
        for file, token in zip(files, tokens, strict=True):
            hand_over(file, token)
        sites = [NodeSite([server.url], environment={"KUUTAMO_CONSUL_TOKEN_FILE": str(file)}) for file in files]
        with Fleet(directory / "fleet", sites, plan) as fleet:
            names = [node.name for node in fleet.nodes]
            made = AclStage(fleet, server, dict(zip(names, tokens, strict=True)), dict(zip(names, files, strict=True)))
            with judged(made) as stage:
                yield stage


def hand_over(file: Path, token: Token) -> None:
    """Put the token in the file's place in one step."""
    fresh = file.with_suffix(".new")
    fresh.write_text(token.secret + "\n")
    fresh.chmod(0o600)
    fresh.rename(file)


def new_token(stage: AclStage, node: FleetNode) -> Token:
    assert isinstance(stage.consul, ConsulServer)
    return stage.consul.acl().node_token(stage.account, stage.consul.agent.name)


def test_token_revoked_and_replaced_in_time_costs_nothing(stage: AclStage) -> None:
    holder = stage.healthy()
    before, term, since = stage.last_interval(holder), stage.term(), mark(holder)
    assert isinstance(stage.consul, ConsulServer)
    stage.consul.acl().revoke(stage.tokens[holder.name])
    told_since(holder, since, "heartbeat without an answer", "permission denied")
    stage.tokens[holder.name] = new_token(stage, holder)
    hand_over(stage.files[holder.name], stage.tokens[holder.name])
    undisturbed(stage, holder, before, term)


def test_token_revoked_for_longer_than_the_lease(stage: AclStage) -> None:
    holder = stage.healthy()
    term, since, starts = stage.term(), mark(holder), holder.metrics().value("kuutamod_neard_restarts")
    assert isinstance(stage.consul, ConsulServer)
    stage.consul.acl().revoke(stage.tokens[holder.name])
    revoked_at = boottime()
    fenced(stage, holder, revoked_at)
    told_since(holder, since, "fence: killing neard", "permission denied", "check the Consul token")
    successor, interval = stage.taken_over(holder, steal_bound() + BUSY)
    assert interval.loaded_at <= revoked_at + steal_bound()
    told_since(successor, 0, f"taking the lock for term {term + 1}", "has not proved itself for the guard time")
    successor.wait_state("Validating", BUSY)
    # No crash loop: the supervisor lives, its neard was started once more, as a voter.
    holder.wait_state("Registering", BUSY)
    assert holder.process.alive()
    assert holder.metrics().value("kuutamod_neard_restarts") == starts + 1
    stage.tokens[holder.name] = new_token(stage, holder)
    hand_over(stage.files[holder.name], stage.tokens[holder.name])
    rejoins(stage, holder, successor, term + 1)
    no_ghost(stage, successor)
