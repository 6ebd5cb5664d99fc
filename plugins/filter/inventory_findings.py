# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that finds the faults of an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: inventory_findings
short_description: What is wrong with the inventory of a validator fleet
version_added: 0.1.0
author:
  - The kuutamo.near engineers (@kuutamo)
description:
  - Says what keeps an inventory from being a fleet, before a host is touched. All playbooks begin with it.
positional: _input
options:
  _input:
    description: The variable C(groups), all groups with their hosts.
    type: dict
    required: true
  hostvars:
    description: The variable hostvars.
    type: dict
    required: true
  chosen:
    description: The hosts that C(--limit) leaves, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  needs:
    description:
      - The variables that have to be set, as lists of names under C(everywhere), C(servers) and C(validators), and those
        that must have one value in the whole fleet under C(same).
    type: dict
    default: {}
  partial:
    description: Whether only a part of the fleet is meant.
    type: bool
    default: false
  absent:
    description: Hosts that C(--limit) may leave out all the same.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse an inventory that is no fleet
  ansible.builtin.assert:
    that: found.faults | length == 0
    fail_msg: "{{ found.faults | join('; ') }}"
  vars:
    found: "{{ groups | kuutamo.near.inventory_findings(hostvars=hostvars, chosen=ansible_play_hosts_all) }}"
"""

RETURN = r"""
_value:
  description: Two lists of sentences, C(faults) and C(warnings).
  type: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.kuutamo.near.plugins.plugin_utils import _inventory
from jinja2 import Undefined


def inventory_findings(
    groups: Mapping[str, Iterable[str]],
    hostvars: Mapping[str, Mapping[str, Any]],
    chosen: Iterable[str],
    needs: Mapping[str, Iterable[str]] | None = None,
    partial: bool = False,
    absent: Iterable[str] = (),
) -> dict[str, list[str]]:
    """Faults and warnings of an inventory."""

    def read(host: str, name: str) -> object:
        if host not in hostvars or name not in hostvars[host]:
            raise _inventory.Unset("it is not set")
        try:
            value = hostvars[host][name]
        except AnsibleError as error:
            raise _inventory.Unset(f"it can't be told: {error}") from error
        if isinstance(value, Undefined):
            # The message names the variable that is missing behind a reference, never a value.
            raise _inventory.Unset(f"it refers to what is not there: {value._undefined_message}")
        return value

    found = _inventory.inspect(
        _inventory.Fleet(
            groups={name: tuple(str(host) for host in hosts) for name, hosts in groups.items()},
            chosen=frozenset(str(host) for host in chosen),
            read=read,
            partial=partial,
            absent=frozenset(str(host) for host in absent),
        ),
        _inventory.Needs(**{name: tuple(names) for name, names in (needs or {}).items()}),
    )
    return {"faults": found.faults, "warnings": found.warnings}


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Any]:
        """The filters, by name."""
        return {"inventory_findings": inventory_findings}
