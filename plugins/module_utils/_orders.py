# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules that give the fleet an order share: who asks and why, and a handover from request to outcome."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ansible.module_utils.basic import AnsibleModule

from . import _connection, _consul_address

try:
    from ._kuutamod.consul import orders
    from ._kuutamod.consul.faults import ConsulError
    from ._kuutamod.consul.overview import Overview, Unread, read_overview
    from ._kuutamod.core.protocol import Ask, FleetConfig, Outcome
    from ._kuutamod.fleet import status_json, words
    from ._kuutamod.fleet.asking import Aim, Cause, Refusal
    from ._kuutamod.fleet.follow import Follower, Told, gap
    from ._kuutamod.fleet.order import WINDOWS, Connection, Manner, new_request, operator, place
    from ._kuutamod.fleet.verdict import holder
except (ImportError, SyntaxError):
    pass  # _connection tells

T = TypeVar("T")

ORDER: dict[str, dict[str, Any]] = {
    "reason": {"type": "str", "default": ""},
    "by": {"type": "str", "fallback": _consul_address.variable("KUUTAMO_OPERATOR")},
}
"""The options of every order."""
HANDOVER: dict[str, dict[str, Any]] = {
    "at": {"type": "str", "default": "now"},
    "min_window": {"type": "int", "default": 5},
    "timeout": {"type": "float", "default": 60.0},
    "allow_restart": {"type": "bool", "default": False},
}
"""The options of an order that may hand the lock over."""
NOTHING: dict[str, Any] = {
    "candidate": None,
    "candidate_why": None,
    "request": None,
    "outcome": None,
    "why": None,
    "phases": [],
    "duration": None,
    "gap": None,
}
"""The results of a handover that was not needed."""


def read(module: AnsibleModule, option: str, reading: Callable[[str], T]) -> T:
    """The value of an option; ends the module when it is none."""
    value = module.params[option]
    try:
        return reading(f"{value:g}" if isinstance(value, float) else str(value))
    except ValueError as error:
        _connection.refuse(module, "options", f"{option}: {error}")


def node(module: AnsibleModule, option: str) -> str:
    """The node that an option names; empty when it is not given."""
    return read(module, option, words.node) if module.params[option] is not None else ""


def asker(module: AnsibleModule) -> str:
    """Who asks; ends the module when the name is too long."""
    given = read(module, "by", words.reason) if module.params["by"] is not None else ""
    return given or operator(os.environ)


def manner(module: AnsibleModule, reason: str = "") -> Manner:
    """How the options want the handover; ends the module when one of them is wrong. ``reason``: where none is given."""
    return Manner(
        by=asker(module),
        reason=read(module, "reason", words.reason) or reason,
        at=read(module, "at", words.moment),
        min_window=read(module, "min_window", words.blocks),
        timeout=read(module, "timeout", words.seconds),
        allow_restart=module.params["allow_restart"],
    )


def refused(module: AnsibleModule, refusal: Refusal, before: str = "", **results: Any) -> NoReturn:
    """End the module: what is asked for can't be."""
    reason = Cause.NO_CANDIDATE if refusal.cause is Cause.NO_NODE else refusal.cause
    why = refusal.why.replace("--allow-restart accepts", "allow_restart=true accepts")
    told = {**NOTHING, **results, "outcome": "refused", "why": why}
    _connection.refuse(module, reason.value, f"refused: {before}{why}", **told)


def known_config(module: AnsibleModule, overview: Overview, **results: Any) -> FleetConfig:
    """The fleet's settings; ends the module, with these results, when they can't be read."""
    config = overview.config
    if isinstance(config, Unread):
        why = f"the fleet's settings can't be read: {config.why}"
        _connection.refuse(module, _connection.word(config.fault), why, **results)
    return config


def planned(module: AnsibleModule, overview: Overview, found: Aim, how: Manner, **more: Any) -> dict[str, Any]:
    """What the handover would be. Ends the module when another request is in the way, or may be; ``more``: its results."""
    pending = overview.request
    if isinstance(pending, Unread):
        reason, why = _connection.word(pending.fault), pending.why
    else:
        reason, why = "pending", orders.obstacle(pending, time.time())
    if why:
        results = {**NOTHING, **seen(overview), **more, "outcome": "refused", "why": why}
        _connection.refuse(module, reason, f"refused: {why}", **results)
    if how.at == "window":
        module.warn(WINDOWS)
    return {**NOTHING, "candidate": found.node, "candidate_why": found.why, "outcome": "planned"}


def hand_over(
    module: AnsibleModule, to: Connection, overview: Overview, found: Aim, how: Manner, **more: Any
) -> dict[str, Any]:
    """Ask for the handover and wait for its end: the results.

    Ends the module when it does not end in ``done``. ``more``: further results however it ends; ``changed`` among them says
    that something was changed before.
    """
    plan = planned(module, overview, found, how, **more)
    before = found.holder.node_id
    request = new_request(time.time(), Ask.HANDOVER, how, holder=before, term=found.term, node=found.node)
    begin = {**seen(overview), **more}
    try:
        unsure = place(to, request)
    except ConsulError as error:
        results = {**plan, **begin, "outcome": "refused", "why": error.why}
        if orders.obstructed(error):
            _connection.refuse(module, "pending", f"refused: {error.why}", **results)
        _connection.fail(module, error, **results)
    if unsure:
        module.warn(unsure)
    told = Follower(to, time.time, lambda _line: None, module.warn).follow(request, not unsure)
    after = _now(to)
    moved = told.outcome in (Outcome.DONE, Outcome.ROLLED_BACK)
    if after is None:  # the lock can't be seen, which tells nothing of it
        after = {"holder": told.request.node if told.outcome is Outcome.DONE else None, "term": None}
    else:
        moved = moved or (after["holder"], after["term"]) != (before, found.term)
    results = {**plan, **_ended(told), **begin, **after, "changed": moved or bool(more.get("changed"))}
    if told.outcome is not Outcome.DONE:
        lost = told.outcome is Outcome.REFUSED and results["holder"] not in (before, None)
        reason = "holder_changed" if lost else results["outcome"]
        _connection.refuse(module, reason, f"{told.outcome.value if told.outcome else 'unknown'}: {told.why}", **results)
    return results


def seen(overview: Overview) -> dict[str, Any]:
    """Who holds the lock in which term, before anything is asked for."""
    found, lock = holder(overview), overview.lock
    name = found.name if found else None
    term = lock.record.term if not isinstance(lock, Unread) and lock.record is not None else None
    return {"previous_holder": name, "previous_term": term, "holder": name, "term": term}


def _ended(told: Told) -> dict[str, Any]:
    """What the request itself tells of its end."""
    request = told.request
    last = max((mark.at for mark in request.marks), default=None)
    return {
        "request": request.id,
        "outcome": _word(told.outcome),
        "why": told.why,
        "phases": status_json.phases(request),
        "duration": None if last is None else round(last - request.issued, 3),
        "gap": None if (without := gap(request)) is None else round(without, 3),
    }


def _word(outcome: Outcome | None) -> str:
    return outcome.value.replace(" ", "_") if outcome is not None else "unknown"


def _now(to: Connection) -> dict[str, Any] | None:
    """Who holds the lock now, in which term; None when that can't be seen."""
    try:
        overview = read_overview(to.consul, to.account_id, 0, to.deadline)
    except ConsulError:
        return None
    if isinstance(overview.lock, Unread):
        return None
    found, record = holder(overview), overview.lock.record
    return {"holder": found.name if found else None, "term": record.term if record else None}


def diff(module: AnsibleModule, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The difference, where it is asked for."""
    return {"diff": {"before": before, "after": after}} if module._diff else {}
