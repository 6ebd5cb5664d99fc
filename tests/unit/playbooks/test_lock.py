# SPDX-License-Identifier: Apache-2.0
"""The maintenance lock as the playbooks take it, keep it and give it back, in a real Consul."""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kuutamo_localnet.consul import ConsulServer
from unit.playbooks.rig import ROOT
from unit.plays import HERE, Json, Run, ansible_playbook
from unit.plugins.rig import address, run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base")

TASKS = ROOT / "playbooks/tasks"
AWAY: Json = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulServer]:
    """Without ACLs."""
    with ConsulServer() as server:
        yield server


@dataclass
class Playing:
    """Plays of a test's own account, on the hosts a and b."""

    consul: ConsulServer
    folder: Path
    account: str = field(default_factory=lambda: f"a{uuid.uuid4().hex[:10]}.near")
    hosts: Json = field(default_factory=lambda: {"a": HERE, "b": HERE})
    variables: Json = field(default_factory=dict)

    def play(self, *tasks: Json, hosts: str = "validators", arguments: Sequence[str] = ()) -> Run:
        """Run the tasks on these hosts, with all that the playbooks' plays have."""
        asked = {"account_id": self.account, **address(self.consul.url)}
        play = {
            "name": "Play",
            "hosts": hosts,
            "gather_facts": False,
            "any_errors_fatal": True,
            "vars_files": [str(ROOT / f"playbooks/vars/{name}.yml") for name in ("rolling", "rotation")],
            "vars": {"__fleet_python": sys.executable, "__fleet_by": "eve", **self.variables},
            "module_defaults": {"group/kuutamo.near.kuutamo": asked},
            "tasks": list(tasks),
        }
        (self.folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
        inventory = {
            "all": {"children": {"validators": {"hosts": self.hosts}, "consul_servers": {"hosts": {"server": HERE}}}}
        }
        (self.folder / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
        return ansible_playbook(self.folder, "play.yml", "-i", "hosts.yml", *arguments)

    def maintain(self, **options: Any) -> Any:
        """The module, run from here: somebody else's hand."""
        return run("validator_maintenance", account_id=self.account, **address(self.consul.url), **options)

    def locked(self) -> bool:
        """Whether anybody has the lock."""
        return bool(run("validator_info", account_id=self.account, **address(self.consul.url))["maintenance"] is not None)


@pytest.fixture
def playing(consul: ConsulServer, tmp_path: Path) -> Playing:
    """Nobody has the lock yet."""
    return Playing(consul, tmp_path)


def include(name: str, **variables: Any) -> Json:
    """A file of the playbooks' tasks."""
    return {"name": name, "ansible.builtin.include_tasks": str(TASKS / name), "vars": variables}


def work(playing: Playing, *tasks: Json) -> Json:
    """These tasks under the lock."""
    (playing.folder / "work.yml").write_text(json.dumps(list(tasks)), encoding="utf-8")
    return include("locked.yml", __fleet_work=str(playing.folder / "work.yml"), __fleet_purpose="a test")


def test_work_is_done_under_the_lock_and_the_lock_is_given_back(playing: Playing) -> None:
    done = playing.play(
        work(
            playing,
            {"name": "Look", "kuutamo.near.validator_info": {}, "register": "seen"},
            {"name": "It is ours", "ansible.builtin.assert": {"that": "seen.maintenance.reason == 'a test'"}},
        )
    )
    assert done.code == 0, done.out
    assert not playing.locked()


def test_the_lock_is_given_back_when_the_work_fails(playing: Playing) -> None:
    done = playing.play(work(playing, {"name": "Fail", "ansible.builtin.fail": {"msg": "as it must"}}))
    assert (done.code, "as it must" in done.out) == (2, True)
    assert not playing.locked()


def test_the_lock_is_given_back_through_another_host_where_the_one_that_took_it_is_lost(playing: Playing) -> None:
    lost = {
        "name": "Lose it",
        "ansible.builtin.command": {"argv": ["true"]},
        "vars": AWAY,
        "when": "inventory_hostname == 'a'",
    }
    done = playing.play(work(playing, lost))
    assert (done.code != 0, "unreachable=1" in done.out) == (True, True), done.out
    assert "changed: [a]" in done.out  # it has taken the lock
    assert not playing.locked()


def test_the_lock_is_given_back_where_no_validator_is_in_the_play(playing: Playing) -> None:
    done = playing.play(
        work(playing, {"name": "Work", "ansible.builtin.command": {"argv": ["true"]}}), hosts="consul_servers"
    )
    assert done.code == 0, done.out
    assert "changed: [server]" in done.out
    assert not playing.locked()


def test_the_lock_is_given_back_past_a_host_that_cannot_be_reached(playing: Playing) -> None:
    session = playing.maintain(reason="a test")["session"]
    playing.hosts = {"a": AWAY, "b": HERE}
    give_back = include("unlock.yml", __fleet_control="a", __fleet_lock={"session": session})
    done = playing.play(give_back, hosts="consul_servers")
    assert done.code == 0, done.out
    assert not playing.locked()


def test_a_lock_that_nobody_can_give_back_is_told(playing: Playing) -> None:
    session = playing.maintain(reason="a test")["session"]
    away = {"kuutamo.near.validator_maintenance": {"account_id": playing.account, "port": 1}}
    told = playing.play(
        {
            "name": "Work",
            "block": [include("unlock.yml", __fleet_control="a", __fleet_lock={"session": session})],
            "module_defaults": away,
        }
    )
    assert told.code == 2, told.out
    assert "The maintenance lock could not be given back" in told.out
    assert "break_maintenance_lock=true" in told.out
    assert playing.locked()


def test_the_lock_of_a_dead_run_keeps_the_next_one_off_until_the_operator_says_that_it_is_dead(playing: Playing) -> None:
    playing.maintain(reason="a dead run")
    nothing = {"name": "Nothing", "ansible.builtin.meta": "noop"}
    refused = playing.play(work(playing, nothing))
    assert (refused.code, "a dead run" in refused.out) == (2, True), refused.out
    assert playing.locked()
    playing.variables = {"break_maintenance_lock": True}
    assert playing.play(work(playing, nothing)).code == 0
    assert not playing.locked()


def test_without_any_consul_the_work_is_done_and_the_operator_is_told(playing: Playing) -> None:
    playing.hosts = {"a": {**HERE, "ansible_python_interpreter": sys.executable}}
    playing.variables = {"__fleet_python": "/nowhere/python"}
    done = playing.play(work(playing, {"name": "Work", "ansible.builtin.debug": {"msg": "it is done"}}))
    assert done.code == 0, done.out
    assert "works without the maintenance lock" in done.out
    assert "it is done" in done.out


class Chain(ThreadingHTTPServer):
    """A neard that counts on the new key from the given look on."""

    def __init__(self, reached: int) -> None:
        self.looks = 0
        self.reached = reached
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: Chain

    def do_POST(self) -> None:
        self.server.looks += 1
        key = "new" if self.server.looks >= self.server.reached else "old"
        validators = [{"account_id": "other.near", "public_key": "x"}, {"account_id": "pool.near", "public_key": key}]
        body = json.dumps({"result": {"current_validators": validators}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def chain() -> Iterator[Callable[[int], Chain]]:
    """Makes one."""
    made: list[Chain] = []

    def make(reached: int) -> Chain:
        made.append(Chain(reached))
        threading.Thread(target=made[-1].serve_forever, daemon=True).start()
        return made[-1]

    yield make
    for server in made:
        server.shutdown()
        server.server_close()


def test_the_wait_for_an_epoch_ends_when_it_has_come_and_keeps_the_lock(
    playing: Playing, chain: Callable[[int], Chain]
) -> None:
    neard = chain(3)
    playing.variables = {
        "neard_rpc_addr": f"127.0.0.1:{neard.server_port}",
        "__rotation_new": "new",
        "kuutamod_account_id": "pool.near",
    }
    done = playing.play(
        work(
            playing,
            {
                **include(str(TASKS / "rotation_epoch.yml"), __rotation_slice=5),
                "loop": [0, 1, 2, 3],
                "loop_control": {"loop_var": "__rotation_round"},
            },
            {"name": "It has come", "ansible.builtin.assert": {"that": "__rotation_reached"}},
        )
    )
    assert done.code == 0, done.out
    assert neard.looks == 3
    assert not playing.locked()
