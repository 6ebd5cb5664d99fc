# SPDX-License-Identifier: Apache-2.0
"""Two nodes that must not both be of the fleet: one node id twice on an account, and another key for the same account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.consul_stages import another_node, on_one_server, spec, stays, undisturbed
from integration.scenario import LAW, POLICY, Stage, told
from kuutamo_localnet.fleet_plan import make_keys
from kuutamod.core.protocol import MemberRecord, member_key

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with on_one_server(tmp_path_factory.mktemp("identity"), spec(nodes=1)) as stage:
        yield stage


def test_second_host_with_the_holders_node_id_refuses_and_names_both(stage: Stage) -> None:
    holder = stage.healthy()
    before, term = stage.last_interval(holder), stage.term()
    with another_node(stage, holder.name, "twin") as twin:
        told(twin, f"node id {holder.name} is already used", str(holder.plan.home), str(twin.plan.home))
        undisturbed(stage, holder, before, term)
        assert twin.state() == "Registering"
        # Not even an open lock is the twin's to take, as long as the other one lives.
        entry = stage.client().kv_get(member_key(stage.account, holder.name))
        record = MemberRecord.from_json(entry.value if entry else None)
        assert record is not None
        assert record.home == str(holder.plan.home)
        assert twin.process.alive()
    undisturbed(stage, holder, before, term)


def test_node_with_another_key_refuses_and_names_both(stage: Stage) -> None:
    holder = stage.healthy()
    others = make_keys(stage.fleet.directory / "other-keys", stage.account)
    with another_node(stage, "stranger", "stranger", others) as stranger:
        told(stranger, "not eligible", others.public_key, stage.fleet.keys.public_key, holder.name)
        assert stranger.metrics().value("kuutamod_eligible") == 0.0
        holder.stop()
        record = stage.lock()[1]
        assert record is not None
        assert record.released, "the lock is not open; this tests nothing"
        patient = LAW.request_deadline + POLICY.reread_interval + POLICY.member_interval
        stays(lambda: stage.lock()[0] == "" and stranger.state() == "Voting", patient, "nobody takes the open lock")
        assert stage.fleet.referee.current_holder(stage.account) is None
    stage.healthy()
    stage.safe()


def test_node_with_another_key_refuses_by_the_fingerprint_in_the_fleets_config(stage: Stage) -> None:
    holder = stage.healthy()
    before, term = stage.last_interval(holder), stage.term()
    client, others = stage.client(), make_keys(stage.fleet.directory / "third-keys", stage.account)
    config = f"kuutamod/{stage.account}/config"
    client.kv_put(config, f'{{"fingerprint": "{stage.fleet.keys.public_key}"}}')
    try:
        with another_node(stage, "third", "third", others) as third:
            told(third, "not eligible", others.public_key, f"the fleet's config records {stage.fleet.keys.public_key}")
            undisturbed(stage, holder, before, term)
    finally:
        client.kv_delete(config)
