#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep a node from taking the validator's lock."""

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_drain
short_description: Keep a node from taking the validator's lock
version_added: 0.1.0
description:
  - Marks a node as one that takes no lock, until the mark is taken away. If it holds the lock, it hands over to the best
    standby first, and the module waits for the end of that; a node whose handover fails is not marked.
  - A node that is drained goes on as a standby that follows the chain.
extends_documentation_fragment:
  - kuutamo.near._attributes
  - kuutamo.near._attributes.actiongroup_kuutamo
  - kuutamo.near._consul
  - kuutamo.near._order
  - kuutamo.near._order.handover
attributes:
  check_mode:
    support: full
    details:
      - Returns the plan of a handover that would be needed, and fails where that would be refused at once.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - Whether the node is to be drained.
    type: str
    default: present
    choices: [present, absent]
  node:
    description:
      - The node.
    type: str
    required: true
seealso:
  - module: kuutamo.near.validator_handover
  - module: kuutamo.near.validator_pause
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Keep this host from taking the lock; if it has it, hand over first
  kuutamo.near.validator_drain:
    account_id: validator.pool.near
    node: host-a
    reason: new disk

- name: Let it take the lock again
  kuutamo.near.validator_drain:
    account_id: validator.pool.near
    node: host-a
    state: absent
"""

RETURN = r"""
drained:
  description: Whether the node is drained when the module ends.
  returned: always, once the lock was read
  type: bool
previous_holder:
  description: The node that held the lock before; null when nobody did.
  returned: always, once the lock was read
  type: str
  sample: host-a
previous_term:
  description: The term in the lock before; null when there was none.
  returned: always, once the lock was read
  type: int
  sample: 11
holder:
  description: The node that holds the lock when the module ends; null when nobody does or it can't be seen.
  returned: always, once the lock was read
  type: str
  sample: host-b
term:
  description: The term in the lock when the module ends; null when there is none or it can't be seen.
  returned: always, once the lock was read
  type: int
  sample: 12
candidate:
  description: The node that was asked to take over; null when no handover was needed.
  returned: always, once the lock was read
  type: str
  sample: host-b
candidate_why:
  description: Why that one.
  returned: always, once the lock was read
  type: str
outcome:
  description: How the handover ended, as of M(kuutamo.near.validator_handover); null when none was needed.
  returned: always, once the lock was read
  type: str
why:
  description: One sentence on the outcome.
  returned: always, once the lock was read
  type: str
request:
  description: The id of the request in Consul; null when none was placed.
  returned: always, once the lock was read
  type: str
phases:
  description: The phases that the handover has reached, as of M(kuutamo.near.validator_handover).
  returned: always, once the lock was read
  type: list
  elements: dict
duration:
  description: Seconds from the request to its last phase; null when none was reached.
  returned: always, once the lock was read
  type: float
gap:
  description: Seconds without a signer; null when not known.
  returned: always, once the lock was read
  type: float
reason:
  description:
    - Why it failed, as a word. Those of M(kuutamo.near.validator_handover), or V(no_node) when there is no such node.
  returned: failure
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _connection, _orders

try:
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul import orders
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.faults import ConsulError
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet import switches
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.asking import Refusal, Wish, aim, holder_of
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.order import Connection, look
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.verdict import members
except (ImportError, SyntaxError):
    pass  # _connection tells


def main() -> None:
    """Run the module."""
    options: dict[str, dict[str, Any]] = {
        "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        "node": {"type": "str", "required": True},
    }
    module = AnsibleModule(
        argument_spec=_connection.spec(**options, **_orders.ORDER, **_orders.HANDOVER), supports_check_mode=True
    )
    to = _connection.connection(module)
    node = _orders.node(module, "node")
    how = _orders.manner(module, reason=f"drain {node}")
    try:
        overview = look(to)
    except ConsulError as error:
        _connection.fail(module, error)
    marked, now = node in _orders.known_config(module, overview).no_takeover, _orders.seen(overview)
    wanted = module.params["state"] == "present"
    results: dict[str, object] = {**_orders.NOTHING, **now}
    if wanted:
        known = sorted(member.record.node_id for member in members(overview))
        # A node that is drained already may have no record just now: its session ends while its neard starts again.
        if node not in known and not marked:
            there = ", ".join(known) or "none"
            why = f"there is no node {node}; there are {there}"
            results |= {"drained": marked, "outcome": "refused", "why": why}
            _connection.refuse(module, "no_node", f"refused: {why}", **results)
        held = holder_of(overview, "")
        if not isinstance(held, Refusal) and held[0].record.node_id == node:
            found = aim(overview, Wish(expect=node, allow_restart=how.allow_restart))
            if isinstance(found, Refusal):
                before_it = f"nothing has changed: {node} holds the lock, and "
                _orders.refused(module, found, before_it, **now, drained=marked)
            if module.check_mode:
                results |= {**_orders.planned(module, overview, found, how), "changed": True}
            else:
                results |= _orders.hand_over(module, to, overview, found, how)
    changed = bool(results.pop("changed", False)) or marked is not wanted
    if marked is not wanted and not module.check_mode:
        _mark(module, to, node, wanted, results)
    difference = _orders.diff(
        module, {"holder": now["holder"], "drained": marked}, {"holder": _after(results), "drained": wanted}
    )
    module.exit_json(changed=changed, **results, drained=marked if module.check_mode else wanted, **difference)


def _mark(module: AnsibleModule, to: Connection, node: str, wanted: bool, results: dict[str, object]) -> None:
    change = switches.drained if wanted else switches.undrained
    try:
        orders.change_config(to.consul, to.account_id, lambda config: change(config, node), to.deadline)
    except ConsulError as error:
        done = results["outcome"] == "done"
        _connection.fail(module, error, **{**results, "changed": done, "drained": not wanted})


def _after(results: dict[str, object]) -> object:
    """Who holds the lock after it, or would."""
    return results["candidate"] if results["outcome"] == "planned" else results["holder"]


if __name__ == "__main__":
    main()
