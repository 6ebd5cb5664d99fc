# SPDX-License-Identifier: Apache-2.0
"""The configuration given to Consul agents of old and new versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kuutamo_localnet.consul_agent import AgentPorts, AgentSpec, render

OLD, NEW = (1, 8, 7), (1, 20, 2)
SERVER = AgentSpec("server0", "127.0.0.2", AgentPorts(8500, 8300, 8301), servers=3, join=["127.0.0.2:8301"], token="t")
CLIENT = replace(SERVER, name="client0", servers=0)


def rendered(spec: AgentSpec, version: tuple[int, int, int] = OLD) -> dict[str, Any]:
    return render(spec, Path("/data"), version)


def test_old_and_new_names_of_settings() -> None:
    old, new = rendered(SERVER, OLD), rendered(SERVER, NEW)
    assert "grpc_tls" not in old["ports"]
    assert new["ports"]["grpc_tls"] == -1
    assert old["acl"]["tokens"] == {"agent": "t", "master": "t"}
    assert new["acl"]["tokens"] == {"agent": "t", "initial_management": "t"}


def test_servers_and_clients() -> None:
    server, client = rendered(SERVER), rendered(CLIENT)
    assert (server["server"], server["bootstrap_expect"]) == (True, 3)
    assert client["server"] is False
    assert "bootstrap_expect" not in client
    assert client["acl"]["tokens"] == {"agent": "t"}
    assert server["performance"] == {"raft_multiplier": 1}
    assert {server["bind_addr"], server["client_addr"]} == {"127.0.0.2"}


def test_consuls_own_defaults_stay_unless_asked() -> None:
    config = rendered(replace(CLIENT, token=None))
    assert not {"leave_on_terminate", "session_ttl_min", "acl", "gossip_lan"} & config.keys()
    asked = rendered(replace(CLIENT, leave_on_terminate=False, session_ttl_min=1.5))
    assert (asked["leave_on_terminate"], asked["session_ttl_min"]) == (False, "1500ms")


def test_in_memory_servers_have_no_data_directory() -> None:
    assert "data_dir" not in rendered(replace(SERVER, dev=True))
    assert rendered(SERVER)["data_dir"] == "/data"


@pytest.mark.parametrize("version", [OLD, NEW])
def test_extra_settings_are_merged_deeply(version: tuple[int, int, int]) -> None:
    config = rendered(replace(SERVER, extra={"performance": {"leave_drain_time": "1s"}, "log_level": "debug"}), version)
    assert config["performance"] == {"raft_multiplier": 1, "leave_drain_time": "1s"}
    assert config["log_level"] == "debug"
