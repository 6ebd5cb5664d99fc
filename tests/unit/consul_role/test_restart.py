# SPDX-License-Identifier: Apache-2.0
"""The restart of one agent: never under a validator, never where nobody knows whether there is one.

Each case is a host with a Consul, a systemd and a program of its own; one run of Ansible goes through all of them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from unit.consul_role.rig import ACCOUNT, Cluster, Host, cluster
from unit.plays import Run, include, play

Change = Callable[[Cluster, str], object]
LOCK = f"kv/kuutamod-leader/{ACCOUNT}"


def _answer(path: str, status: int, content: object) -> Change:
    return lambda consul, _me: consul.answers.update({path: (status, content)})


def _held_here(consul: Cluster, me: str) -> None:
    consul.held_by(me)


def _leads(consul: Cluster, me: str) -> None:
    for server in consul.answers["operator/raft/configuration"][1]["Servers"]:
        server["Leader"] = server["Node"] == me
    consul.answers["operator/raft/transfer-leader"] = (500, "no")


@dataclass(frozen=True)
class Case:
    """One host: what is different there from a fleet that is well, whose validator is another host."""

    change: Change = lambda _consul, _me: None
    outage: bool = False
    runs: bool = True
    good: bool = True
    silent: bool = False
    pending: bool = True
    part: str = "restart"
    restarted: bool = False
    words: tuple[str, ...] = field(default=())


pytestmark = pytest.mark.timeout(1000)  # all cases are one play

UNKNOWN = ("who holds the validator's lock is not known",)
CASES = {
    "plain": Case(restarted=True),
    "nothing-pending": Case(pending=False),
    "held-here": Case(_held_here, words=("held-here holds the validator's lock", "kuutamo.near.restart_consul")),
    "held-here-outage": Case(_held_here, outage=True, words=("holds the validator's lock",)),
    "forbidden": Case(_answer(LOCK, 403, "Permission denied"), words=UNKNOWN),
    "broken": Case(_answer(LOCK, 500, "broken"), words=UNKNOWN),
    "no-node": Case(_answer("session/info/5e55", 200, []), words=UNKNOWN),
    # It is restarted; that it does not answer afterwards is told.
    "dead": Case(runs=False, silent=True, restarted=True, words=("is not back as it should be",)),
    "hangs": Case(silent=True, words=("was not restarted", "systemctl stop consul")),
    "hangs-lookup": Case(silent=True, part="holder", words=UNKNOWN),
    "hangs-outage": Case(silent=True, outage=True, restarted=True, words=("is not back as it should be",)),
    # One that refuses to tell is well enough to be asked with the right token.
    "forbidden-outage": Case(_answer(LOCK, 403, "Permission denied"), outage=True, words=UNKNOWN),
    "bad-configuration": Case(good=False, words=("was not restarted", "unknown key: connect_x")),
    "throttled": Case(_answer("operator/autopilot/health", 429, "too many connections"), words=("was not restarted",)),
    "no-autopilot": Case(_answer("operator/autopilot/health", 500, "rpc error"), words=("was not restarted",)),
    "empty-autopilot": Case(_answer("operator/autopilot/health", 200, {}), words=("was not restarted", "autopilot")),
    "no-servers": Case(_answer("operator/raft/configuration", 200, {"Servers": []}), words=("was not restarted",)),
    "leads": Case(_leads, restarted=True),
}


@dataclass(frozen=True)
class Told:
    """What came of all cases."""

    run: Run
    hosts: dict[str, Host]
    clusters: dict[str, Cluster]


def _go(folder: Path, cases: dict[str, Case], *arguments: str) -> Told:
    with contextlib.ExitStack() as stack:
        # Nobody listens there.
        silent = stack.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        hosts: dict[str, Host] = {}
        clusters: dict[str, Cluster] = {}
        given: dict[str, dict[str, Any]] = {}
        names: set[str] = set()
        for name, case in cases.items():
            (folder / name).mkdir()
            hosts[name] = host = Host(folder / name, runs=case.runs, good=case.good)
            if not case.pending:
                (host.folder / "running.json").write_text("new\n")
            clusters[name] = consul = stack.enter_context(cluster()).three_servers(name).held_by("b")
            case.change(consul, name)
            port = silent.getsockname()[1] if case.silent else consul.port
            variables = {**host.variables(port), "__consul_servers": [name, "b", "c"]}
            names |= variables.keys()
            path = f"{host.programs}:{os.environ['PATH']}"
            given[name] = {"part": case.part, "path": path, "outage": case.outage, "case": variables}
        # As facts, which outrank the role's own variables and leave all hosts in one include.
        facts = {name: f"{{{{ case['{name}'] }}}}" for name in names} | {"consul_restart_allow_outage": "{{ outage }}"}
        task = include("consul", "{{ part }}")
        task["ansible.builtin.include_role"]["apply"] = {"environment": {"PATH": "{{ path }}"}}
        tasks = [{"name": "Say where all of it is", "ansible.builtin.set_fact": facts}, task]
        run = play(folder, tasks, given, "--forks=3", *arguments, groups={"validators": list(cases)}, timeout=900.0)
    return Told(run, hosts, clusters)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return _go(tmp_path_factory.mktemp("restart"), CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_agent_is_restarted_where_nobody_is_harmed(told: Told, name: str) -> None:
    case, done = CASES[name], told.hosts[name].done
    assert ("restart consul.service" in done) is case.restarted, (done, told.run.faults.get(name))
    if case.words:
        assert [word for word in case.words if word not in told.run.faults[name]] == [], told.run.faults[name]
    else:
        assert name not in told.run.faults, told.run.faults[name]


def test_the_lookup_comes_after_the_gate(told: Told) -> None:
    asked = [what for what in told.clusters["plain"].asked if LOCK in what or "autopilot/health" in what]
    assert asked.index(f"GET {LOCK}") > asked.index("GET operator/autopilot/health")
    host = told.hosts["plain"]
    assert host.done == [f"consul validate {host.folder}", "restart consul.service"]


def test_where_nothing_is_pending_nothing_is_asked(told: Told) -> None:
    assert (told.hosts["nothing-pending"].done, told.clusters["nothing-pending"].asked) == ([], [])


def test_a_leader_that_does_not_step_down_is_restarted_all_the_same(told: Told) -> None:
    assert "POST operator/raft/transfer-leader" in told.clusters["leads"].asked
    assert "leads has not given up the lead" in told.run.out


def test_the_preview_tells_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    """Also on the validator's host, whose handover was only told."""
    told = _go(tmp_path, {name: CASES[name] for name in ("plain", "held-here", "forbidden")}, "--check")
    assert set(told.run.faults) == {"forbidden"}, told.run.out
    assert all("restart consul.service" not in host.done for host in told.hosts.values())
