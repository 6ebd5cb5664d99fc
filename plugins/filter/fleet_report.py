# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that makes the status report."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_report
short_description: The state of a whole fleet as one object, and as text
version_added: 0.1.0
author:
  - The kuutamo.near engineers (@kuutamo)
description:
  - Puts together what Consul knows of a fleet and what its hosts say of themselves, and what an operator has to see to.
positional: _input
options:
  _input:
    description: The fleet, RV(kuutamo.near.validator_info#module:fleet); empty when Consul could not be asked.
    type: dict
    required: true
  nodes:
    description: What M(kuutamo.near.node_info) returned, by name, of each host that was reached.
    type: dict
    required: true
  validators:
    description: All hosts of the group C(validators).
    type: list
    elements: str
    required: true
  servers:
    description: All hosts of the group C(consul_servers).
    type: list
    elements: str
    default: []
  refused:
    description: What M(kuutamo.near.validator_info) returned where it failed, by name.
    type: dict
    default: {}
  maintenance:
    description: Who has the maintenance lock; empty when nobody does.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the report
  ansible.builtin.debug:
    msg: "{{ (fleet | kuutamo.near.fleet_report(nodes={}, validators=groups['validators'])).text }}"
"""

RETURN = r"""
_value:
  description: The report; C(attention) lists what needs it, C(text) is the whole for people.
  type: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.kuutamo.near.plugins.plugin_utils import _report


def fleet_report(
    fleet: Mapping[str, Any] | None,
    nodes: Mapping[str, Any],
    validators: Iterable[str],
    servers: Iterable[str] = (),
    maintenance: Mapping[str, Any] | None = None,
    refused: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The report with its text."""
    made = _report.report(fleet or None, maintenance or None, nodes, list(validators), list(servers), refused or {})
    return {**made, "text": _report.text(made)}


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Any]:
        """The filters, by name."""
        return {"fleet_report": fleet_report}
