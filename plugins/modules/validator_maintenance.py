#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have the fleet to oneself for a maintenance run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_maintenance
short_description: Have the fleet to oneself for a maintenance run
version_added: 0.1.0
description:
  - Takes or releases the fleet's maintenance lock, so that two operators' runs don't work on one fleet at the same time.
  - A session in Consul holds it. When the run dies without releasing it, Consul ends the session after O(ttl) seconds, or
    after twice that.
  - The nodes don't look at it. It stops nobody but those who ask for it, and no takeover.
extends_documentation_fragment:
  - kuutamo.near._attributes
  - kuutamo.near._attributes.actiongroup_kuutamo
  - kuutamo.near._consul
  - kuutamo.near._order
attributes:
  check_mode:
    support: full
    details:
      - RV(session) is null when the lock would be taken.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(session). Without it O(state=present) fails while a run holds the lock, also if that is an earlier one of
        one's own.
options:
  state:
    description:
      - V(present) takes the lock, and fails when another run holds it. With O(session) it makes sure that the lock is still
        ours and lets its time begin anew, and fails when it is not.
      - V(absent) releases the lock of O(session). A lock that has been lost meanwhile is no failure, but a warning. Without
        O(session) it fails when somebody holds the lock, unless O(force) is set.
    type: str
    default: present
    choices: [present, absent]
  session:
    description:
      - The session that holds our lock, as RV(session) told when it was taken. Null and the empty string are none.
    type: str
  ttl:
    description:
      - Seconds for which a lock stays held at least when nobody renews it, 10 to 86400.
    type: int
    default: 3600
  force:
    description:
      - With O(state=absent), free the lock whoever holds it. Make sure that the run is over; if it is not, it is told so
        when it next looks.
    type: bool
    default: false
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Work on the fleet, and nobody else meanwhile
  block:
    - name: Take the maintenance lock
      kuutamo.near.validator_maintenance:
        account_id: validator.pool.near
        reason: kernel update
        by: "{{ lookup('ansible.builtin.env', 'USER') }} at the controller"
      register: maintenance

    - name: Look whether it is still ours, before each host
      kuutamo.near.validator_maintenance:
        account_id: validator.pool.near
        session: "{{ maintenance.session }}"
  always:
    - name: Release the maintenance lock
      kuutamo.near.validator_maintenance:
        account_id: validator.pool.near
        state: absent
        session: "{{ maintenance.session }}"
      when: maintenance.session | default(none) is not none

- name: Free the lock that a run has left behind which is surely over
  kuutamo.near.validator_maintenance:
    account_id: validator.pool.near
    state: absent
    force: true
"""

RETURN = r"""
session:
  description:
    - The session that holds our lock; null when we hold none.
    - On failure the one that may hold it, because Consul did not answer and could not be told to end it. Release it with
      O(state=absent), as after a success. Without that the lock is free after O(ttl) seconds, or after twice that.
  returned: success, and failure that may have taken the lock
  type: str
  sample: 1d9bd0b4-0b9d-4f07-7a4b-6a7c1d0f2f4e
maintenance:
  description: Who holds the lock when the module ends; null when nobody does.
  returned: success, and when RV(reason) is V(held) or V(lost)
  type: dict
  contains: &maintenance
    by:
      description: Who works on the fleet; null when the value in Consul is nothing of ours.
      type: str
    since:
      description: Since when, in Unix seconds.
      type: float
    reason:
      description: Why.
      type: str
    session:
      description: The session that holds the lock.
      type: str
previous:
  description: Who held the lock before; null when nobody did.
  returned: success, and when RV(reason) is V(held) or V(lost)
  type: dict
  contains: *maintenance
reason:
  description:
    - Why it failed, V(options), V(no_library), V(unreachable), V(no_leader), V(forbidden), V(conflict), V(held) (by another
      run), or V(lost) (ours is not ours any more).
  returned: failure
  type: str
"""

import time
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _connection, _orders

try:
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul import maintenance
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.faults import ConsulError
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.consul.maintenance import Maintenance, MayHold
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.core.protocol import MaintenanceRecord
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet import status_json, words
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.follow import in_words
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.moments import date, duration
    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.fleet.order import Connection
except (ImportError, SyntaxError):
    pass  # _connection tells


def main() -> None:
    """Run the module."""
    options: dict[str, dict[str, Any]] = {
        "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        "session": {"type": "str"},
        "ttl": {"type": "int", "default": 3600},
        "force": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=_connection.spec(**options, **_orders.ORDER), supports_check_mode=True)
    to = _connection.connection(module)
    record = MaintenanceRecord(_orders.asker(module), time.time(), _orders.read(module, "reason", words.reason))
    if not maintenance.SHORTEST <= module.params["ttl"] <= maintenance.LONGEST:
        span = f"{maintenance.SHORTEST} to {maintenance.LONGEST} seconds"
        _connection.refuse(module, "options", f"ttl: {module.params['ttl']} is not a time of {span}")
    if module.params["force"] and module.params["state"] == "present":
        _connection.refuse(module, "options", "force: it goes with state=absent; free the lock first, then take it")
    try:
        if module.params["state"] == "absent":
            _release(module, to)
        elif module.params["session"]:
            _renew(module, to)
        else:
            _acquire(module, to, record)
    except MayHold as error:
        _may_hold(module, error)
    except ConsulError as error:
        _connection.fail(module, error)


def _may_hold(module: AnsibleModule, error: MayHold) -> NoReturn:
    ttl = module.params["ttl"]
    remedy = (
        f"the maintenance lock may be held by session {error.session} all the same, for {ttl} to {2 * ttl} seconds. "
        f"Free it with state=absent and session={error.session}; the playbooks do with -e break_maintenance_lock=true"
    )
    reason, why = _connection.word(error.fault), f"{in_words(error)}; {remedy}"
    _connection.refuse(module, reason, why, session=error.session, changed=True)


def _acquire(module: AnsibleModule, to: Connection, record: MaintenanceRecord) -> None:
    if module.check_mode:
        held, ours = maintenance.read(to.consul, to.account_id, to.deadline), False
    else:
        held, ours = maintenance.acquire(to.consul, to.account_id, record, module.params["ttl"], to.deadline)
    if held is not None and not ours:
        remedy = (
            "wait for its end, or if it is surely over, free the lock with state=absent and force=true, which the "
            "playbooks do with -e break_maintenance_lock=true"
        )
        _connection.refuse(module, "held", f"{_who(held)}: {remedy}", **_results(module, held, held, None))
    module.exit_json(changed=True, **_results(module, None, held, held.session if held else None, planned=record))


def _renew(module: AnsibleModule, to: Connection) -> None:
    session = module.params["session"]
    if module.check_mode:
        held = maintenance.read(to.consul, to.account_id, to.deadline)
        ours = held is not None and held.session == session
    else:
        held, ours = maintenance.renew(to.consul, to.account_id, session, to.deadline)
    if not ours:
        now = f"now {_who(held)}" if held else "nobody holds it now"
        why = f"the maintenance lock of session {session} is lost, by time or by force: {now}. End this run"
        _connection.refuse(module, "lost", why, **_results(module, held, held, None))
    module.exit_json(changed=False, **_results(module, held, held, session))


def _release(module: AnsibleModule, to: Connection) -> None:
    session, force = module.params["session"], module.params["force"]
    held = maintenance.read(to.consul, to.account_id, to.deadline)
    ours = held is not None and held.session == session
    if held is not None and not ours and not force:
        if not session:
            remedy = "give the session that holds it, or if its run is surely over, force=true"
            _connection.refuse(module, "held", f"{_who(held)}: {remedy}", **_results(module, held, held, None))
        module.warn(f"the maintenance lock of session {session} was lost: {_who(held)}")
    elif held is None and session:
        module.warn(f"the maintenance lock of session {session} was lost: nobody holds it")
    if not module.check_mode:
        if held is not None and not ours and force:
            maintenance.take_away(to.consul, to.account_id, held, to.deadline)
        elif session:
            maintenance.release(to.consul, to.account_id, session, to.deadline)
    freed = ours or (held is not None and force)
    module.exit_json(changed=freed, **_results(module, held, None if freed else held, None))


def _results(
    module: AnsibleModule,
    before: Maintenance | None,
    after: Maintenance | None,
    session: str | None,
    planned: MaintenanceRecord | None = None,
) -> dict[str, object]:
    """``planned``: the value that check mode would have written."""
    previous, now = status_json.maintenance(before), status_json.maintenance(after)
    if now is None and planned is not None:
        now = {**vars(planned), "session": None}
    return {
        "session": session,
        "maintenance": now,
        "previous": previous,
        **_orders.diff(module, {"maintenance": previous}, {"maintenance": now}),
    }


def _who(held: Maintenance) -> str:
    record = held.record
    if record is None:
        return f"session {held.session} holds the maintenance lock, with a value that is not ours"
    age = duration(time.time() - record.since)
    reason = record.reason or "no reason given"
    return f"{record.by or 'somebody'} holds the maintenance lock since {date(record.since)} UTC ({age}): {reason}"


if __name__ == "__main__":
    main()
