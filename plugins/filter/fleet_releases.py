# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that finds the releases to go back to."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_releases
short_description: The installed releases that a fleet could go back to
version_added: 0.1.0
author:
  - The kuutamo.near engineers (@kuutamo)
description:
  - Finds an installed release for each host, the one before the newest that runs in the fleet or one by its name.
positional: _input
options:
  _input:
    description: What M(kuutamo.near.node_info) returned, by the names of the hosts.
    type: dict
    required: true
  components:
    description: C(kuutamod), C(neard) or both.
    type: list
    elements: str
    required: true
  wanted:
    description: How the release's name begins, or V(previous).
    type: str
    default: previous
"""

EXAMPLES = r"""
- name: Where could kuutamod go back to
  ansible.builtin.debug:
    msg: "{{ nodes | kuutamo.near.fleet_releases(components=['kuutamod']) }}"
"""

RETURN = r"""
_value:
  description: C(targets), the releases by host and component, and C(faults), sentences on hosts that have none.
  type: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.kuutamo.near.plugins.plugin_utils import _rolling


def fleet_releases(
    nodes: Mapping[str, Any],
    components: Iterable[str],
    wanted: str = "previous",
) -> dict[str, Any]:
    """The releases and the faults as plain data."""
    targets: dict[str, dict[str, str]] = {name: {} for name in nodes}
    faults: list[str] = []
    for what in components:
        choice = _rolling.choose(nodes, what, wanted)
        faults += choice.faults
        for name, release in choice.targets.items():
            targets[name][what] = release
    return {"targets": targets, "faults": faults}


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Any]:
        """The filters, by name."""
        return {"fleet_releases": fleet_releases}
