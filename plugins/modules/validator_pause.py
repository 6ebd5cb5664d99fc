#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pause automatic takeovers and handovers for a while."""

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_pause
short_description: Pause automatic takeovers and handovers for a while
version_added: 0.1.0
description:
  - Stops automatic takeovers and handovers of the fleet or of one node. A pause ends by itself.
  - Safety is never paused, the lease and its fence go on. While the fleet is paused nobody takes over from a lost host.
  - A handover that is asked for goes on in spite of a pause.
extends_documentation_fragment:
  - kuutamo.near._attributes
  - kuutamo.near._attributes.actiongroup_kuutamo
  - kuutamo.near._consul
  - kuutamo.near._order
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A pause that has at least half of O(for) left stays as it is; one that has less begins anew.
options:
  state:
    description:
      - Whether there is to be a pause.
      - V(absent) ends the pause of O(node), or without O(node) that of the whole fleet; pauses of single nodes go on then.
    type: str
    default: present
    choices: [present, absent]
  node:
    description:
      - The node that is paused. If not set, the whole fleet.
    type: str
  for:
    description:
      - How long, such as V(90s), V(30m) or V(2h); 24 hours at most.
    type: str
    default: 30m
seealso:
  - module: kuutamo.near.validator_drain
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: No automatic takeover while the switch is replaced
  kuutamo.near.validator_pause:
    account_id: validator.pool.near
    for: 45m
    reason: new switch

- name: End it
  kuutamo.near.validator_pause:
    account_id: validator.pool.near
    state: absent
"""

RETURN = r"""
pause:
  description: The pause that is in force, for O(node) or the whole fleet; null when there is none.
  returned: success
  type: dict
  contains: &pause
    node:
      description: The node; null for the whole fleet.
      type: str
    until:
      description: When it ends, in Unix seconds.
      type: float
    left:
      description: Seconds until then.
      type: float
    by:
      description: Who asked for it.
      type: str
    reason:
      description: Why.
      type: str
previous:
  description: The pause that was in force before; null when there was none.
  returned: success
  type: dict
  contains: *pause
reason:
  description:
    - Why it failed, V(options), V(no_library), V(unreachable), V(no_leader), V(forbidden), V(conflict), or V(no_node) when
      there is no such node.
    - When Consul does not answer in time to the change itself, that may have been written. Then the message says so, and
      the task counts as changed.
  returned: failure
  type: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _connection, _orders

try:
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul import orders
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.faults import ConsulError
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.core.protocol import FleetConfig, Pause
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet import status_json, switches, words
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.order import look
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.verdict import members
except (ImportError, SyntaxError):
    pass  # _connection tells


def main() -> None:
    """Run the module."""
    options: dict[str, dict[str, Any]] = {
        "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        "node": {"type": "str"},
        "for": {"type": "str", "default": "30m"},
    }
    module = AnsibleModule(argument_spec=_connection.spec(**options, **_orders.ORDER), supports_check_mode=True)
    to = _connection.connection(module)
    node, length = _orders.node(module, "node"), _orders.read(module, "for", words.span)
    now = time.time()
    new = Pause(now + length, node, _orders.asker(module), _orders.read(module, "reason", words.reason))
    try:
        overview = look(to)
        known = sorted(member.record.node_id for member in members(overview))
        if module.params["state"] == "present" and node and node not in known:
            there = ", ".join(known) or "none"
            _connection.refuse(module, "no_node", f"refused: there is no node {node}; there are {there}")
        config = _orders.known_config(module, overview)
        before = _of(config, node, now)

        def change(old: FleetConfig) -> FleetConfig:
            if module.params["state"] == "absent":
                return switches.resumed(old, lambda pause: pause.node == node, now) if _of(old, node, now) else old
            return old if _enough(_of(old, node, now), new, length, now) else switches.paused(old, new, now)

        changed = change(config) != config
        if changed and not module.check_mode:
            config = orders.change_config(to.consul, to.account_id, change, to.deadline)
        elif changed:
            config = change(config)
    except ConsulError as error:
        _connection.fail(module, error, changed=isinstance(error, orders.Unsure))
    previous, pause = _told(before, now), _told(_of(config, node, now), now)
    difference = _orders.diff(module, {"pause": previous}, {"pause": pause})
    module.exit_json(changed=changed, pause=pause, previous=previous, **difference)


def _of(config: FleetConfig, node: str, now: float) -> Pause | None:
    """The pause of this node, or of the whole fleet, that has not ended."""
    return next((pause for pause in switches.going(config, now) if pause.node == node), None)


def _enough(old: Pause | None, new: Pause, length: float, now: float) -> bool:
    """Does the pause that there is do?"""
    if old is None or (new.reason and new.reason != old.reason):
        return False
    return old.until - now >= length / 2


def _told(pause: Pause | None, now: float) -> dict[str, object] | None:
    return None if pause is None else status_json.pause(pause, now)


if __name__ == "__main__":
    main()
