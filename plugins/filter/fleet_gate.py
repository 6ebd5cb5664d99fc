# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that says whether a node may be taken out, or is back."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_gate
short_description: What forbids to restart a node now, or what it lacks after a restart
version_added: 0.1.0
author:
  - The kuutamo.near engineers (@kuutamo)
description:
  - Before a restart, without O(node), it says what forbids to take the node out.
  - After one, with O(node), it says what keeps the node from being a standby, or the holder, with the wanted releases.
positional: _input
options:
  _input:
    description: The fleet, RV(kuutamo.near.validator_info#module:fleet).
    type: dict
    required: true
  name:
    description: The node.
    type: str
    required: true
  validators:
    description: All hosts of the group C(validators).
    type: list
    elements: str
    required: true
  node:
    description: What M(kuutamo.near.node_info) returned on the node after its restart.
    type: dict
  target:
    description: The releases C(kuutamod) and C(neard) that it shall run.
    type: dict
    default: {}
  lag:
    description: Blocks that its head may be behind the fleet's best.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: The node may be restarted
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | join('; ') }}"
  vars:
    faults: "{{ fleet | kuutamo.near.fleet_gate(name='host-b', validators=groups['validators']) }}"
"""

RETURN = r"""
_value:
  description: Sentences; none when the gate is open.
  type: list
  elements: str
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.kuutamo.near.plugins.plugin_utils import _rolling


def fleet_gate(
    fleet: Mapping[str, Any],
    name: str,
    validators: Iterable[str],
    node: Mapping[str, Any] | None = None,
    target: Mapping[str, str] | None = None,
    lag: int = 5,
) -> list[str]:
    """Why the gate is closed."""
    if node is None:
        return _rolling.may_restart(fleet, name, validators)
    wanted = target or {}
    return _rolling.not_ready(
        fleet, node, name, _rolling.Target(wanted.get("kuutamod") or "", wanted.get("neard") or ""), lag
    )


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Any]:
        """The filters, by name."""
        return {"fleet_gate": fleet_gate}
