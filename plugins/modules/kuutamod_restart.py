#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restart this host's kuutamod, unless it holds the validator's lock."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kuutamod_restart
short_description: Restart this host's kuutamod, unless it holds the validator's lock
version_added: 0.1.0
description:
  - Asks kuutamod for its place in the fleet and restarts it at once, both on the host. Between question and restart there
    are milliseconds, not the time of two tasks, in which a standby may have become the holder.
  - A kuutamod that runs but does not answer may hold the lock, so it is not restarted either.
  - One that does not run is started.
options:
  url:
    description: Where kuutamod serves its status.
    type: str
    default: http://127.0.0.1:2233
  holder:
    description: Restart kuutamod even if it holds the lock, or can't say. It hands the lock over as it stops.
    type: bool
    default: false
  timeout:
    description: Seconds for its answer.
    type: float
    default: 10.0
attributes:
  check_mode:
    description: Can run in check mode and tell what would change without changing it.
    support: full
  diff_mode:
    description: Returns what has changed.
    support: none
    details: A restart has nothing to compare.
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Restart a standby
  kuutamo.near.kuutamod_restart:
"""

RETURN = r"""
before:
  description: The state of the unit before, in systemd's words.
  returned: always, unless systemd does not tell
  type: str
  sample: active
role:
  description: Its place in the fleet before; empty if it had none, or did not say.
  returned: always, unless systemd does not tell
  type: str
  sample: standby
"""

import json
from http.client import HTTPException
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.kuutamo.near.plugins.module_utils import _units
from ansible_collections.kuutamo.near.plugins.module_utils._program import ProgramFault

_UNIT = "kuutamod.service"
_PATIENCE = 30.0
_REMEDY = (
    "so it is not restarted; hand over first with the playbook kuutamo.near.handover, or set kuutamod_restart_holder=true"
)
_ENDED = ("inactive", "failed")


class Refused(Exception):
    """It must not be restarted; the message says why and what to do."""


def role(url: str, timeout: float) -> str | None:
    """Its place in the fleet; None where there is no answer that says."""
    try:
        with open_url(f"{url}/status", timeout=timeout, use_proxy=False) as answer:
            said = json.load(answer)
        return str(said["role"] or "")
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None


def judge(state: str, place: str | None, url: str) -> None:
    """:raises Refused: it holds the lock or may."""
    if place == "validator":
        raise Refused(f"kuutamod holds the lock, {_REMEDY}")
    # One that systemd is just starting, over and over perhaps, can't have come to a lock without answering.
    if place is None and state not in (*_ENDED, "activating"):
        raise Refused(f"kuutamod runs but does not answer at {url}, {_REMEDY}")


def _run(module: AnsibleModule, told: dict[str, Any]) -> None:
    """``told``: the results, as far as it gets. :raises Refused: :raises ProgramFault: it does not get to its end."""
    given = module.params
    unit = _units.show(module, [_UNIT], ("ActiveState", "UnitFileState"), _PATIENCE)[_UNIT]
    state = unit["ActiveState"]
    place = role(given["url"], given["timeout"]) if state not in _ENDED else ""
    told |= {"before": state, "role": place or ""}
    if not given["holder"]:
        judge(state, place, given["url"])
    # A restart that fails has ended what ran.
    told["changed"] = True
    if not module.check_mode:
        _systemctl(module, "restart")
        if unit["UnitFileState"] != "enabled":
            _systemctl(module, "enable")


def _systemctl(module: AnsibleModule, verb: str) -> None:
    code, _out, err = module.run_command(["systemctl", verb, _UNIT])
    if code:
        raise ProgramFault(
            f"systemctl {verb} {_UNIT} ended with {code}: {' '.join(err.split())}; look at journalctl -u kuutamod"
        )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:2233"},
            "holder": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    told: dict[str, Any] = {"changed": False}
    try:
        _run(module, told)
    except (Refused, ProgramFault) as fault:
        module.fail_json(msg=str(fault), **told)
    module.exit_json(**told)


if __name__ == "__main__":
    main()
