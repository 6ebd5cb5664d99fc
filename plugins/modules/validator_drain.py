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
  - A node may take the lock until it has heard of the mark, some seconds later. So the module waits until the node says
    that it has; one that has taken the lock meanwhile hands over again.
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
  description: Whether the node is drained when the module ends; null when that is not known.
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
    - When Consul does not answer in time to the mark itself, that may have been written. Then the message says so,
      RV(drained) is null, and the task counts as changed.
  returned: failure
  type: str
"""

import time
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _connection, _orders

try:
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul import orders
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.faults import ConsulError
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.overview import Overview
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet import switches
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.asking import Aim, Cause, Refusal, Wish, aim
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.nodes import DRAINED
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.order import Connection, Manner, look
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.verdict import holder, members
except (ImportError, SyntaxError):
    pass  # _connection tells

HEARD = 15.0
"""Seconds for a node to say that it has heard of the mark: three times as long as it may take to look."""
SPREAD = 6.0
"""Seconds after which the other nodes know what a node says of itself; they read it every 5."""
LOOK = 0.5
"""Seconds between two looks."""


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
    now: dict[str, Any] = {**_orders.NOTHING, **_orders.seen(overview)}
    marked = node in _orders.known_config(module, overview, **now, drained=None).no_takeover
    wanted = module.params["state"] == "present"
    results: dict[str, Any] = {**now, "drained": marked}
    if wanted:
        _check_known(module, overview, node, results)
        found = _held(module, overview, node, how, "nothing has changed: ", results)
        if found is not None and module.check_mode:
            results |= {**_orders.planned(module, overview, found, how, drained=marked), "changed": True}
        elif found is not None:
            results |= _orders.hand_over(module, to, overview, found, how, drained=marked)
    if marked is not wanted:
        if not module.check_mode:
            _mark(module, to, node, wanted, results)
            results["drained"] = wanted
        results["changed"] = True
        if not module.check_mode:
            if wanted:
                _wait_until_heard(module, to, node, how, results)
            else:
                _wait_until_forgotten(module, to, node)
    difference = _orders.diff(
        module, {"holder": now["holder"], "drained": marked}, {"holder": _after(results), "drained": wanted}
    )
    module.exit_json(**{"changed": False, **results}, **difference)


def _check_known(module: AnsibleModule, overview: Overview, node: str, results: dict[str, Any]) -> None:
    """End the module when there is no such node."""
    known = sorted(member.record.node_id for member in members(overview))
    # A node that is drained already may have no record just now: its session ends while its neard starts again.
    if node not in known and not results["drained"]:
        why = f"there is no node {node}; there are {', '.join(known) or 'none'}"
        _connection.refuse(module, "no_node", f"refused: {why}", **{**results, "outcome": "refused", "why": why})


def _held(
    module: AnsibleModule, overview: Overview, node: str, how: Manner, before: str, results: dict[str, Any]
) -> Aim | None:
    """To whom the node has to hand over, None when it does not hold the lock. Ends the module when it holds it and can't;
    ``before``: what is to be said before why.
    """
    there = holder(overview)
    if there is None or there.name != node:
        return None
    if not there.live:
        why = (
            f"it has no live member record, so nobody can ask it to hand over: wait until the lock is free, or {node} back"
        )
        _refuse(module, Refusal(why, Cause.NO_HOLDER), node, before, results)
    found = aim(overview, Wish(expect=node, allow_restart=how.allow_restart))
    if isinstance(found, Refusal):
        _refuse(module, found, node, before, results)
    return found


def _refuse(module: AnsibleModule, refusal: Refusal, node: str, before: str, results: dict[str, Any]) -> NoReturn:
    _orders.refused(module, refusal, f"{before}{node} holds the lock, and ", **results)


def _mark(module: AnsibleModule, to: Connection, node: str, wanted: bool, results: dict[str, Any]) -> None:
    change = switches.drained if wanted else switches.undrained
    try:
        orders.change_config(to.consul, to.account_id, lambda config: change(config, node), to.deadline)
    except ConsulError as error:
        before, unsure = "", isinstance(error, orders.Unsure)
        if results["outcome"] == "done":
            before = f"the lock was handed over to {results['holder']}, but the mark on {node} was not made for sure: "
        told = {"changed": unsure or bool(results.get("changed")), "drained": None if unsure else not wanted}
        _connection.fail(module, error, before, **{**results, **told})


def _wait_until_heard(module: AnsibleModule, to: Connection, node: str, how: Manner, results: dict[str, Any]) -> None:
    """Wait until the node knows that it is drained; until then it may take the lock, and then has to hand over again."""
    drained = f"{node} is drained, but "
    end = time.monotonic() + HEARD
    while True:
        try:
            overview = look(to)
        except ConsulError as error:
            _connection.fail(module, error, f"{drained}it can't be seen whether it has taken the lock: ", **results)
        there = holder(overview)
        if there is not None and there.name == node:
            results |= {"holder": _orders.seen(overview)["holder"], "term": _orders.seen(overview)["term"]}
            found = _held(module, overview, node, how, f"{drained}had taken the lock before it knew that: ", results)
            if found is not None:
                before = {name: results[name] for name in ("previous_holder", "previous_term", "drained", "changed")}
                results |= _orders.hand_over(module, to, overview, found, how, **before)
            return
        if _has_heard(overview, node):
            return
        if time.monotonic() > end:
            module.warn(f"{drained}has not said within {HEARD:g} s that it knows; until it does it may take the lock")
            return
        time.sleep(LOOK)


def _wait_until_forgotten(module: AnsibleModule, to: Connection, node: str) -> None:
    """Wait until the node knows that it is drained no more, and the holder, too; until then a handover to it is refused."""
    end, said = time.monotonic() + HEARD, False
    while True:
        try:
            overview = look(to)
            if not _says(overview, node, drained=True):
                # Only who has said that it is drained is believed so by the others.
                if said and _says(overview, node, drained=False):
                    time.sleep(SPREAD)
                return
            said = True
        except ConsulError as error:
            module.warn(f"the mark is taken away, but it can't be seen whether {node} has heard of it: {error}")
            return
        if time.monotonic() > end:
            module.warn(f"{node} has not said within {HEARD:g} s that it knows; until it does it refuses a handover")
            return
        time.sleep(LOOK)


def _has_heard(overview: Overview, node: str) -> bool:
    """Does the node know that it is drained? One that is silent takes no lock, and reads the mark when it is back."""
    return not _says(overview, node, drained=False)


def _says(overview: Overview, node: str, *, drained: bool) -> bool:
    """Does the node live, and say that it is drained, or that it is not?"""
    live = [member.record for member in members(overview) if member.record.node_id == node and member.session is not None]
    return bool(live) and (DRAINED in live[0].ineligible) is drained


def _after(results: dict[str, Any]) -> object:
    """Who holds the lock after it, or would."""
    return results["candidate"] if results["outcome"] == "planned" else results["holder"]


if __name__ == "__main__":
    main()
