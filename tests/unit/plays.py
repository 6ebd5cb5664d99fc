# SPDX-License-Identifier: Apache-2.0
"""ansible-playbook as the tests start it: with this checkout as the collection and none of the caller's own settings."""

from __future__ import annotations

import ast
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

PROGRAM = str(Path(sys.executable).parent / "ansible-playbook")
HERE: Json = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
"""What makes any host of an inventory this machine."""

_SETTINGS = "[defaults]\nnocolor = true\nlocalhost_warning = false\ninject_facts_as_vars = false\n"
_CALLERS = ("ANSIBLE_", "CONSUL_", "KUUTAMO_")
_FATAL = re.compile(r"^fatal: \[([^\]]+?)(?: -> [^\]]+)?\]: (?:FAILED|UNREACHABLE)! => (\{.*\})$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """How ansible-playbook ended, and all that it printed."""

    code: int
    out: str

    def told(self, text: str) -> bool:
        """Was this said, whatever line breaks and quotes the output has?"""
        return text in re.sub(r"\s+", " ", self.out.replace('\\"', '"'))

    @property
    def faults(self) -> dict[str, str]:
        """What each host that failed said, the last one."""
        return {host: str(_result(text).get("msg", text)) for host, text in _FATAL.findall(self.out)}


def _result(text: str) -> Json:
    try:
        found: Json = json.loads(text)
    except ValueError:
        found = ast.literal_eval(text)
    return found


def environment(folder: Path) -> dict[str, str]:
    """For ansible-playbook with ``folder`` as its home; writes a configuration file there."""
    settings = folder / "ansible.cfg"
    settings.write_text(_SETTINGS, encoding="utf-8")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_CALLERS)},
        "ANSIBLE_COLLECTIONS_PATH": str(collections()),
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_PIPELINING": "1",
        "LC_ALL": "C.UTF-8",
    }


def ansible_playbook(
    folder: Path, *arguments: str, programs: Path | None = None, alone: bool = False, timeout: float = 280.0
) -> Run:
    """Run it in ``folder``. Raises TimeoutExpired after ``timeout`` seconds.

    ``programs`` is a folder that stands before all others in PATH, or is all of PATH when it is ``alone``.
    """
    given = environment(folder)
    if programs is not None:
        given["PATH"] = str(programs) if alone else f"{programs}:{given['PATH']}"
    done = subprocess.run(
        [PROGRAM, *arguments],
        cwd=folder,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Run(done.returncode, done.stdout)


def play(
    folder: Path,
    tasks: Sequence[Json],
    hosts: Mapping[str, Json],
    *arguments: str,
    groups: Mapping[str, Sequence[str]] | None = None,
    extra: Mapping[str, Any] | None = None,
    programs: Path | None = None,
    alone: bool = False,
    timeout: float = 280.0,
    **variables: object,
) -> Run:
    """Run tasks on hosts that all are this machine, without facts.

    ``hosts`` are the variables of each by its name, ``variables`` those of the play, ``extra`` outranks everything;
    ``groups`` are the names in each.
    """
    children: Json = {name: {"hosts": {each: {} for each in members}} for name, members in (groups or {}).items()}
    inventory = {"all": {"hosts": {name: {**HERE, **given} for name, given in hosts.items()}, "children": children}}
    book = {"name": "Test", "hosts": "all", "gather_facts": False, "vars": variables, "tasks": list(tasks)}
    for name, content in (("hosts", inventory), ("play", [book]), ("extra", dict(extra or {}))):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    files = ("--inventory=hosts.json", "--extra-vars=@extra.json", "play.json")
    return ansible_playbook(folder, *files, *arguments, programs=programs, alone=alone, timeout=timeout)


def include(role: str, tasks_from: str, **variables: object) -> Json:
    """The task that includes a part of a role."""
    return {
        "name": f"{role}: {tasks_from}",
        "ansible.builtin.include_role": {"name": f"kuutamo.near.{role}", "tasks_from": tasks_from},
        "vars": variables,
    }
