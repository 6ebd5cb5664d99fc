#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who holds the validator's lock, and who could take it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_info
short_description: Who holds the validator's lock, and who could take it
version_added: 0.1.0
description:
  - Reads the lock, the nodes' records, pauses, the pending request and Consul's health, from Consul and at once.
  - The lock is read consistently, from Consul's leader. A fleet that nobody validates for is an answer, not a failure.
extends_documentation_fragment:
  - kuutamo.near._consul
attributes:
  check_mode:
    description: Can run in check mode and return the same as otherwise.
    support: full
  diff_mode:
    description: Returns what has changed.
    support: none
    details: Nothing changes.
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Look at the fleet
  kuutamo.near.validator_info:
    account_id: validator.pool.near
  register: fleet

- name: Do something only where it does not matter
  ansible.builtin.debug:
    msg: "{{ inventory_hostname }} does not validate"
  when: fleet.holder != inventory_hostname
"""

RETURN = r"""
holder:
  description: The node whose session holds the lock; null when nobody does, or the lock can't be read.
  returned: success
  type: str
  sample: host-a
term:
  description: The term in the lock; null when there is none.
  returned: success
  type: int
  sample: 12
session:
  description: The session that holds the lock; null when none does.
  returned: success
  type: str
health:
  description:
    - V(well) when one holder validates and a standby could take over, V(no-standby), V(holder-unwell), V(no-holder), or
      V(unknown) when a part that decides can't be read.
  returned: success
  type: str
  sample: well
verdict:
  description: One sentence on it.
  returned: success
  type: str
  sample: host-a holds the lock; host-b, host-c can take over
fleet:
  description: All of it, the object that C(kuutamoctl status --json) prints.
  returned: success
  type: dict
reason:
  description: Why Consul can't be asked, V(unreachable), V(no_leader), V(forbidden), V(options) or V(no_library).
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kuutamo.near.plugins.module_utils import _connection

try:
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.cli import status_json
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.faults import ConsulError
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.overview import read_overview
except ImportError:
    pass  # _connection tells


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=dict(_connection.SPEC), supports_check_mode=True)
    to = _connection.connection(module)
    try:
        overview = read_overview(to.consul, to.account_id, 1, to.timeout)
    except ConsulError as error:
        _connection.fail(module, error)
    fleet = status_json.status(overview, time.time())
    lock = fleet["lock"] or {}
    module.exit_json(
        changed=False,
        holder=lock.get("holder"),
        term=lock.get("term"),
        session=lock.get("session"),
        health=fleet["health"],
        verdict=fleet["verdict"],
        fleet=fleet,
    )


if __name__ == "__main__":
    main()
