#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remove old neard releases, and never one that runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: neard_prune
short_description: Remove old neard releases
version_added: 0.1.0
description:
  - Keeps the newest releases and removes the others, by the time at which they were put in place.
  - Never removes the release that the link O(current) names, one of O(protect) or O(named_in), or one that a process runs
    from or names on its command line.
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
options:
  releases_dir:
    description:
      - The directory of all releases.
    type: path
    default: /opt/neard/releases
  current:
    description:
      - The link to the activated release.
    type: path
    default: /opt/neard/current
  keep:
    description:
      - How many of the newest releases are kept, the protected ones not counted in.
    type: int
    default: 2
  protect:
    description:
      - Names of releases that are kept as well.
    type: list
    elements: str
    default: []
  named_in:
    description:
      - Files whose text counts. A release whose path is in one of them is kept, so that a kuutamod which is stopped finds
        the neard that it starts. One that is not there is left out.
    type: list
    elements: path
    default: [/etc/kuutamod/environment]
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Keep the three newest releases
  kuutamo.near.neard_prune:
    keep: 3
"""

RETURN = r"""
removed:
  description: The releases that are removed, or would be in check mode.
  returned: success
  type: list
  elements: str
kept:
  description: The releases that are kept, and why.
  returned: success
  type: dict
  sample: {"2.11.0-9f86d081884c": "a process uses it"}
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def in_use(releases: list[Path], proc: Path = Path("/proc")) -> set[str]:
    """The names of the releases that a process runs from, or names on its command line (a script does not run from it)."""
    said = [text for process in proc.iterdir() if process.name.isdecimal() for text in _said(process)]
    return {release.name for release in releases if any(f"{release}/" in text for text in said)}


def _said(process: Path) -> Iterator[str]:
    """What tells which program this is; a process may end meanwhile."""
    with contextlib.suppress(OSError):
        yield str((process / "exe").readlink())
    with contextlib.suppress(OSError):
        yield (process / "cmdline").read_bytes().decode(errors="replace")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "releases_dir": {"type": "path", "default": "/opt/neard/releases"},
            "current": {"type": "path", "default": "/opt/neard/current"},
            "keep": {"type": "int", "default": 2},
            "protect": {"type": "list", "elements": "str", "default": []},
            "named_in": {"type": "list", "elements": "path", "default": ["/etc/kuutamod/environment"]},
        },
        supports_check_mode=True,
    )
    given = module.params
    if given["keep"] < 0:
        module.fail_json(msg=f"keep: {given['keep']} is not a number of releases; give 0 or more")
    directory = Path(given["releases_dir"])
    found = [path for path in directory.iterdir() if path.is_dir()] if directory.is_dir() else []
    releases = sorted((path for path in found if not path.name.startswith(".")), key=lambda path: path.stat().st_mtime)
    used, kept = in_use(releases), {}
    told = "".join(_text(Path(path)) for path in given["named_in"])
    for release in releases:
        if Path(given["current"]).resolve() == release.resolve():
            kept[release.name] = "it is the current one"
        elif release.name in used:
            kept[release.name] = "a process uses it"
        elif f"{release}/" in told:
            kept[release.name] = "kuutamod starts it"
        elif release.name in given["protect"]:
            kept[release.name] = "it is protected"
    others = [release for release in releases if release.name not in kept]
    newest = others[len(others) - given["keep"] :] if given["keep"] < len(others) else others
    kept |= {release.name: "it is one of the newest" for release in newest}
    removed = [release for release in others if release not in newest]
    if not module.check_mode:
        for release in removed:
            shutil.rmtree(release)
    names = [release.name for release in removed]
    diff = {"before": "".join(f"{name}\n" for name in names), "after": ""}
    module.exit_json(changed=bool(names), removed=names, kept=kept, diff=diff)


if __name__ == "__main__":
    main()
