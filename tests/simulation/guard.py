# SPDX-License-Identifier: Apache-2.0
"""The guard of one host: the production rules (``kuutamod.guard.rules``) in the order of the production loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kuutamod.consul import transactions
from kuutamod.core.actions import ReleasePlan
from kuutamod.guard import rules
from kuutamod.guard.release import PATIENCE, PAUSE
from kuutamod.guard.rules import Cause, GuardView

from .cluster import LOCK
from .consul import LOST, Refused
from .coverage import Seen
from .neard import Neard
from .request import Done, Reply, Request

if TYPE_CHECKING:
    from .host import Host
    from .supervisor import Supervisor


class Guard:
    """One neard from its start to the proof of its death."""

    def __init__(self, host: Host, supervisor: Supervisor, neard: Neard) -> None:
        self.host = host
        self.supervisor = supervisor
        self.neard = neard
        self.view = GuardView()
        self.plan: ReleasePlan | None = None
        self.paused = 0
        self.dead = False
        self.reported = False
        self._cause: Cause | None = None
        self._why = ""
        self._heard: list[Callable[[], None]] = []
        self._timer = False
        self._give_up_at = 0.0
        self._asking = False

    @property
    def running(self) -> bool:
        """Is it scheduled?"""
        return not self.dead and not self.paused and self.host.awake

    def tell(self, message: Callable[[], None]) -> None:
        """Something arrives at its end of the pair."""
        self._heard.append(message)
        self.look()

    def look(self) -> None:
        """One turn of its loop: what is due is due before anything the supervisor says."""
        if not self.running or self.reported:
            return
        self._kill_if_due()
        if self.neard.dead:
            self._bury()
            return
        heard, self._heard = self._heard, []
        for message in heard:
            if not self.view.orphaned:
                message()
        if heard:
            self._kill_if_due()
        self._set_timer()

    def _kill_if_due(self) -> None:
        cause = rules.must_kill(self.view, self.host.local())
        if cause is None:
            return
        if self._cause in (None, Cause.ORDERED):
            self._cause = cause
            if cause is Cause.FENCE and not self.neard.dead:
                self.host.world.cover(Seen.FENCED_BY_GUARD)
                self.host.note("guard: fence: {}", cause.value)
            elif cause is Cause.ORPHANED and not self.neard.dead:
                self.host.world.cover(Seen.ORPHAN_KILLED)
                self.host.note("guard: {}", cause.value)
        self.view = replace(self.view, killed=True)
        if self.host.world.switches.polite_fence:
            self.host.terminate(self.neard, 30.0)
        else:
            self.host.sigkill(self.neard)

    def _set_timer(self) -> None:
        ends = [end for end in (self.view.fence_at, self.view.stop_by) if end is not None]
        if self._timer or not ends or self.view.killed:
            return
        self._timer = True
        at = self.host.clock.true(min(ends)) + self.host.lateness()
        self.host.world.timeline.at(at + 1e-6, self._ring)

    def _ring(self) -> None:
        self._timer = False
        self.look()

    # --- what the supervisor says ---

    def arm(self, fence_at: float, plan: ReleasePlan) -> None:
        """Kill at ``fence_at`` (local seconds), never earlier than told before."""
        newest = max(fence_at, self.view.fence_at or fence_at)
        self.view = replace(self.view, fence_at=newest)
        self.plan = plan

    def extend(self, fence_at: float | None, plan: ReleasePlan | None) -> None:
        """A newer deadline, or only a sign of life."""
        if fence_at is not None and plan is not None and self.view.fence_at is not None:
            self.arm(fence_at, plan)
        self.supervisor.guard_answers(self.neard.serial)

    def place(self, fence_at: float, plan: ReleasePlan) -> None:
        """Arm, place the key, SIGHUP."""
        host, neard = self.host, self.neard
        if not rules.may_place(self.view, host.local(), fence_at):
            self.supervisor.key_answer(neard.serial, "the lease's deadline has passed")
            return
        if host.world.timeline.now < neard.hup_at:
            host.world.cover(Seen.HUP_TOO_EARLY)
            self.supervisor.key_answer(neard.serial, "neard has not installed its SIGHUP handler yet")
            return
        self.arm(fence_at, plan)
        host.place_key(neard, plan)
        host.hup(neard)
        self.supervisor.key_answer(neard.serial, "")

    def unload(self) -> None:
        """Take the key away, SIGHUP."""
        host, neard = self.host, self.neard
        self.view = replace(self.view, unloaded=True)
        if host.world.timeline.now < neard.hup_at:
            self.supervisor.key_answer(neard.serial, "neard has not installed its SIGHUP handler yet")
            return
        host.key_link = False
        host.hup(neard)
        self.supervisor.key_answer(neard.serial, "")

    def stop(self, grace: float, why: str) -> None:
        """SIGTERM, and SIGKILL after ``grace`` seconds."""
        self._cause, self._why = Cause.ORDERED, why
        self.host.terminate(self.neard)
        self.view = replace(self.view, stop_by=self.host.local() + grace)

    def kill(self, why: str) -> None:
        """SIGKILL."""
        self._why = why
        self.view = replace(self.view, kill_ordered=True)

    def lose_supervisor(self) -> None:
        """The other end of the pair is closed."""
        self.tell(self._orphan)

    def _orphan(self) -> None:
        self.view = replace(self.view, orphaned=True)

    # --- the end ---

    def _bury(self) -> None:
        self.reported = True
        host = self.host
        host.key_link = False
        cause = self._cause or Cause.ITSELF
        why = f"neard pid {self.neard.pid} ended: {self._why or cause.value}"
        if self.supervisor.dead:
            cause = Cause.ORPHANED
        handing_back = cause in (Cause.FENCE, Cause.ORPHANED)
        self.supervisor.child_ended(self.neard.serial, why, host.local(), handing_back)
        if rules.releases(cause, self.plan is not None):
            self._give_up_at = host.local() + PATIENCE
            self._release()
        else:
            self.end()

    def _release(self) -> None:
        if not self.running or self._asking:
            return  # `resume` comes back to it
        plan = self.plan
        assert plan is not None
        if self.host.local() >= self._give_up_at:
            self.end()
            return
        operations = transactions.release(LOCK, plan.session, plan.record.to_json())

        def run() -> Reply:
            done = self.host.world.judge.release(self.host, plan.record, operations)
            return done or Done()

        deadline = self.host.world.timeline.now + self.host.clock.span(self.host.law.request_deadline)
        self._asking = True
        request = Request("release", self.host.link, run, lambda _unused: None, self._answered, deadline)
        self.host.world.cluster.send(request)

    def _answered(self, request: Request) -> None:
        if request.closed or self.dead:
            return
        if not self.running:
            self.host.world.timeline.after(0.1, self._answered, request)
            return
        request.closed = True
        self._asking = False
        reply = request.reply
        if isinstance(reply, Done) or (isinstance(reply, Refused) and reply in LOST):
            if isinstance(reply, Done):
                self.host.world.cover(Seen.RELEASED_BY_GUARD)
                self.host.note("guard: released the lock")
            if self.supervisor.dead and self.plan is not None:
                self.host.end_session_quietly(self.plan.session)
            self.end()
            return
        self.host.world.timeline.after(self.host.clock.span(PAUSE), self._release)

    def resume(self) -> None:
        """It is scheduled again."""
        if self.reported and not self.dead:
            self._release()
        else:
            self.look()

    def leap(self, seconds: float) -> None:
        """Quiet time has passed."""
        if self.view.fence_at is not None:
            self.view = replace(self.view, fence_at=self.view.fence_at + seconds)

    def end(self) -> None:
        """The process ends."""
        if not self.dead:
            self.dead = True
            self.host.guard_gone(self)
