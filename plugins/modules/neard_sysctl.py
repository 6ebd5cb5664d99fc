#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Set the kernel's network parameters that neard asks for, and say which can't be set here."""

from __future__ import annotations

DOCUMENTATION = r"""
module: neard_sysctl
short_description: Set kernel parameters, and say which can't be set here
version_added: 0.1.0
description:
  - Writes the parameters to a file of C(/etc/sysctl.d), where they are read at each boot, and sets those that differ now.
  - In a container some parameters are missing or read-only. They are returned in RV(refused) with the reason, and warned
    about; the module does not fail for them unless O(strict) is true.
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details: A parameter that would be refused counts as one that would be set, unless it is missing.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
options:
  settings:
    description:
      - The parameters by name, such as C(net.core.rmem_max), with their values.
    type: dict
    required: true
  path:
    description:
      - The file that keeps them over a reboot.
    type: path
    default: /etc/sysctl.d/60-neard.conf
  strict:
    description:
      - Fail where a parameter can't be set.
    type: bool
    default: false
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Let the network use large buffers
  kuutamo.near.neard_sysctl:
    settings:
      net.core.rmem_max: 8388608
      net.core.wmem_max: 8388608
"""

RETURN = r"""
applied:
  description: The parameters that are set now, or would be in check mode, with the values before and after.
  returned: success
  type: dict
  sample: {"net.core.rmem_max": {"before": "212992", "after": "8388608"}}
refused:
  description: The parameters that have another value and can't be set here, and why.
  returned: always
  type: dict
  sample: {"net.core.default_qdisc": "it does not exist here"}
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_-]+)+")
_HEADER = "# Kernel parameters that neard asks for. Written by the neard role of kuutamo.near.\n"


@dataclass
class Outcome:
    """What became of the parameters."""

    applied: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def _plain(value: object) -> str:
    """A value as the kernel prints it, but with single spaces between its numbers."""
    return " ".join(str(value).split())


def _place(name: str) -> Path:
    return Path("/proc/sys", *name.split("."))


def apply(settings: dict[str, str], check: bool) -> Outcome:
    """Set what differs. A parameter that can't be set is in ``refused`` with the reason."""
    outcome = Outcome()
    for name, wanted in settings.items():
        place = _place(name)
        try:
            found = _plain(place.read_text())
        except OSError:
            outcome.refused[name] = "it does not exist here"
            continue
        if found == wanted:
            continue
        if not check:
            try:
                place.write_text(f"{wanted}\n")
            except OSError as error:
                outcome.refused[name] = f"it stays {found}: {error.strerror}"
                continue
            if (now := _plain(place.read_text())) != wanted:
                outcome.refused[name] = f"it stays {now}, though the kernel took {wanted}"
                continue
        elif not os.access(place, os.W_OK):
            outcome.refused[name] = f"it stays {found}: it is read-only here"
            continue
        outcome.applied[name] = {"before": found, "after": wanted}
    return outcome


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "path": {"type": "path", "default": "/etc/sysctl.d/60-neard.conf"},
            "strict": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    settings = {name: _plain(value) for name, value in module.params["settings"].items()}
    for name, value in settings.items():
        if not _NAME.fullmatch(name) or not value:
            message = f"settings: {name} = {value!r} is no kernel parameter; write it as net.core.rmem_max: 8388608"
            module.fail_json(msg=message, refused={})
    path = Path(module.params["path"])
    text = _HEADER + "".join(f"{name} = {value}\n" for name, value in sorted(settings.items()))
    before = path.read_text() if path.exists() else ""
    outcome = apply(settings, module.check_mode)
    if outcome.refused and module.params["strict"]:
        module.fail_json(
            msg=f"these kernel parameters can't be set here: {_listed(outcome.refused)}", refused=outcome.refused
        )
    if before != text and not module.check_mode:
        temporary = Path(module.tmpdir) / path.name
        temporary.write_text(text)
        temporary.chmod(0o644)
        module.atomic_move(str(temporary), str(path))
    if outcome.refused:
        module.warn(f"kernel parameters that can't be set here, neard will be slower: {_listed(outcome.refused)}")
    now = [f"{name} = {values['before']}\n" for name, values in outcome.applied.items()]
    then = [f"{name} = {values['after']}\n" for name, values in outcome.applied.items()]
    module.exit_json(
        changed=before != text or bool(outcome.applied),
        applied=outcome.applied,
        refused=outcome.refused,
        diff=[
            {"before": before, "after": text, "before_header": str(path), "after_header": str(path)},
            {"before": "".join(now), "after": "".join(then), "before_header": "now", "after_header": "now"},
        ],
    )


def _listed(refused: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in refused.items())


if __name__ == "__main__":
    main()
