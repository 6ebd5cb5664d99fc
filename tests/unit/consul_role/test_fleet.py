# SPDX-License-Identifier: Apache-2.0
"""What the role refuses or warns of for the sake of a fleet that is there already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.plays import Json, Run, include, play


def host(https: bool | None, *, runs: bool = True, ca: bool = True) -> Json:
    """What the look at a host has found: the configuration it has, if any."""
    ports = {"http": -1 if https else 8500, "https": 8501 if https else -1}
    texts = {} if https is None else {"/etc/consul.d/consul.json": json.dumps({"ports": ports})}
    unit = {"ActiveState": "active" if runs else "inactive"}
    return {"__consul_host": {"texts": texts, "units": {"consul.service": unit}}, "__consul_has_ca": ca}


def check(folder: Path, hosts: dict[str, Json], *arguments: str) -> Run:
    return play(
        folder,
        [include("consul", "fleet")],
        hosts,
        *arguments,
        groups={"consul_servers": list(hosts), "validators": list(hosts)},
    )


def test_an_agent_that_runs_keeps_its_scheme(tmp_path: Path) -> None:
    hosts = {
        "same": host(True),
        "plain": {**host(False), "consul_https": False},
        "other": {**host(True), "consul_https": False},
        "back": host(False),
        "stopped": {**host(True, runs=False), "consul_https": False},
        "new": host(None, runs=False),
        "seventh": host(True),
    }
    done = check(tmp_path, hosts)
    assert set(done.faults) == {"other", "back"}, done.out
    assert "consul_https of other is false" in done.faults["other"] and "Set it back to true" in done.faults["other"]
    assert "Set it back to false" in done.faults["back"] and "stop kuutamod.service" in done.faults["back"]


@pytest.mark.parametrize(("servers", "new"), [(2, True), (2, False), (4, True), (4, False), (9, False)])
def test_an_even_number_is_for_a_fleet_that_is_there(tmp_path: Path, servers: int, new: bool) -> None:
    hosts = {f"n{number}": host(None if new else True, runs=not new, ca=not new) for number in range(servers)}
    done = check(tmp_path, hosts)
    if new or servers > 7:
        assert set(done.faults) == set(hosts) and "make it 3 or 5" in done.faults["n0"], done.out
    else:
        assert done.code == 0, done.out
        assert f"has {servers} hosts, which tolerate no more losses than {servers - 1} would" in done.out


def test_a_part_of_a_fleet_is_not_a_new_one(tmp_path: Path) -> None:
    hosts = {f"n{number}": host(None, runs=False, ca=False) for number in range(4)}
    assert check(tmp_path, hosts, "--limit=n3").code == 0
