# SPDX-License-Identifier: Apache-2.0
"""What an operator does to a fleet: playbooks of this checkout, and kuutamoctl on the hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import FleetError
from .hosts import Hosts, State

PLAYBOOK_DEADLINE = 1200.0  # seconds
LOOK_DEADLINE = 15.0  # seconds for one answer of kuutamoctl
LOOK_PERIOD = 0.25
COLLECTION = Path("ansible_collections") / "kuutamo" / "near"
KUUTAMOCTL = "/usr/local/bin/kuutamoctl"
CONFIGURATION = "[defaults]\ninject_facts_as_vars = false\n\n[connection]\npipelining = true\n"
TAIL = 40  # lines of a failed run that are shown; the rest is in its log


@dataclass(frozen=True)
class Operator:
    """The operator of a fleet that is up. `project` is the checkout with the playbooks."""

    hosts: Hosts
    project: Path
    say: Callable[[str], None]

    def playbook(self, name: str, *arguments: str) -> str:
        """Run `kuutamo.near.NAME`; tells its plays and their sum, returns all it printed. Raises FleetError."""
        log = self.hosts.site.directory / "log" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        argv = [
            str(Path(sys.prefix) / "bin" / "ansible-playbook"),
            *("--inventory", str(self.project / "inventory" / "demo"), "--inventory", str(self.hosts.site.inventory)),
            *(f"kuutamo.near.{name}", *arguments),
        ]
        collections = self._collections()
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_CONFIG": str(collections / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        }
        lines: list[str] = []
        with (
            log.open("w") as file,
            subprocess.Popen(
                argv,
                env=environment,
                cwd=self.project,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as run,
        ):
            assert run.stdout is not None
            recap = False
            for line in run.stdout:
                file.write(line)
                lines.append(line.rstrip())
                recap = recap or line.startswith("PLAY RECAP")
                if line.startswith("PLAY [") or (recap and " ok=" in line):
                    self.say(f"      {line.strip().rstrip('* ')}")
        if run.returncode:
            raise FleetError("\n".join([*lines[-TAIL:], f"the playbook {name} failed; all it said is in {log}"]))
        return "\n".join(lines)

    def _collections(self) -> Path:
        """A directory in which Ansible finds this checkout as a collection."""
        root = self.hosts.site.root.resolve() / "collections"
        link = root / COLLECTION
        if not link.is_symlink() or link.resolve() != self.project.resolve():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(self.project.resolve())
        # In place of the user's own configuration, which may be anything.
        (root / "ansible.cfg").write_text(CONFIGURATION)
        return root

    def ctl(self, *arguments: str, on: str | None = None) -> subprocess.CompletedProcess[str]:
        """`kuutamoctl arguments...` on a host, by default on the first validator that runs."""
        host = on or self.running()[0]
        return self.hosts.podman.attempt(
            "exec", self.hosts.plan.container(host), KUUTAMOCTL, *arguments, deadline=LOOK_DEADLINE
        )

    def running(self) -> list[str]:
        """The validators that run. Raises FleetError when there is none."""
        states = self.hosts.states()
        found = [host.name for host in self.hosts.plan.hosts if host.validator and states[host.name] is State.RUNNING]
        if not found:
            raise FleetError("no validator host runs: `kuutamo-fleet up` starts them")
        return found

    def status(self) -> dict[str, Any]:
        """`kuutamoctl status --json` of the first host that can ask Consul; empty when none can at this moment."""
        for host in self.running():
            try:
                content: dict[str, Any] = json.loads(self.ctl("status", "--json", on=host).stdout)
            except (ValueError, FleetError):
                continue
            if content.get("lock") is not None:
                return content
        return {}

    def holder(self) -> str | None:
        """The host that holds the lock and validates; None when nobody does."""
        return holder_of(self.status())

    def wait(self, what: str, condition: Callable[[], bool], deadline: float) -> float:
        """Wait for `condition`; how many seconds it took. Raises FleetError after `deadline` seconds."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > deadline:
                said = self.ctl("status").stdout.strip()
                raise FleetError(f"{what}: not within {deadline:g} s\n{said}")
            time.sleep(LOOK_PERIOD)
        return time.monotonic() - begun


def holder_of(status: dict[str, Any]) -> str | None:
    """The node that holds the lock and says itself that it validates."""
    lock = status.get("lock") or {}
    validating = [node["node"] for node in status.get("nodes", ()) if node["live"] and node["state"] == "Validating"]
    return lock.get("holder") if lock.get("holder") in validating else None


def standbys_of(status: dict[str, Any]) -> list[str]:
    """The nodes that could take the lock now."""
    return [node["node"] for node in status.get("nodes", ()) if node["live"] and node["eligible"]]


def followers_of(status: dict[str, Any]) -> list[str]:
    """The nodes that follow the chain as standbys, in hold-off or not."""
    return [node["node"] for node in status.get("nodes", ()) if node["live"] and node["state"] == "Voting"]


def indented(text: str, words: Sequence[str] = ()) -> str:
    """`text` for the screen; only the lines with one of `words`, when there are any."""
    lines = [line for line in text.splitlines() if not words or any(word in line for word in words)]
    return "\n".join(f"      {line}" for line in lines)
