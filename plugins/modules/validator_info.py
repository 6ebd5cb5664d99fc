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
  - Reads the lock, the nodes' records, pauses, the pending request, the maintenance lock and Consul's health, all at once.
  - The lock and the records are read consistently, from Consul's leader. A fleet that nobody validates for is an answer,
    not a failure. It fails when Consul can't be asked, and when the token may not read the lock or the nodes' records.
extends_documentation_fragment:
  - kuutamo.near._attributes
  - kuutamo.near._attributes.info_module
  - kuutamo.near._attributes.actiongroup_kuutamo
  - kuutamo.near._consul
seealso:
  - module: kuutamo.near.validator_handover
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
  when: fleet.holder is not none and fleet.holder != inventory_hostname

- name: Stop unless one host validates and another one could take over
  ansible.builtin.assert:
    that: fleet.health == 'well'
    fail_msg: "{{ fleet.verdict }}"
"""

RETURN = r"""
holder:
  description: The node whose session holds the lock; null when nobody does.
  returned: success
  type: str
  sample: host-a
holder_live:
  description: Whether that session also keeps the node's record; false when nobody holds the lock.
  returned: success
  type: bool
term:
  description: The term in the lock; null when there is none.
  returned: success
  type: int
  sample: 12
session:
  description: The session that holds the lock; null when none does.
  returned: success
  type: str
  sample: 1d9bd0b4-0b9d-4f07-7a4b-6a7c1d0f2f4e
health:
  description:
    - V(well) when one holder validates and a standby could take over, V(no-standby), V(holder-unwell) or V(no-holder).
  returned: success
  type: str
  sample: well
verdict:
  description: One sentence on it.
  returned: success
  type: str
  sample: host-a holds the lock; host-b, host-c can take over
candidates:
  description: The nodes that would take the lock if it became free now.
  returned: success
  type: list
  elements: str
  sample: [host-b, host-c]
members:
  description: The nodes that have published a record, sorted by name. What is not known is null.
  returned: success
  type: list
  elements: dict
  contains:
    node:
      description: Its name, E(KUUTAMO_NODE_ID).
      type: str
    hostname:
      description: The host's name.
      type: str
    role:
      description: V(validator), V(standby), or null when it is silent.
      type: str
    live:
      description: Whether its session lives.
      type: bool
    eligible:
      description: Whether it would take the lock if it became free now.
      type: bool
    reasons:
      description:
        - What keeps it from taking the lock, V(silent), V(drained), V(paused), and its own reasons such as V(syncing).
      type: list
      elements: str
    state:
      description: V(Startup), V(Syncing), V(Registering), V(Voting), V(Validating) or V(Shutdown).
      type: str
    phase:
      description: Of a validator, V(promoting), V(active), V(demoting) or V(fencing).
      type: str
    term:
      description: The highest term it has seen.
      type: int
    height:
      description: The height of its neard's head.
      type: int
    lag:
      description: Blocks behind the highest live node.
      type: int
    peers:
      description: Its neard's peers.
      type: int
    lock_age:
      description: Seconds since it took the lock.
      type: float
    priority:
      description: The highest goes first.
      type: int
    neard_version:
      description: Its neard's version.
      type: str
    protocol:
      description: The chain's protocol version at its head.
      type: int
    latest_protocol:
      description: The newest protocol version that its neard can follow.
      type: int
    kuutamod_version:
      description: Its kuutamod's version.
      type: str
    address:
      description: Where its metrics and health pages are.
      type: str
pauses:
  description: The pauses that are in force.
  returned: success
  type: list
  elements: dict
  contains:
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
drained:
  description: The nodes that are marked as ones that take no lock; null when that can't be read.
  returned: success
  type: list
  elements: str
request:
  description: The newest request of an operator; null when there never was one, or it can't be read.
  returned: success
  type: dict
  contains:
    id:
      description: Its id.
      type: str
    ask:
      description: V(handover) or V(restart).
      type: str
    holder:
      description: The holder that it names.
      type: str
    term:
      description: The term that it names.
      type: int
    node:
      description: The candidate, or the node to restart.
      type: str
    when:
      description: V(now), V(window) or a height.
      type: str
    by:
      description: Who asked for it.
      type: str
    reason:
      description: Why.
      type: str
    issued:
      description: When it was asked for, in Unix seconds.
      type: float
    expires:
      description: When it is void unless it has begun, in Unix seconds.
      type: float
    phases:
      description: The phases that were reached, as of M(kuutamo.near.validator_handover).
      type: list
      elements: dict
    outcome:
      description:
        - V(done), V(refused), V(rolled back) or V(expired); null while it has not ended, and for ever when those that
          should have told it have died.
      type: str
    ended:
      description: When it ended, in Unix seconds.
      type: float
    why:
      description: One sentence on the outcome.
      type: str
    pending:
      description:
        - Whether it keeps others from being placed. One without an outcome does so until a minute after
          RV(request.expires), and if it had begun until 10 minutes after it (25 where a neard has to start); then nobody is
          at it any more.
      type: bool
maintenance:
  description: Who has the fleet to himself, see M(kuutamo.near.validator_maintenance); null when nobody has.
  returned: success
  type: dict
  contains:
    by:
      description: Who works on the fleet.
      type: str
    since:
      description: Since when, in Unix seconds.
      type: float
    reason:
      description: Why.
      type: str
    session:
      description: The session that holds the maintenance lock.
      type: str
consul:
  description: How well Consul is; null when that can't be read.
  returned: success
  type: dict
  contains:
    leader:
      description: The raft address of the server that leads; null when none does.
      type: str
    servers:
      description: How many servers there are.
      type: int
    healthy_voters:
      description: How many of them vote and are healthy; null when autopilot can't be asked.
      type: int
    failure_tolerance:
      description: How many servers may fail before there is no quorum.
      type: int
    estimated:
      description: Why autopilot's own word could not be had; null when it could.
      type: str
unreadable:
  description: Why each part that could not be read was not, by its name.
  returned: success
  type: dict
  sample: {}
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
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.faults import ConsulError
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.overview import Overview, Unread
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet import nodes, status_json, verdict
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.order import look
except (ImportError, SyntaxError):
    pass  # _connection tells

_OWN = ("health", "verdict", "pauses", "request", "maintenance", "consul", "unreadable")
"""What is told as the fleet's object tells it."""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_connection.spec(), supports_check_mode=True)
    to = _connection.connection(module)
    try:
        overview = look(to)
    except ConsulError as error:
        _connection.fail(module, error)
    module.exit_json(changed=False, **_told(overview, time.time()))


def _told(overview: Overview, now: float) -> dict[str, object]:
    fleet = status_json.status(overview, now)
    found = verdict.holder(overview)
    lock = status_json.lock(overview) or {}
    return {
        "holder": found.name if found else None,
        "holder_live": found is not None and found.live,
        "term": lock["term"],
        "session": lock["session"],
        "candidates": [node.record.node_id for node in nodes.nodes(overview, now) if node.eligible],
        "members": [_member(node) for node in nodes.nodes(overview, now)],
        "drained": None if isinstance(overview.config, Unread) else list(overview.config.no_takeover),
        **{name: fleet[name] for name in _OWN},
        "fleet": fleet,
    }


def _member(node: nodes.NodeView) -> dict[str, object]:
    said = status_json.node(node)
    return {("reasons" if name == "flags" else name): value for name, value in said.items()}


if __name__ == "__main__":
    main()
