# SPDX-License-Identifier: Apache-2.0
"""Tasks of a role run by ansible-playbook on hosts that are this machine under several names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unit.plugins.rig import collections

Json = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """How ansible-playbook ended, and all that it printed."""

    code: int
    said: str

    def told(self, text: str) -> bool:
        """Was this said, whatever line breaks and quotes the output has?"""
        return text in re.sub(r"\s+", " ", self.said.replace('\\"', '"'))


def include(role: str, tasks_from: str, **variables: object) -> Json:
    """The task that includes an entry point of a role."""
    return {
        "name": f"{role}: {tasks_from}",
        "ansible.builtin.include_role": {"name": f"kuutamo.near.{role}", "tasks_from": tasks_from},
        "vars": variables,
    }


def play(
    folder: Path,
    tasks: Sequence[Json],
    hosts: Mapping[str, Json],
    *arguments: str,
    programs: Path | None = None,
    **variables: object,
) -> Run:
    """Run the tasks. ``hosts``: variables by name. ``programs``: a folder that stands before all others in PATH."""
    book = {"name": "Test", "hosts": "all", "gather_facts": False, "vars": variables, "tasks": list(tasks)}
    (folder / "play.yml").write_text(json.dumps([book]), encoding="utf-8")
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_pipelining": True}
    inventory = {"all": {"hosts": {name: {**local, **given} for name, given in hosts.items()}}}
    (folder / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    (folder / "ansible.cfg").write_text("[defaults]\nnocolor = true\ninject_facts_as_vars = false\n", encoding="utf-8")
    path = os.environ["PATH"]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.json", "play.yml", *arguments],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "PATH": f"{programs}:{path}" if programs else path,
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(collections()),
            "LC_ALL": "C.UTF-8",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout)


def systemctl(folder: Path, text: str) -> Path:
    """A folder with a systemctl that answers ``text`` and writes down what it was told."""
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/log\ncat <<"END"\n{text}\nEND\n', encoding="utf-8")
    program.chmod(0o755)
    return folder


def facts(folder: Path, **found: str) -> Json:
    """A task that finds these facts of a host, whatever this machine is."""
    library = folder / "library"
    library.mkdir(exist_ok=True)
    answer = json.dumps({"changed": False, "ansible_facts": found})
    (library / "found.py").write_text(f"#!{sys.executable}\n# WANT_JSON\nprint({answer!r})\n", encoding="utf-8")
    return {"name": "Facts", "found": {}}
