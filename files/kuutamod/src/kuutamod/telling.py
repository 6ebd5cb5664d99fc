# SPDX-License-Identifier: Apache-2.0
"""What an operator reads in the log: one line a decision, and what happened that no decision tells."""

from __future__ import annotations

import math

from .core import actions as ac
from .core import events as ev
from .core.model import NodeState, label, phase
from .log import REPEAT_WINDOW, Log
from .notify import Notifier


class Teller:
    """``said`` is the sentence of the last decision.

    A node that comes back to what it has told a moment ago is held back by the log as a repeat. It tells it once the repeat
    window has passed, so that the last line is true of a node that stays as it is.
    """

    def __init__(self, log: Log, notifier: Notifier) -> None:
        self._log = log
        self._notifier = notifier
        self._serious = False
        self._owed_at = math.inf
        self.said = ""

    def decided(self, state: NodeState, decision: ac.Decision, now: float) -> None:
        """A decision: what, why, when the next is due; told when the sentence is a new one. ``now`` in boottime seconds."""
        if decision.why != self.said:
            self.said = decision.why
            urgent = any(isinstance(a, ac.KillChild | ac.GiveUp) for a in decision.actions)
            self._serious = urgent or decision.why.startswith("cannot fence")
            self._notifier.status(f"{label(state).value}: {decision.why}")
        elif now < self._owed_at:
            return
        say = self._log.warning if self._serious else self._log.info
        told = say(decision.why, **_fields(state), next=f"{decision.wake_at - now:.1f}s")
        self._owed_at = math.inf if told else now + REPEAT_WINDOW

    def heard(self, before: NodeState, event: ev.Event, state: NodeState) -> None:
        """What an operator should read though no decision follows from it at once."""
        if said := _information(before, event):
            self._log.info(said, **_fields(state))
        if why := _about_the_lock(event) or _about_the_rest(before, event, state):
            self._log.warning(why, **_fields(state))


def _information(before: NodeState, event: ev.Event) -> str:
    match event:
        case ev.TakeAnswered(outcome=ev.Outcome.REFUSED):
            return f"another node was faster, or the lock has moved: {event.why}"
        case ev.ReleaseAnswered(outcome=ev.Outcome.APPLIED):
            return f"released the lock: {before.ghost.reason if before.ghost else ''}"
        case ev.RequestAnswered(outcome=ev.Outcome.APPLIED) if event.request.outcome is not None:
            return f"request {event.request.id} {event.request.outcome.value}: {event.request.why}"
    return ""


def _about_the_lock(event: ev.Event) -> str:
    match event:
        case ev.HeartbeatAnswered(outcome=ev.Outcome.UNKNOWN):
            return f"heartbeat without an answer, the fence deadline runs: {event.why}"
        case ev.HeartbeatAnswered(outcome=ev.Outcome.REFUSED):
            return f"heartbeat refused: {event.why}"
        case ev.TakeAnswered(outcome=ev.Outcome.UNKNOWN):
            return f"taking the lock has an unknown outcome, reading it again: {event.why}"
        case ev.KeyCreated():
            return f"the lock's key was missing; writing it anew, held by nobody: {event.outcome.value} {event.why}"
        case ev.ReleaseAnswered(outcome=ev.Outcome.REFUSED | ev.Outcome.UNKNOWN):
            return f"release {event.outcome.value}: {event.why}"
    return ""


def _about_the_rest(before: NodeState, event: ev.Event, state: NodeState) -> str:
    match event:
        case ev.ChildExited() | ev.ChildStartFailed() | ev.KeyRefused() | ev.KeyUnloaded():
            return event.why
        case ev.SessionGone():
            ended = state.stop_requested is not None or (before.session is not None and before.session.spent)
            return "" if ended else f"session {event.session} is gone"
        case ev.SessionFailed() | ev.MemberRefused() | ev.FleetFailed() | ev.LockReadFailed():
            return event.why
        case ev.TermRemembered() if event.fault:
            return f"the term can't be kept on disk: {event.fault}"
        case ev.HistoryWritten() if event.fault:
            return f"the term's history can't be written, trying again: {event.fault}"
        case ev.RequestAnswered() if event.why and before.request_refused == state.request_refused == state.desk.index:
            # Once is no news: somebody else was quicker, and the request as it is by now is on its way.
            return f"the answer to request {event.request.id} is not taken: {event.why}"
        case ev.HookAnswered() if event.veto:
            return f"a hook refuses the promotion: {event.veto}"
    return ""


def _fields(state: NodeState) -> dict[str, object]:
    lease = state.lease
    fields: dict[str, object] = {"state": label(state).value, "term": lease.term if lease else state.term_seen}
    if phase(state).value:
        fields["phase"] = phase(state).value
    return fields
