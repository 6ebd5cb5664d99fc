# SPDX-License-Identifier: Apache-2.0
"""What ``/status`` answers: this node's own view as one object. Pure.

Moments are Unix seconds, durations seconds; null is "not known" or "does not apply". Later versions may add fields, and
take none away. docs/metrics.md lists them.
"""

from __future__ import annotations

import platform

from ..core.desk import unsaid
from ..core.handover import expires
from ..core.lease import fence_at, may_sign
from ..core.model import Peer, label, phase
from ..core.promotion import promotion_of
from ..core.ranking import rank
from ..core.readiness import ineligible, paused
from ..core.takeover import counted, guard_time, opening
from .encode import Json
from .guard_state import cannot_fence, guard_state
from .role import active, role, standby
from .switches import drained, pause_left
from .view import View


def status(view: View) -> Json:
    """The whole object."""
    state, now, identity = view.state, view.now, view.state.identity
    return {
        "account": identity.account_id,
        "node": identity.node_id,
        "hostname": identity.hostname,
        "home": identity.home,
        "fingerprint": identity.fingerprint,
        "at": view.wall,
        "uptime": now - state.started,
        "kuutamod_version": identity.kuutamod_version,
        "python_version": platform.python_version(),
        "role": role(state).value or None,
        "state": label(state).value,
        "phase": phase(state).value or None,
        "active": active(state, now).yes,
        "standby": standby(state, now).yes,
        "term_seen": state.term_seen,
        "decision": view.said or None,
        "stopping": state.stop_requested,
        **_readiness(view),
        "lease": _lease(view),
        "neard": _neard(view),
        "guard": _guard(view),
        "session": _session(view),
        "watch": _watch(view),
        "members": [_member(peer, now) for peer in state.peers],
        "fleet_read": None if state.fleet_read is None else view.unix(state.fleet_read),
        "request": _request(view),
        "faults": _faults(view),
    }


def _readiness(view: View) -> Json:
    state, now = view.state, view.now
    found = ineligible(state, now)
    return {
        "eligible": not found,
        "ineligible": [{"code": each.code, "text": each.text, "soft": each.soft} for each in found],
        "priority": state.policy.priority,
        "rank": rank(state, now),
        "promotion": promotion_of(state)[0].value,
        "drained": drained(state),
        "pause": _pause(view),
    }


def _pause(view: View) -> Json | None:
    pause = paused(view.state, view.now)
    if pause is None:
        return None
    left = pause_left(view.state, view.now)
    return {"node": pause.node or None, "until": pause.until, "left": left, "by": pause.by, "reason": pause.reason}


def _lease(view: View) -> Json | None:
    state, now = view.state, view.now
    lease, law = state.lease, state.policy.law
    if lease is None:
        return None
    return {
        "term": lease.term,
        "session": lease.session,
        "since": view.unix(lease.since),
        "held": now - lease.since,
        "proven": may_sign(lease, law, now),
        "proof_age": now - lease.proof,
        "fence_margin": fence_at(lease, law) - now,
        "fence_deadline": law.fence_deadline,
        "doubt": lease.doubt or None,
        "lost": lease.lost,
        "cause": lease.claim.cause.value,
        "why": lease.claim.why,
        "settled": lease.settled,
        "giving_up": None if state.giveup is None else state.giveup.reason,
    }


def _neard(view: View) -> Json | None:
    child, now = view.state.child, view.now
    if child is None:
        return None
    status = child.status
    return {
        "pid": child.pid,
        "role": child.role.value,
        "started": view.unix(child.started),
        "version": view.state.neard_version or None,
        "answered": None if child.answered is None else now - child.answered,
        "identified": child.identified,
        "stranger": child.stranger or None,
        "height": None if status is None else status.height,
        "head_unmoved": None if status is None else now - child.head_changed,
        "head_age": None if status is None else status.head_age,
        "peers": None if status is None else status.peers,
        "protocol": None if status is None else status.protocol or None,
        "latest_protocol": None if status is None else status.latest_protocol or None,
        "synced": child.synced,
        "keyed": child.keyed,
        "shows_key": child.key_live,
        "key_fault": child.key_fault or None,
        "stopping": child.stopping,
        "killed": child.killed,
    }


def _guard(view: View) -> Json:
    state, now, child = view.state, view.now, view.state.child
    silent = child.guard_silent_since if child is not None else None
    armed = child is not None and child.keyed and child.guard_fence > 0
    return {
        "state": guard_state(state, now).value,
        "unanswered": None if silent is None else now - silent,
        "fence_margin": child.guard_fence - now if child is not None and armed else None,
        "cannot_fence": cannot_fence(state, now),
    }


def _session(view: View) -> Json | None:
    session = view.state.session
    if session is None:
        return None
    return {"id": session.id, "renewed": view.now - session.renewed, "registered": session.member, "spent": session.spent}


def _watch(view: View) -> Json | None:
    """The lock as a standby sees it; a holder does not watch."""
    state, now = view.state, view.now
    watch, law = counted(state), state.policy.law
    if watch is None or state.lease is not None:
        return None
    record, chance = watch.view.record, opening(watch, law)
    return {
        "index": watch.view.index,
        "session": watch.view.session,
        "missing": watch.view.missing,
        "released": watch.view.released,
        "node": None if record is None else record.node_id,
        "term": None if record is None else record.term,
        "phase": None if record is None else record.phase,
        "fault": None if record is None else record.fault,
        "reason": None if record is None else record.reason,
        "last_height": None if record is None else record.last_height,
        "successor": None if record is None else record.successor or None,
        "read": now - watch.last_seen,
        "unmoved": now - watch.first_seen,
        "watched": now - watch.since,
        "guard_time": guard_time(watch, law),
        "opens": None if chance is None else max(chance.at - now, 0.0),
    }


def _member(peer: Peer, now: float) -> Json:
    record = peer.record
    return {
        "node": record.node_id,
        "hostname": record.hostname,
        "live": peer.live,
        "eligible": record.eligible,
        "ineligible": list(record.ineligible),
        "state": record.state,
        "phase": record.phase,
        "term": record.term_seen,
        "height": record.height or None,
        "peers": None if record.peers < 0 else record.peers,
        "priority": record.priority,
        "promotion": record.promotion,
        "neard_version": record.neard_version,
        "protocol": record.protocol or None,
        "latest_protocol": record.latest_protocol or None,
        "kuutamod_version": record.kuutamod_version,
        "address": record.address,
        "unchanged": now - peer.seen,
    }


def _request(view: View) -> Json | None:
    """The newest request, with the phases that this node knows of and Consul may not yet."""
    state = view.state
    request = unsaid(state.desk) or state.desk.request
    if request is None:
        return None
    return {
        "id": request.id,
        "ask": request.ask.value,
        "holder": request.holder,
        "term": request.term,
        "node": request.node or None,
        "when": request.when,
        "by": request.by,
        "reason": request.reason,
        "issued": request.issued,
        "expires": request.expires,
        "left": max(expires(state, request) - view.now, 0.0),
        "phases": [{"phase": mark.step.value, "at": mark.at, "note": mark.note} for mark in request.marks],
        "outcome": None if request.outcome is None else request.outcome.value,
        "why": request.why,
    }


def _faults(view: View) -> Json:
    state, faults = view.state, view.state.faults
    left = 0.0 if faults.since is None else max(faults.since + state.policy.hold_off - view.now, 0.0)
    return {
        "memory": state.memory_fault,
        "session": state.session_fault,
        "member": state.member_fault,
        "history": state.history_fault or None,
        "home": state.home_why or None,
        "hold_off": left,
        "retries": faults.retries,
        "start_failures": state.start_failures,
    }
