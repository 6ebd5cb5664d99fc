#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put a verified neard release in place beside the others; nothing is switched."""

from __future__ import annotations

DOCUMENTATION = r"""
module: neard_release
short_description: Put a verified neard release in place
version_added: 0.1.0
description:
  - Takes the program C(neard) out of an archive that lies on the host and makes a release directory of it, named by
    version and by the first twelve digits of the archive's SHA-256.
  - The file counts as a release only when its SHA-256 is the expected one, when it is made for this machine and when
    C(neard --version) names the expected version. The directory appears whole or not at all.
  - A release that is there already is verified against the record that was made of it. Nothing is ever switched.
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
options:
  src:
    description:
      - The file on the host. A C(tar.gz), C(tar.xz), C(tar.bz2) or C(zip) with one file C(neard) in it, or the program.
      - Not needed where the release is in place already, nor in check mode.
    type: path
  sha256:
    description:
      - The SHA-256 of the file O(src), 64 hexadecimal digits.
    type: str
    required: true
  version:
    description:
      - What C(neard --version) has to call its release.
    type: str
    required: true
  releases_dir:
    description:
      - The directory of all releases. It has to exist.
    type: path
    default: /opt/neard/releases
  user:
    description:
      - The user as which C(neard --version) is asked; never root.
    type: str
    default: neard
  origin:
    description:
      - Where the file comes from, in words. Recorded with the release.
    type: str
    default: ""
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Put neard 2.11.0 in place
  kuutamo.near.neard_release:
    src: /opt/neard/incoming/neard.tar.gz
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    version: 2.11.0
    origin: https://example.org/neard.tar.gz
"""

RETURN = r"""
id:
  description: The release's name, version and the beginning of the hash.
  returned: always
  type: str
  sample: 2.11.0-9f86d081884c
bin:
  description: The program of this release.
  returned: always
  type: str
  sample: /opt/neard/releases/2.11.0-9f86d081884c/neard
said:
  description: What C(neard --version) says; null in check mode while the release is not in place.
  returned: success
  type: str
program_sha256:
  description: The SHA-256 of the program itself; null in check mode while the release is not in place.
  returned: success
  type: str
"""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils._neard_archive import (
    PROGRAM,
    ArchiveFault,
    extract,
    refuse_other_machine,
    sha256_of,
)
from ansible_collections.kuutamo.near.plugins.module_utils._neard_program import version_of
from ansible_collections.kuutamo.near.plugins.module_utils._program import Account, ProgramFault

RECORD = "release.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]*")
_BEGINNING = 12


class ReleaseFault(Exception):
    """The release can't be put in place; the message has the file, what is wrong and the remedy."""


def _in_place(directory: Path, sha256: str) -> dict[str, Any]:
    """The record of a release that is in place, verified. :raises ReleaseFault: it is not what was put there."""
    again = f"look at who changed it, remove {directory} and run again (never while neard runs from it)"
    try:
        record = json.loads((directory / RECORD).read_text())
        if record["sha256"] != sha256:
            raise ReleaseFault(f"{directory} is of another file, {record['sha256']}; {again}")
        found = sha256_of(directory / PROGRAM)
        if found != record["program_sha256"]:
            was = record["program_sha256"]
            raise ReleaseFault(
                f"{directory / PROGRAM} was changed since it was put there: SHA-256 {found}, was {was}; {again}"
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseFault(f"{directory} is there, but not whole: {error}; {again}") from None
    return dict(record)


def _put(module: AnsibleModule, directory: Path) -> dict[str, Any]:
    """Make the release directory and return its record. :raises ReleaseFault: the file is not fit to be one."""
    given = module.params
    source = Path(given["src"])
    try:
        found = sha256_of(source)
    except OSError as error:
        raise ReleaseFault(f"src: {source} can't be read: {error.strerror}") from None
    if found != given["sha256"]:
        remedy = "get the file again, or correct the hash if the file is the one you verified"
        raise ReleaseFault(f"{source} has the SHA-256 {found}, but {given['sha256']} was expected; {remedy}")
    user = Account.of(given["user"])
    if user.uid == 0:
        raise ReleaseFault(f"user: {user.name} is root; a new program is not run as root, name neard's user")
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        scratch.chmod(0o755)  # the user has to get at the program
        program = scratch / PROGRAM
        extract(source, program)
        program.chmod(0o755)
        refuse_other_machine(program, os.uname().machine)
        version = version_of(module, program, user)
        if version.release != given["version"]:
            remedy = "set the version that the file is of, or get the right file"
            raise ReleaseFault(f"{source} is neard {version.release}, but {given['version']} was expected; {remedy}")
        record = {
            "version": version.release,
            "said": version.line,
            "sha256": found,
            "program_sha256": sha256_of(program),
            "origin": given["origin"],
        }
        (scratch / RECORD).write_text(json.dumps(record, indent=2) + "\n")
        (scratch / RECORD).chmod(0o644)
        for path in (program, scratch / RECORD, scratch):
            _sync(path)
        scratch.rename(directory)
        _sync(directory.parent)
    except (ArchiveFault, ProgramFault) as fault:
        raise ReleaseFault(f"{source} is not fit to be a release: {fault}; get the file for this host") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return record


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _faults(given: dict[str, Any]) -> str | None:
    """What is wrong with the options, before anything is touched."""
    if not _SHA256.fullmatch(given["sha256"]):
        return f"sha256: {given['sha256']!r} is not a SHA-256; give 64 hexadecimal digits, as sha256sum prints them"
    if not _VERSION.fullmatch(given["version"]):
        return (
            f"version: {given['version']!r} is not a version; give it as neard --version names its release, such as 2.11.0"
        )
    return None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path"},
            "sha256": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "releases_dir": {"type": "path", "default": "/opt/neard/releases"},
            "user": {"type": "str", "default": "neard"},
            "origin": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    given["sha256"] = given["sha256"].lower()
    directory = Path(given["releases_dir"]) / f"{given['version']}-{given['sha256'][:_BEGINNING]}"
    result = {"id": directory.name, "bin": str(directory / PROGRAM), "said": None, "program_sha256": None}
    if fault := _faults(given):
        module.fail_json(msg=fault, **result)
    changed = not directory.exists()
    record: dict[str, Any] = {}
    try:
        if not changed:
            record = _in_place(directory, given["sha256"])
        elif not module.check_mode:
            if given["src"] is None:
                module.fail_json(msg=f"src: there is no release {directory} yet; name the file to make it of", **result)
            record = _put(module, directory)
    except (ReleaseFault, ProgramFault) as error:
        module.fail_json(msg=str(error), **result)
    except OSError as error:
        module.fail_json(msg=f"{directory} can't be made: {error}", **result)
    result |= {name: record[name] for name in ("said", "program_sha256") if name in record}
    after = f"{result['bin']}\n"
    module.exit_json(changed=changed, diff={"before": "" if changed else after, "after": after}, **result)


if __name__ == "__main__":
    main()
