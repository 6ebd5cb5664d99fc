# SPDX-License-Identifier: Apache-2.0
"""Configuration that kuutamod can't work with: exit code 2, a message with file and field, and nothing is touched."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.scenario import BUSY
from kuutamo_localnet.fleet import Fleet
from kuutamo_localnet.fleet_plan import FleetKeys, FleetSpec, NodeSite, arguments, environment
from neard_standin.keys import generate_key_file

pytestmark = pytest.mark.integration
FAULTY_CONFIGURATION = 2


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet's files. Nothing is started, there is not even a Consul: kuutamod must refuse before it needs one."""
    made = Fleet(tmp_path, NodeSite(["http://127.0.0.1:9"]), FleetSpec(nodes=1))
    yield made
    made.close()


def config(change: Callable[[dict[str, object]], object]) -> Callable[[Path, FleetKeys], FleetKeys]:
    """A fault that changes config.json."""

    def fault(home: Path, keys: FleetKeys) -> FleetKeys:
        path = home / "config.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return keys

    return fault


def truncated_config(home: Path, keys: FleetKeys) -> FleetKeys:
    path = home / "config.json"
    path.write_text(path.read_text()[:100])
    return keys


def truncated_key(home: Path, keys: FleetKeys) -> FleetKeys:
    path = home.parent / "validator_key.json"
    path.write_text(keys.validator_key.read_text()[:40])
    return replace(keys, validator_key=path)


def foreign_key(home: Path, keys: FleetKeys) -> FleetKeys:
    path = home.parent / "validator_key.json"
    generate_key_file(path, "somebody.near")
    return replace(keys, validator_key=path)


def mixed_key(home: Path, keys: FleetKeys) -> FleetKeys:
    path = home.parent / "validator_key.json"
    generate_key_file(path, "fleet.near")
    ours, theirs = json.loads(keys.validator_key.read_text()), json.loads(path.read_text())
    path.write_text(json.dumps({**ours, "secret_key": theirs["secret_key"]}))
    return replace(keys, validator_key=path)


FAULTS: dict[str, tuple[Callable[[Path, FleetKeys], FleetKeys], tuple[str, ...]]] = {
    "config-truncated": (truncated_config, ("config.json", "it is not JSON")),
    "config-without-network-address": (config(lambda c: c["network"].pop("addr")), ("config.json", "network.addr")),  # type: ignore[attr-defined]
    "config-with-rpc-address-of-another-type": (config(lambda c: c["rpc"].update(addr=3030)), ("config.json", "rpc.addr")),  # type: ignore[attr-defined]
    "key-truncated": (truncated_key, ("validator_key.json", "truncated")),
    "key-of-another-account": (foreign_key, ("validator_key.json", "--account-id", "fleet.near", "somebody.near")),
    "key-whose-halves-do-not-match": (mixed_key, ("validator_key.json", "secret_key does not belong to public_key")),
}


def listing(home: Path) -> dict[str, bytes]:
    """Every file of a home with its content."""
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def refused(fleet: Fleet, keys: FleetKeys, **variables: str) -> str:
    """What kuutamod says when it refuses to start, having touched nothing."""
    plan = fleet.node(0).plan
    before = listing(plan.home)
    argv = [str(part) for part in arguments(plan, fleet.spec, keys)]
    env = {**environment(plan, fleet.spec), **variables}
    result = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=BUSY, check=False)
    assert result.returncode == FAULTY_CONFIGURATION, result.stderr
    assert "Traceback" not in result.stderr
    assert listing(plan.home) == before
    return result.stderr


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_configuration_is_refused_with_its_name(fleet: Fleet, name: str) -> None:
    fault, words = FAULTS[name]
    said = refused(fleet, fault(fleet.node(0).plan.home, fleet.keys))
    assert all(word in said for word in words), said


def test_all_faults_are_told_at_once(fleet: Fleet) -> None:
    home = fleet.node(0).plan.home
    said = refused(fleet, truncated_key(home, truncated_config(home, fleet.keys)), KUUTAMO_GUARD_TIME="5")
    assert all(word in said for word in ("config.json", "validator_key.json", "KUUTAMO_GUARD_TIME")), said
