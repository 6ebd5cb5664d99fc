# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that gathers what hosts have registered."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_collect
short_description: What each of these hosts has under a name, where it has it
version_added: 0.1.0
author:
  - The kuutamo.near engineers (@kuutamo)
description:
  - Gathers a registered result or fact of several hosts. Hosts that were skipped, failed or not reached are left out.
positional: _input
options:
  _input:
    description: The names of the hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable hostvars.
    type: dict
    required: true
  name:
    description: The name of the result or fact.
    type: str
    required: true
  field:
    description: A field that it has to have to count.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Who has looked at itself
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | kuutamo.near.fleet_collect(hostvars, 'node', 'units') }}"
"""

RETURN = r"""
_value:
  description: The values by host, in the order of the names.
  type: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any


def fleet_collect(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], name: str, field: str) -> dict[str, Any]:
    """The values by host."""
    found = {}
    for host in hosts:
        if host in hostvars and name in hostvars[host]:
            value = hostvars[host][name]
            if isinstance(value, Mapping) and value.get(field) is not None:
                found[str(host)] = value
    return found


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Any]:
        """The filters, by name."""
        return {"fleet_collect": fleet_collect}
