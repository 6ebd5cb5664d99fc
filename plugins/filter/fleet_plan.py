# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that plans a rolling restart."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_plan
short_description: Which nodes of a fleet to restart, in which order, and what forbids it
version_added: 0.1.0
author:
  - The kuutamo.near engineers (@kuutamo)
description:
  - Compares what runs with what is wanted. Nodes that already run it are done, so a new plan goes on where a run ended.
  - Standbys come first, the holder of the lock last.
positional: _input
options:
  _input:
    description: The fleet, RV(kuutamo.near.validator_info#module:fleet).
    type: dict
    required: true
  nodes:
    description: What M(kuutamo.near.node_info) returned, by the names of the hosts that may be restarted.
    type: dict
    required: true
  validators:
    description: All hosts of the group C(validators).
    type: list
    elements: str
    required: true
  targets:
    description:
      - The releases that each host shall run, C(kuutamod) and C(neard), by its name. Without one, only what the host itself
        has marked as pending counts.
    type: dict
    default: {}
  ahead:
    description: Whether to say what would forbid a change of all nodes, before it is known what has to change.
    type: bool
    default: false
  preview:
    description: Whether releases that are not installed yet are no fault, as in check mode.
    type: bool
    default: false
  protocol_jump:
    description: By how many versions neard's protocol may be ahead of the network's.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Plan
  ansible.builtin.debug:
    msg: "{{ fleet | kuutamo.near.fleet_plan(nodes={'host-a': node}, validators=groups['validators']) }}"
"""

RETURN = r"""
_value:
  description:
    - C(first), the standbys in their order; C(last), the holder if it needs a restart; C(done), who needs none; C(why), by
      name; C(refusals) and C(warnings), sentences.
  type: dict
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.kuutamo.near.plugins.plugin_utils import _protocol, _rolling


def fleet_plan(
    fleet: Mapping[str, Any],
    nodes: Mapping[str, Any],
    validators: Iterable[str],
    targets: Mapping[str, Mapping[str, str]] | None = None,
    protocol_jump: int = 3,
    ahead: bool = False,
    preview: bool = False,
) -> dict[str, Any]:
    """The plan as plain data."""
    wanted = {
        name: _rolling.Target(target.get("kuutamod") or "", target.get("neard") or "")
        for name, target in (targets or {}).items()
    }
    made = _rolling.plan(fleet, nodes, wanted, validators, ahead)
    steps: dict[str, list[str]] = {}
    for name, target in wanted.items():
        if name not in nodes or (preview and target.neard not in nodes[name]["neard"]["releases"]):
            continue
        for fault in _protocol.step_faults(fleet, nodes[name], target.neard, protocol_jump):
            steps.setdefault(fault, []).append(name)
    faults = [f"{', '.join(names)}: {fault}" for fault, names in steps.items()]
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(made).items()}
    why = {name: list(found) for name, found in made.why.items()}
    return {**plain, "why": why, "refusals": [*plain["refusals"], *faults]}


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Any]:
        """The filters, by name."""
        return {"fleet_plan": fleet_plan}
