# SPDX-License-Identifier: Apache-2.0
"""Parts of the role consul run by Ansible on this machine, with a systemd, a Consul and a program that are made up."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import certifi

from unit.plugins.rig import collections

Json = dict[str, Any]
ROLE = Path(__file__).resolve().parents[3] / "roles" / "consul"
FATAL = re.compile(r"^fatal: \[([^\]]+?)(?: -> [^\]]+)?\]: (?:FAILED|UNREACHABLE)! => (\{.*\})$", re.MULTILINE)
ACCOUNT = "pool.near"
TOKEN = "11111111-1111-4111-8111-111111111111"


@dataclass(frozen=True)
class Run:
    """How a playbook ended. ``faults``: what each host that failed said, the last one."""

    code: int
    out: str

    @property
    def faults(self) -> dict[str, str]:
        return {host: str(_result(text).get("msg", text)) for host, text in FATAL.findall(self.out)}


def _result(text: str) -> Json:
    try:
        found: Json = json.loads(text)
    except ValueError:
        found = ast.literal_eval(text)
    return found


def play(
    folder: Path,
    tasks: Sequence[Json],
    hosts: Mapping[str, Json],
    *arguments: str,
    groups: Mapping[str, Sequence[str]] | None = None,
    extra: Mapping[str, Any] | None = None,
    path: Path | None = None,
    alone: bool = False,
) -> Run:
    """Run these tasks on hosts that all are this machine. ``extra`` outranks everything.

    ``path`` has programs that come before this machine's, or are all there are when they are ``alone``.
    """
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    children: Json = {name: {"hosts": {each: {} for each in members}} for name, members in (groups or {}).items()}
    inventory = {"all": {"hosts": {name: {**local, **given} for name, given in hosts.items()}, "children": children}}
    (folder / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    book = [{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]
    (folder / "play.json").write_text(json.dumps(book), encoding="utf-8")
    (folder / "extra.json").write_text(json.dumps(dict(extra or {})), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ours = {
        "ANSIBLE_COLLECTIONS_PATH": str(collections()),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "LC_ALL": "C.UTF-8",
    }
    if path is not None:
        ours["PATH"] = str(path) if alone else f"{path}:{os.environ['PATH']}"
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "--inventory=hosts.json",
            "--extra-vars=@extra.json",
            *arguments,
            "play.json",
        ],
        cwd=folder,
        env={**kept, **ours},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr)


def of_role(tasks_from: str, **variables: Any) -> Json:
    """The task that runs one part of the role."""
    return {
        "name": f"The role's {tasks_from}",
        "ansible.builtin.include_role": {"name": "kuutamo.near.consul", "tasks_from": tasks_from},
        "vars": variables,
    }


def program(folder: Path, name: str, text: str) -> Path:
    """A program of this name in a folder of programs."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    file.chmod(0o755)
    return file


@dataclass
class Cluster:
    """A Consul that says what it is told to say; ``asked`` is what it was asked, with what systemd was told to do."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def three_servers(self, me: str = "a") -> Cluster:
        """Well: the agent that is asked, b and c; b leads."""
        names = (me, "b", "c")
        health = [{"Name": name, "Healthy": True, "LastIndex": 7, "Version": "1.20.2"} for name in names]
        raft = [{"Node": name, "Address": name, "Leader": name == "b", "Voter": True} for name in names]
        self.answers |= {
            "operator/autopilot/health": (200, {"Healthy": True, "FailureTolerance": 1, "Servers": health}),
            "operator/raft/configuration": (200, {"Servers": raft}),
            "agent/self": (200, {"Config": {"NodeName": me, "Server": True, "Version": "1.20.2"}, "DebugConfig": {}}),
            "agent/members": (200, []),
        }
        return self

    def held_by(self, node: str | None) -> Cluster:
        """Who holds the validator's lock."""
        session = "5e55" if node else ""
        self.answers |= {
            f"kv/kuutamod-leader/{ACCOUNT}": (200, [{"Session": session}]),
            "session/info/5e55": (200, [{"Node": node}]),
        }
        return self


@contextmanager
def cluster() -> Iterator[Cluster]:
    """One that can be asked, on the loopback."""
    one = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            path = self.path.removeprefix("/v1/").split("?")[0]
            one.asked.append(f"{self.command} {path}")
            status, content = one.answers.get(path, (404, None))
            text = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = _answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Host:
    """This machine as a host of the fleet: ``runs`` is whether its agent has a process, ``good`` what validate says."""

    folder: Path
    runs: bool = True
    good: bool = True

    def __post_init__(self) -> None:
        self.programs = self.folder / "programs"
        self.log = self.folder / "systemctl.log"
        (self.folder / "wanted.json").write_text("new\n")
        (self.folder / "running.json").write_text("old\n")
        shown = "LoadState=loaded\\nActiveState=active\\nSubState=running\\nUnitFileState=enabled\\nCanReload=yes"
        program(
            self.programs,
            "systemctl",
            f'echo "$*" >> {self.log}\n'
            'case "$*" in\n'
            f"*MainPID*) echo {4711 if self.runs else 0};;\n"
            f"show*) printf '{shown}\\n';;\n"
            f"restart*) cp {self.folder}/wanted.json {self.folder}/running.json;;\n"
            "esac\n",
        )
        said = "exit 0" if self.good else "echo 'unknown key: connect_x' >&2; exit 1"
        program(self.programs, "consul", f'echo "consul $*" >> {self.log}\n{said}\n')

    @property
    def done(self) -> list[str]:
        """What was done to units and what the program was asked, without mere looks."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.split()[0] in ("restart", "reload", "start", "consul")]

    def variables(self, port: int) -> Json:
        """Where the role finds all of it."""
        return {
            "consul_https": False,
            "consul_wait": 1,
            "consul_management_token": TOKEN,
            "kuutamod_account_id": ACCOUNT,
            "__consul_port": port,
            "__consul_ca_for_clients": certifi.where(),
            "__consul_link": str(self.programs / "consul"),
            "__consul_config_dir": str(self.folder),
            "__consul_wanted_file": str(self.folder / "wanted.json"),
            "__consul_running_file": str(self.folder / "running.json"),
        }
