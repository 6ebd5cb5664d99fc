#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Directories, files and links of a host, made in one step."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Directories, files and links of a host, made in one step
version_added: 0.1.0
description:
  - Does for a list of files what M(ansible.builtin.file), M(ansible.builtin.copy) and M(ansible.builtin.template) do for
    one, with one call on the host instead of two for each.
  - They are taken in the order in which they are given, so a directory goes before its files. The first fault ends it.
  - A file's content is replaced as a whole, by a rename. Links are not followed, and only a link is replaced by a link.
  - The content is shown in a diff, and with C(-vvv); it is not for secrets.
options:
  files:
    description: What there has to be.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where.
        type: path
        required: true
      state:
        description: What.
        type: str
        choices: [file, directory, link, absent]
        default: file
      content:
        description: A file's content. Without it a file has to be there, and only its owner, group and mode are seen to.
        type: str
      target:
        description: Where a link leads.
        type: str
      owner:
        description: The name of the owner.
        type: str
        default: root
      group:
        description: The name of the group.
        type: str
        default: root
      mode:
        description: The mode of a file or directory, such as V("0640").
        type: str
      validate:
        description:
          - A command that says whether a new content is good, before it is put in place; C(%s) is a file that has it.
        type: str
      revalidate:
        description:
          - Ask O(files[].validate) also about a content that is in place already, as where the program that reads it is
            another one. Nothing that comes after it is done when it is not good.
        type: bool
        default: false
attributes:
  check_mode:
    description: Can run in check mode and tell what would change without changing it.
    support: full
    details: New contents are not validated, since the user or the program for it may not be there yet.
  diff_mode:
    description: Returns what has changed.
    support: full
author:
  - The kuutamo.near engineers (@kuutamo)
seealso:
  - module: kuutamo.near.host_info
"""

EXAMPLES = r"""
- name: Write the configuration
  kuutamo.near.host_files:
    files:
      - {path: /etc/kuutamod, state: directory, group: neard, mode: "0750"}
      - path: /etc/kuutamod/environment
        content: "{{ lookup('ansible.builtin.template', 'environment.j2') }}"
        group: neard
        mode: "0640"
      - {path: /opt/kuutamod/current, state: link, target: releases/0.1.0-0123456789ab}
  register: written
  notify: "{{ 'Read the units again' if '/etc/systemd/system/kuutamod.service' in written.paths else [] }}"
"""

RETURN = r"""
paths:
  description: The paths of those that have changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/kuutamod/environment]
"""

import grp
import os
import pwd
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

Json = dict[str, Any]
_LEAST_MODE = 0o755
_LONGEST = 100_000
"""Bytes of the longest content that a diff shows."""


class FileFault(Exception):
    """One of the files can't be made; the message says which and why."""


class Host:
    """The host's files; with ``check`` they are only looked at."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._check = module.check_mode

    def see_to(self, wanted: Json) -> list[Json]:
        """The differences of one file, empty when it is as it should be. :raises FileFault: it can't be."""
        path = Path(wanted["path"])
        if wanted["state"] == "absent":
            return self._remove(path)
        if wanted["state"] == "link":
            made = self._link(path, wanted["target"])
        elif wanted["state"] == "directory":
            made = self._directory(path)
        else:
            made = self._file(path, wanted)
        return made + self._attributes(path, wanted)

    def _remove(self, path: Path) -> list[Json]:
        if not os.path.lexists(path):
            return []
        if not self._check:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return [_difference(path, "there\n", "")]

    def _link(self, path: Path, target: str | None) -> list[Json]:
        if not target:
            raise FileFault(f"{path}: a link needs a target")
        before = str(path.readlink()) if path.is_symlink() else ""
        if before == target:
            return []
        if not before and path.exists():
            raise FileFault(f"{path} is there and is no link; move it away")
        if not self._check:
            new = Path(tempfile.mkdtemp(prefix=".link-", dir=path.parent))
            try:
                (new / "link").symlink_to(target)
                (new / "link").rename(path)
            finally:
                shutil.rmtree(new)
        return [_difference(path, f"link to {before}\n" if before else "", f"link to {target}\n")]

    def _directory(self, path: Path) -> list[Json]:
        if path.is_dir():
            return []
        if os.path.lexists(path):
            raise FileFault(f"{path} is there and is no directory; move it away")
        if not self._check:
            os.umask(0o777 & ~_LEAST_MODE)
            path.mkdir(parents=True)
        return [_difference(path, "", "directory\n")]

    def _file(self, path: Path, wanted: Json) -> list[Json]:
        there = path.is_file() and not path.is_symlink()
        if path.is_dir():
            raise FileFault(f"{path} is a directory; move it away")
        if wanted["content"] is None:
            if not there:
                raise FileFault(f"{path}: there is no such file, and no content is given")
            return []
        before = path.read_bytes() if there else None
        after = wanted["content"].encode()
        if before == after:
            if wanted["revalidate"] and wanted["validate"] and not self._check:
                self._validate(str(path), wanted["validate"], f"{path}: the content that it has is not good any more")
            return []
        if not self._check:
            self._write(path, after, wanted)
        return [_difference(path, _text(before), _text(after))]

    def _write(self, path: Path, content: bytes, wanted: Json) -> None:
        """In place only when it is whole, good, and has its owner and mode.

        AnsibleModule's atomic_move opens a new file to all for a moment.
        """
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                if wanted["mode"] is None:
                    os.fchmod(file.fileno(), _plain_mode(path))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if wanted["validate"]:
                self._validate(name, wanted["validate"], f"{path} is left as it was, since the new content is not good")
            # With the SELinux context, if any, of the file that it becomes.
            self._module.set_fs_attributes_if_different({**self._wishes(str(path), wanted), "path": name}, False)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)

    def _validate(self, name: str, command: str, complaint: str) -> None:
        if "%s" not in command:
            raise FileFault(f"{complaint}: validate has no %s for the file")
        code, out, err = self._module.run_command(shlex.split(command.replace("%s", shlex.quote(name))))
        if code:
            raise FileFault(f"{complaint}: {(err or out).strip()}")

    def _wishes(self, path: str, wanted: Json) -> Json:
        mode = wanted["mode"] if wanted["state"] != "link" else None
        given = {"path": path, "owner": wanted["owner"], "group": wanted["group"], "mode": mode}
        found: Json = self._module.load_file_common_arguments(given)
        return found

    def _attributes(self, path: Path, wanted: Json) -> list[Json]:
        changes: Json = {}
        if self._check and not (_known(pwd.getpwnam, wanted["owner"]) and _known(grp.getgrnam, wanted["group"])):
            # An earlier step would have made them.
            return [_difference(path, "", f"owner={wanted['owner']} group={wanted['group']}\n")]
        wishes = self._wishes(str(path), wanted)
        if not self._module.set_fs_attributes_if_different(wishes, False, diff=changes, expand=False):
            return []
        if not changes.get("before"):
            return []
        parts = [
            " ".join(f"{name}={value}" for name, value in changes[when].items()) + "\n" for when in ("before", "after")
        ]
        return [_difference(path, *parts)]


def _known(find: Callable[[str], object], name: str) -> bool:
    """Whether the host has the user or group; a number is one in any case."""
    try:
        return name.isdigit() or find(name) is not None
    except KeyError:
        return False


def _plain_mode(path: Path) -> int:
    """The mode of a file for which none is given: the one that it has, else the umask's."""
    if path.is_file() and not path.is_symlink():
        return path.stat().st_mode & 0o7777
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def _difference(path: Path, before: str, after: str) -> Json:
    return {"before_header": str(path), "after_header": str(path), "before": before, "after": after}


def _text(content: bytes | None) -> str:
    if content is None:
        return ""
    if len(content) > _LONGEST or b"\0" in content:
        return f"{len(content)} bytes\n"
    return content.decode(errors="replace")


def main() -> None:
    """Run the module."""
    entry = {
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
        "content": {"type": "str"},
        "target": {"type": "str"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str"},
        "validate": {"type": "str"},
        "revalidate": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": entry}},
        supports_check_mode=True,
    )
    host = Host(module)
    changed: list[str] = []
    differences: list[Json] = []
    for wanted in module.params["files"]:
        try:
            found = host.see_to(wanted)
        except (FileFault, OSError) as error:
            module.fail_json(msg=str(error), changed=bool(changed), paths=changed)
            raise AssertionError from error  # fail_json ends the process
        if found:
            changed.append(wanted["path"])
            differences += found
    module.exit_json(changed=bool(changed), paths=changed, diff=differences)


if __name__ == "__main__":
    main()
