# SPDX-License-Identifier: Apache-2.0
"""What the role consul meets when its parts run on this machine: a systemd, a Consul and a program that are made up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import certifi

from unit.plays import Json

ROLE = Path(__file__).resolve().parents[3] / "roles" / "consul"
ACCOUNT = "pool.near"
TOKEN = "11111111-1111-4111-8111-111111111111"


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
