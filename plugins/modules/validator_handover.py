#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hand the validator over to another node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_handover
short_description: Hand the validator over to another node
version_added: 0.1.0
description:
  - Asks the fleet, through Consul, to hand the validator's lock over to another node, and waits for the one outcome that
    this has. The holder gives up the key with proof that its neard is dead; the successor takes the lock and shows that it
    produces.
  - The request lies in Consul and names the holder and its term. So this module may be killed at any moment, and nobody
    else acts on the request. It never touches the lock or a node's session itself.
  - A run that is interrupted withdraws nothing, as with kuutamoctl. A request that has not begun is void O(timeout) seconds
    after it was placed, and until then keeps others from being placed; one that has begun runs its course.
  - Does nothing if O(target) holds the lock already. It is refused as V(pending) if that is about to hand it over.
  - A handover goes on in spite of a pause.
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
      - Returns the plan, RV(outcome) V(planned), and fails where the handover would be refused at once.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(target). Without it each run hands over to the best standby.
options:
  target:
    description:
      - The node that is to validate. If not set, the best standby.
    type: str
  expect_holder:
    description:
      - Refuse if another node holds the lock, unless that is O(target).
    type: str
seealso:
  - module: kuutamo.near.validator_info
  - module: kuutamo.near.validator_drain
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Hand over to the best standby
  kuutamo.near.validator_handover:
    account_id: validator.pool.near
    reason: new disk
  register: handover

- name: Tell how long nobody signed
  ansible.builtin.debug:
    msg: "{{ handover.holder }} validates in term {{ handover.term }}, {{ handover.gap }} s without a signer"

- name: Make host-b the validator, from host-a only, in a window without a block or chunk of ours
  kuutamo.near.validator_handover:
    account_id: validator.pool.near
    target: host-b
    expect_holder: host-a
    at: window
    timeout: 3600
"""

RETURN = r"""
previous_holder:
  description: The node that held the lock before.
  returned: always, once the lock was read
  type: str
  sample: host-a
previous_term:
  description: Its term.
  returned: always, once the lock was read
  type: int
  sample: 11
holder:
  description: The node that holds the lock when the module ends; null when nobody does or it can't be seen.
  returned: always, once the lock was read
  type: str
  sample: host-b
term:
  description: The term in the lock when the module ends; null when it can't be seen.
  returned: always, once the lock was read
  type: int
  sample: 12
candidate:
  description: The node that was asked to take over; null when nothing was asked for.
  returned: always, once the lock was read
  type: str
  sample: host-b
candidate_why:
  description: Why that one.
  returned: always, once the lock was read
  type: str
  sample: "the best of host-b, host-c: priority 0, height 1180"
outcome:
  description:
    - V(done), V(already) (O(target) holds the lock, nothing was asked for), V(planned) (check mode), V(refused),
      V(rolled_back) (another node than the candidate validates), V(expired) (it had not begun in time, nothing has
      changed), or V(unknown) (it was begun and nobody told the end).
  returned: always, once the lock was read
  type: str
  sample: done
why:
  description: One sentence on the outcome.
  returned: always, once the lock was read
  type: str
  sample: host-b validates in term 12
request:
  description: The id of the request in Consul; null when none was placed.
  returned: always, once the lock was read
  type: str
  sample: 3f2a9c10
phases:
  description: The phases that were reached, in their order.
  returned: always, once the lock was read
  type: list
  elements: dict
  contains:
    phase:
      description:
        - V(planned), V(waiting for window), V(candidate confirmed), V(unloading), V(stopped), V(released), V(acquired),
          V(key loaded), V(producing) or V(done).
      type: str
    at:
      description: When, in Unix seconds.
      type: float
    note:
      description: A word more about it.
      type: str
duration:
  description: Seconds from the request to its last phase; null when none was reached.
  returned: always, once the lock was read
  type: float
  sample: 1.62
gap:
  description:
    - Seconds without a signer, from taking the key away to the next holder's neard showing it; null when not known.
  returned: always, once the lock was read
  type: float
  sample: 0.55
reason:
  description:
    - Why it failed, as a word. V(options), V(no_library), V(unreachable), V(no_leader) (an election, or no quorum),
      V(forbidden), V(conflict), V(no_holder), V(holder_changed), V(no_candidate), V(pending) (another request is),
      V(refused), V(rolled_back), V(expired) or V(unknown).
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _connection, _orders

try:
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.faults import ConsulError
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.core.model import Phase
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.asking import (
        Refusal,
        Wish,
        aim,
        holder_of,
        leaving,
    )
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.order import look
except (ImportError, SyntaxError):
    pass  # _connection tells


def main() -> None:
    """Run the module."""
    options = {"target": {"type": "str"}, "expect_holder": {"type": "str"}}
    module = AnsibleModule(
        argument_spec=_connection.spec(**options, **_orders.ORDER, **_orders.HANDOVER), supports_check_mode=True
    )
    to = _connection.connection(module)
    target, expect = _orders.node(module, "target"), _orders.node(module, "expect_holder")
    how = _orders.manner(module)
    try:
        overview = look(to)
    except ConsulError as error:
        _connection.fail(module, error)
    held, now = holder_of(overview, ""), _orders.seen(overview)
    if isinstance(held, Refusal):
        _orders.refused(module, held, **now)
    before = held[0].record.node_id
    if before == target:
        if why := leaving(overview, time.time()):
            _connection.refuse(module, "pending", f"refused: {target} holds the lock, but {why}", **_refused(why, now))
        if held[0].record.phase != Phase.ACTIVE.value:
            module.warn(f"{target} holds the lock, but does not validate: it is {held[0].record.phase or 'in no phase'}")
        already = {"outcome": "already", "why": f"{target} holds the lock already"}
        module.exit_json(changed=False, **{**_orders.NOTHING, **now, **already}, **_diff(module, before, before))
    found = aim(overview, Wish(target, expect, how.allow_restart))
    if isinstance(found, Refusal):
        _orders.refused(module, found, **now)
    if module.check_mode:
        plan = {**_orders.planned(module, overview, found, how), "why": f"{found.node} would take over, {found.why}"}
        module.exit_json(changed=True, **{**plan, **now}, **_diff(module, before, found.node))
    results = _orders.hand_over(module, to, overview, found, how)
    module.exit_json(**results, **_diff(module, before, results["holder"]))


def _refused(why: str, now: dict[str, object]) -> dict[str, object]:
    return {**_orders.NOTHING, **now, "outcome": "refused", "why": why}


def _diff(module: AnsibleModule, before: str, after: str) -> dict[str, object]:
    return _orders.diff(module, {"holder": before}, {"holder": after})


if __name__ == "__main__":
    main()
