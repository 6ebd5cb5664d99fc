# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What systemd says of units, asked once for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils._program import ProgramFault, run


class SystemdFault(ProgramFault):
    """systemd could be asked, but does not answer."""


def show(module: AnsibleModule, names: Sequence[str], fields: Sequence[str], deadline: float) -> dict[str, dict[str, str]]:
    """The ``fields`` of each unit by its name, in systemd's words; one that it does not tell is empty.

    :raises SystemdFault: it gives no answer. :raises ProgramFault: it can't be asked within ``deadline`` seconds.
    """
    if not names:
        return {}
    answer = run(module, ["systemctl", "show", "--property", ",".join(fields), *names], deadline)
    if answer.code:
        raise SystemdFault(f"systemctl show ended with {answer.code}: {answer.complaint}")
    # An empty line is between two units.
    said = [dict(line.split("=", 1) for line in block.splitlines()) for block in answer.text.strip("\n").split("\n\n")]
    return {name: {field: each.get(field, "") for field in fields} for name, each in zip(names, said, strict=True)}
