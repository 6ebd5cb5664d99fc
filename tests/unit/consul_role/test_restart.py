# SPDX-License-Identifier: Apache-2.0
"""The restart of one agent: never under a validator, never where nobody knows whether there is one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.consul_role.rig import Cluster, Host, Run, cluster, of_role, play

FLEET = {"consul_servers": ["a", "b", "c"], "validators": ["a", "b", "c"]}


@pytest.fixture
def consul() -> Iterator[Cluster]:
    with cluster() as one:
        yield one.three_servers()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def restart(host: Host, port: int, *arguments: str, tasks_from: str = "restart", **extra: object) -> Run:
    return play(
        host.folder,
        [of_role(tasks_from)],
        {"a": {}, "b": {}, "c": {}},
        "--limit=a",
        *arguments,
        groups=FLEET,
        extra={**host.variables(port), **extra},
        path=host.programs,
    )


def test_an_agent_that_nobody_needs_is_restarted_and_who_holds_is_asked_last(consul: Cluster, tmp_path: Path) -> None:
    host = Host(tmp_path)
    done = restart(host, consul.held_by("b").port)
    assert done.code == 0, done.out
    assert host.done == [f"consul validate {tmp_path}", "restart consul.service"]
    asked = [what for what in consul.asked if "kuutamod-leader" in what or "autopilot/health" in what]
    # Gate and lookup come before the restart, the gate's second look after it.
    assert asked.index("GET kv/kuutamod-leader/pool.near") > asked.index("GET operator/autopilot/health")


@pytest.mark.parametrize("allowed", [False, True])
def test_the_agent_under_the_validator_is_not_restarted(consul: Cluster, tmp_path: Path, allowed: bool) -> None:
    host = Host(tmp_path)
    refused = restart(host, consul.held_by("a").port, consul_restart_allow_outage=allowed)
    assert "a holds the validator's lock" in refused.faults["a"] and "kuutamo.near.restart_consul" in refused.faults["a"]
    assert "restart consul.service" not in host.done


@pytest.mark.parametrize("status", [403, 500])
def test_without_an_answer_about_the_lock_nothing_is_restarted(consul: Cluster, tmp_path: Path, status: int) -> None:
    host = Host(tmp_path)
    consul.answers["kv/kuutamod-leader/pool.near"] = (status, "Permission denied" if status == 403 else "broken")
    refused = restart(host, consul.port)
    assert "who holds the validator's lock is not known" in refused.faults["a"]
    assert "restart consul.service" not in host.done


def test_a_session_without_a_node_says_nothing(consul: Cluster, tmp_path: Path) -> None:
    host = Host(tmp_path)
    consul.held_by("b").answers["session/info/5e55"] = (200, [])
    assert "who holds the validator's lock is not known" in restart(host, consul.port).faults["a"]


def test_an_agent_that_does_not_run_needs_nobodys_leave(silent: int, tmp_path: Path) -> None:
    host = Host(tmp_path, runs=False)
    tried = restart(host, silent)
    # It is restarted; that it does not answer afterwards is told.
    assert "restart consul.service" in host.done
    assert "is not back as it should be" in tried.faults["a"]


def test_an_agent_that_runs_and_does_not_answer_is_left_alone(silent: int, tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert "was not restarted" in restart(host, silent).faults["a"]
    assert "who holds the validator's lock is not known" in restart(host, silent, tasks_from="holder").faults["a"]
    assert "restart consul.service" not in host.done


def test_an_outage_that_is_allowed_needs_no_answer_of_a_consul_that_has_none(
    consul: Cluster, silent: int, tmp_path: Path
) -> None:
    host = Host(tmp_path)
    restart(host, silent, consul_restart_allow_outage=True)
    assert "restart consul.service" in host.done
    # But one that refuses to tell is well enough to be asked with the right token.
    consul.answers["kv/kuutamod-leader/pool.near"] = (403, "Permission denied")
    (tmp_path / "again").mkdir()
    other = Host(tmp_path / "again")
    refused = restart(other, consul.port, consul_restart_allow_outage=True)
    assert "who holds the validator's lock is not known" in refused.faults["a"]
    assert "restart consul.service" not in other.done


def test_a_configuration_that_is_not_good_restarts_nothing(consul: Cluster, tmp_path: Path) -> None:
    host = Host(tmp_path, good=False)
    refused = restart(host, consul.held_by("b").port, tasks_from="gate")
    assert "unknown key: connect_x" in refused.faults["a"] and "was not restarted" in refused.faults["a"]


@pytest.mark.parametrize(
    "health", [(429, "Your IP is issuing too many concurrent connections"), (500, "rpc error"), (200, {})]
)
def test_servers_that_nobody_can_judge_are_not_taken_for_well(
    consul: Cluster, tmp_path: Path, health: tuple[int, object]
) -> None:
    host = Host(tmp_path)
    consul.held_by("b").answers["operator/autopilot/health"] = health
    refused = restart(host, consul.port)
    assert "was not restarted" in refused.faults["a"]
    assert "restart consul.service" not in host.done


def test_a_leader_that_does_not_step_down_is_restarted_all_the_same(consul: Cluster, tmp_path: Path) -> None:
    host = Host(tmp_path)
    for server in consul.held_by("b").answers["operator/raft/configuration"][1]["Servers"]:
        server["Leader"] = server["Node"] == "a"
    consul.answers["operator/raft/transfer-leader"] = (500, "no")
    done = restart(host, consul.port)
    assert "POST operator/raft/transfer-leader" in consul.asked
    assert done.code == 0 and "restart consul.service" in host.done, done.out
    assert "has not given up the lead" in done.out


def test_the_preview_tells_what_would_be_done_and_does_nothing(consul: Cluster, tmp_path: Path) -> None:
    host = Host(tmp_path)
    done = restart(host, consul.held_by("a").port, "--check")
    assert done.code == 0, done.out
    assert "restart consul.service" not in host.done and "changed=1" in done.out


def test_without_a_reason_nothing_is_asked(consul: Cluster, tmp_path: Path) -> None:
    host = Host(tmp_path)
    (tmp_path / "running.json").write_text("new\n")
    assert restart(host, consul.port).code == 0
    assert (host.done, consul.asked) == ([], [])
