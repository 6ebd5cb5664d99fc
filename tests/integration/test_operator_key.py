# SPDX-License-Identifier: Apache-2.0
"""`kuutamoctl key`: a node takes the lock only with the key that is recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.operator_line import ctl
from integration.scenario import Stage, rested, single
from kuutamo_localnet.fleet_plan import FleetSpec

pytestmark = pytest.mark.integration

STRANGE = "ed25519:" + "2" * 44


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("key"), FleetSpec()) as made:
        yield made
        made.safe()


def test_keys_are_shown_and_recorded(stage: Stage) -> None:
    holder = rested(stage)
    shown = ctl(stage, "key")
    assert shown.returncode == 0, shown.stderr
    lines = dict(line.split(": ", 1) for line in shown.stdout.splitlines())
    mine = lines["lock"]
    assert lines == {"recorded": "none", "lock": mine, **{node.name: mine for node in stage.fleet.nodes}}

    refused = ctl(stage, "key", "--record", STRANGE)
    assert (refused.returncode, "no live node has the key" in refused.stderr) == (1, True)
    refused = ctl(stage, "key", "--record", "ed25519:0")
    assert refused.returncode == 2

    done = ctl(stage, "key", "--record", mine)
    assert done.returncode == 0, done.stderr
    assert f"recorded: {mine}" in ctl(stage, "key").stdout
    refused = ctl(stage, "key", "--record", mine, "--instead-of", STRANGE)
    assert refused.returncode == 0, "what is there already is done"
    assert stage.holder() is holder
