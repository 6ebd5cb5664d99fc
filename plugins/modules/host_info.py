#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files, units, users, processes and answers of programs on a host, all in one look."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Files, units, users, processes and answers of programs on a host, all in one look
version_added: 0.1.0
description:
  - Every call of a module costs a good part of a second on each host. The roles look once, with this, and then leave alone
    what is as it should be.
  - What it reads is returned, so it is not for files with secrets.
options:
  paths:
    description: Files, directories and links to look at; links are not followed.
    type: list
    elements: path
    default: []
  digests:
    description: Files whose SHA-256 is needed. A link is followed here, so owner and mode are those of the file itself.
    type: list
    elements: path
    default: []
  texts:
    description: Small files to read. One that is not there is left out of RV(texts).
    type: list
    elements: path
    default: []
  globs:
    description: Patterns of paths, such as V(/opt/neard/releases/*/release.json).
    type: list
    elements: str
    default: []
  units:
    description: The systemd units to look at.
    type: list
    elements: str
    default: []
  users:
    description: Names of users.
    type: list
    elements: str
    default: []
  groups:
    description: Names of groups.
    type: list
    elements: str
    default: []
  programs:
    description:
      - Names of programs whose processes are looked for. A process counts if its executable has the name, or its command
        line begins with it, also after a shell or a Python that runs it as a script.
    type: list
    elements: str
    default: []
  commands:
    description:
      - Programs to ask, by a name of your choice, each as a list of its words. They run in check mode too, so they may only
        look.
      - One that does not exist is left out of RV(commands).
    type: dict
    default: {}
  timeout:
    description: Seconds for one program.
    type: float
    default: 30.0
attributes:
  check_mode:
    description: Can run in check mode and return the same as otherwise.
    support: full
  diff_mode:
    description: Returns what has changed.
    support: none
    details: Nothing changes.
author:
  - The kuutamo.near engineers (@kuutamo)
seealso:
  - module: kuutamo.near.host_files
"""

EXAMPLES = r"""
- name: Look at the host
  kuutamo.near.host_info:
    paths: [/var/lib/neard/config.json]
    units: [neard.service]
    commands:
      clock: [timedatectl, show, --property=NTPSynchronized, --value]
  register: host

- name: Say it
  ansible.builtin.debug:
    msg: "{{ host.units['neard.service'].ActiveState }}, {{ host.commands.clock.out }}"
  when: host.paths['/var/lib/neard/config.json'].exists
"""

RETURN = r"""
paths:
  description:
    - Each of O(paths) and O(digests) and of what O(globs) have found, by its path. A link exists wherever it leads.
    - The C(target) is where a link leads in the end.
    - The C(kind) is V(file), V(directory), V(link) or V(other), or empty where there is nothing.
  returned: success
  type: dict
  sample:
    /opt/neard/current:
      {exists: true, kind: link, owner: root, group: root, mode: "0777", target: /opt/neard/releases/2.11.0, sha256: ""}
texts:
  description: The content of O(texts), by path.
  returned: success
  type: dict
globs:
  description: The paths that each of O(globs) has found, the oldest first.
  returned: success
  type: dict
units:
  description: What systemd says of each unit, by its name and in its words.
  returned: success
  type: dict
  sample:
    kuutamod.service:
      {LoadState: loaded, ActiveState: active, UnitFileState: enabled, FragmentPath: /etc/systemd/system/kuutamod.service,
       NeedDaemonReload: "no"}
users:
  description: Those of O(users) that exist, by name; C(locked) is whether no password opens the account.
  returned: success
  type: dict
  sample: {neard: {group: neard, home: /var/lib/neard, shell: /usr/sbin/nologin, locked: true}}
groups:
  description: Those of O(groups) that exist.
  returned: success
  type: list
  elements: str
processes:
  description: The processes of O(programs).
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: Its number.
      type: int
    command:
      description: Its command line, or the begin of a long one.
      type: str
    unit:
      description: The systemd unit, scope or container that it belongs to, empty if none; of a unit in a user's own systemd
        both.
      type: str
  sample: [{pid: 812, command: neard --home /root/.near run, unit: session-3.scope}]
commands:
  description: The exit code and the answer of each of O(commands), without the blanks at its ends.
  returned: success
  type: dict
  sample: {clock: {code: 0, out: "yes", err: ""}}
"""

import contextlib
import grp
import pwd
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _units
from ansible_collections.kuutamo.near.plugins.module_utils._neard_archive import sha256_of
from ansible_collections.kuutamo.near.plugins.module_utils._program import ProgramFault, run

Json = dict[str, Any]
_UNIT = ("LoadState", "ActiveState", "UnitFileState", "FragmentPath", "NeedDaemonReload")
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
_SHADOW = Path("/etc/shadow")
_PROC = Path("/proc")
_INTERPRETER = re.compile(r"(python[0-9.]*|sh|bash|dash)$")
_LONGEST = 200


def owner(uid: int) -> str:
    """The user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group(gid: int) -> str:
    """The group's name, or the number where there is none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def path_info(path: Path, digest: bool) -> Json:
    """What is at ``path``, or with ``digest`` where it leads."""
    found: Json = {"exists": False, "kind": "", "owner": "", "group": "", "mode": "", "target": "", "sha256": ""}
    try:
        seen = path.stat() if digest else path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return found
    kind = _KINDS.get(stat.S_IFMT(seen.st_mode), "other")
    found |= {"exists": True, "kind": kind, "owner": owner(seen.st_uid), "group": group(seen.st_gid)}
    found["mode"] = f"{stat.S_IMODE(seen.st_mode):04o}"
    if path.is_symlink():
        found["target"] = str(path.resolve())
    if kind == "file" and digest:
        found["sha256"] = sha256_of(path)
    return found


def texts(paths: Iterable[str]) -> dict[str, str]:
    """The content of those that are there."""
    found = {}
    for path in paths:
        try:
            found[path] = Path(path).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            continue
    return found


def glob(pattern: str) -> list[str]:
    """The paths, the oldest first."""
    paths = Path("/").glob(pattern.lstrip("/"))
    return [str(path) for path in sorted(paths, key=lambda path: (path.lstat().st_mtime, path))]


def users(names: list[str]) -> dict[str, Json]:
    """Those that exist."""
    try:
        shadow = dict(line.split(":")[:2] for line in _SHADOW.read_text(encoding="utf-8").splitlines() if ":" in line)
    except OSError:
        shadow = {}
    found = {}
    for name in names:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        locked = shadow.get(name, "")[:1] in ("!", "*")
        found[name] = {"group": group(user.pw_gid), "home": user.pw_dir, "shell": user.pw_shell, "locked": locked}
    return found


def groups(names: list[str]) -> list[str]:
    """Those that exist."""
    there = {each.gr_name for each in grp.getgrall()} if names else set()
    return [name for name in names if name in there]


def processes(names: list[str]) -> list[Json]:
    """Those of the programs, by their numbers."""
    if not names:
        return []
    root = _group(_PROC / "1").removesuffix("/init.scope")
    found = []
    for folder in sorted((each for each in _PROC.iterdir() if each.name.isdecimal()), key=lambda each: int(each.name)):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            if not _names(folder, words).isdisjoint(names):
                group = _group(folder).removeprefix(root)
                unit = "/".join(part for part in group.split("/") if part.endswith((".service", ".scope")))
                found.append({"pid": int(folder.name), "command": " ".join(words)[:_LONGEST], "unit": unit})
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
    return found


def _names(process: Path, words: list[str]) -> set[str]:
    """What it may be called: by its executable, by its command line, and as a script."""
    names = {word.rpartition("/")[2] for word in words[:1]}
    if len(words) > 1 and any(_INTERPRETER.match(name) for name in names):
        names.add(words[1].rpartition("/")[2])
    with contextlib.suppress(OSError):  # a process of the kernel has no executable
        # A file that was replaced or removed meanwhile is marked by the kernel.
        names.add((process / "exe").readlink().name.removesuffix(" (deleted)"))
    return names


def _group(process: Path) -> str:
    """Its control group in systemd's own tree."""
    for line in (process / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
        _number, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd"):
            return path
    return ""


def commands(module: AnsibleModule, given: dict[str, list[str]], timeout: float) -> dict[str, Json]:
    """The answers of those that exist."""
    found = {}
    for name, words in given.items():
        if not words or module.get_bin_path(words[0]) is None:
            continue
        answer = run(module, words, timeout)
        found[name] = {"code": answer.code, "out": answer.text.strip(), "err": answer.complaint}
    return found


def look(module: AnsibleModule, given: Json) -> Json:
    """The host as one object."""
    timeout = given["timeout"]
    digests = set(given["digests"])
    globs = {pattern: glob(pattern) for pattern in given["globs"]}
    paths = [*given["paths"], *given["digests"], *(path for found in globs.values() for path in found)]
    return {
        "paths": {path: path_info(Path(path), path in digests) for path in paths},
        "texts": texts(given["texts"]),
        "globs": globs,
        "units": _units.show(module, given["units"], _UNIT, timeout),
        "users": users(given["users"]),
        "groups": groups(given["groups"]),
        "processes": processes(given["programs"]),
        "commands": commands(module, given["commands"], timeout),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "default": []},
            "digests": {"type": "list", "elements": "path", "default": []},
            "texts": {"type": "list", "elements": "path", "default": []},
            "globs": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "users": {"type": "list", "elements": "str", "default": []},
            "groups": {"type": "list", "elements": "str", "default": []},
            "programs": {"type": "list", "elements": "str", "default": []},
            "commands": {"type": "dict", "default": {}},
            "timeout": {"type": "float", "default": 30.0},
        },
        supports_check_mode=True,
    )
    try:
        found = look(module, module.params)
    except (OSError, ProgramFault) as error:
        module.fail_json(msg=f"this host can't be looked at: {error}")
        raise AssertionError from error  # fail_json ends the process
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
