# SPDX-License-Identifier: Apache-2.0
"""The Consul servers: a leader that comes and goes, sessions that expire, requests that get lost, late and reordered."""

from __future__ import annotations

from collections.abc import Callable

from kuutamod.core.protocol import lock_key

from .consul import Booking, Data, Entry, Refused, Store
from .coverage import Coverage, Seen
from .dice import Dice
from .request import Done, Failed, Reply, Request
from .setup import ACCOUNT
from .timeline import Timeline

LOCK = lock_key(ACCOUNT)
WATCH_DEADLINE = 5.0 * 17 / 16 + 2.0
"""Seconds; how long a watcher may be deaf on a frozen server (the daemon's own deadline)."""
HELD = 0.8
"""How many of the requests that meet no leader wait for the next one, and are then applied."""


class Cluster:
    """Three servers seen from outside. ``moved`` is called when the lock's key has changed."""

    def __init__(self, timeline: Timeline, dice: Dice, coverage: Coverage, moved: Callable[[], None]) -> None:
        self.timeline = timeline
        self.store = Store(coverage, self._changed)
        self.snapshots: list[tuple[float, Data]] = []
        """When each was taken, and what of."""
        self._dice = dice
        self._coverage = coverage
        self._moved = moved
        self._missing_leader = 0
        self._held: list[Request] = []
        self._waiters: list[tuple[Request, int]] = []
        self._expires: dict[str, float] = {}
        self._early: set[str] = set()
        self._sessions = 0
        self._frozen: Data | None = None
        self._lagging: list[Data] = []

    # --- requests ---

    def send(self, request: Request) -> None:
        """The request leaves its host."""
        link = request.link
        if link.agent_down and link.route == 0:
            self._coverage.add(Seen.REFUSED_AT_ONCE)
            link.route = (link.route + 1) % link.routes
            self.timeline.after(0.001, request.answer, Failed("connection refused"))
        elif link.loses(link.loss_up):
            self._coverage.add(Seen.REQUEST_LOST)
            self._give_up(request)
        else:
            self.timeline.after(link.latency(), self._receive, request)

    def _give_up(self, request: Request) -> None:
        link = request.link
        link.route = (link.route + 1) % link.routes
        self.timeline.at(request.deadline, request.expire)

    def _receive(self, request: Request) -> None:
        link = request.link
        if self._missing_leader:
            self._without_leader(request)
        elif link.deposed_until > self.timeline.now:
            self._answer(request, self._deposed(request))
        elif link.denied:
            self._coverage.add(Seen.DENIED)
            self._answer(request, Failed("permission denied"))
        elif request.locks is None:
            self._apply(request)
        elif self.store.delayed(request.locks, self.timeline.now):
            self._refuse_delayed(request)
        else:
            slow = 0.4 if self._dice.chance(0.15) else 0.003
            self.timeline.after(self._dice.between(0.001, slow), self._apply_checked, request)

    def _refuse_delayed(self, request: Request) -> None:
        seen = Seen.DELAY_REFUSED_TAKE if request.locks == LOCK else Seen.DELAY_REFUSED_MEMBER
        self._coverage.add(seen)
        self._answer(request, Refused.DELAYED)

    def _apply_checked(self, request: Request) -> None:
        """The leader has looked at the lock delay before; whatever was armed since does not count."""
        if self._missing_leader:
            self._without_leader(request)
            return
        armed = request.locks is not None and self.store.delayed(request.locks, self.timeline.now)
        if armed:
            self._coverage.add(Seen.DELAY_RACED)
        self._apply(request)

    def _apply(self, request: Request) -> Reply:
        late = request.closed or self.timeline.now > request.deadline
        reply = request.run()
        if late:
            self._note_late(request, reply)
        if request.kind == "watch" and isinstance(reply, Done) and reply.value is None:
            return reply  # it waits for a change
        self._answer(request, reply)
        return reply

    def _note_late(self, request: Request, reply: Reply) -> None:
        if request.writes and isinstance(reply, Done):
            self._coverage.add(Seen.REQUEST_LATE_APPLIED)
        elif request.kind == "heartbeat":
            self._coverage.add(Seen.HEARTBEAT_REFUSED_LATE)
        elif request.kind == "release":
            self._coverage.add(Seen.RELEASE_REFUSED_LATE)

    def _answer(self, request: Request, reply: Reply) -> None:
        link = request.link
        if link.loses(link.loss_down):
            if request.writes and isinstance(reply, Done):
                self._coverage.add(Seen.ANSWER_LOST)
            self._give_up(request)
            return
        at = self.timeline.now + link.latency() + sum(link.slow_answers)
        if at > request.deadline:
            self._coverage.add(Seen.ANSWER_LATE)
            self.timeline.at(request.deadline, request.expire)
        self.timeline.at(at, request.answer, reply)

    def _without_leader(self, request: Request) -> None:
        if self._dice.chance(HELD if request.writes else 0.3):
            self._held.append(request)
            self.timeline.at(request.deadline, request.expire)
            return
        self._coverage.add(Seen.REQUEST_DIED_WITH_LEADER)
        if self._dice.chance(0.5):
            self._answer(request, Failed("no cluster leader"))
        else:
            self._give_up(request)

    def _deposed(self, request: Request) -> Reply:
        """A server that leads no more and does not know it yet: renewals are answered, writes and checked reads are not."""
        if request.kind == "renew":
            self._coverage.add(Seen.DEPOSED_RENEWED)
            if request.session not in self.store.data.sessions:
                self._coverage.add(Seen.DEPOSED_RENEWED_DEAD)
            return Done()
        if request.kind == "default-read" and self._frozen is not None:
            return Done(self._frozen.keys.get(LOCK))
        self._coverage.add(Seen.DEPOSED_REFUSED_WRITE if request.writes else Seen.DEPOSED_REFUSED_READ)
        return Failed("leadership lost")

    # --- the blocking query ---

    def wait(self, request: Request, index: int, stale: bool = False) -> Reply:
        """A query for what differs from ``index``: answered now, or kept until the lock changes."""
        entry = self.follower_entry() if stale else self.lock_entry()
        if index == 0 or entry is None or entry.index != index:
            return Done((entry,))
        self._waiters.append((request, index))
        return Done(None)

    def _changed(self, key: str) -> None:
        if key != LOCK:
            return
        self._moved()
        if not self._waiters:
            return
        entry = self.lock_entry()
        waiters, self._waiters = self._waiters, []
        for request, _unused in waiters:
            # A wait that times out unchanged is asked again; what is left of the present one is anybody's guess.
            request.deadline = self.timeline.now + self._dice.between(2.0, WATCH_DEADLINE)
            self._answer(request, Done((entry,)))

    def _drop_waiters(self, frozen: bool) -> None:
        waiters, self._waiters = self._waiters, []
        for request, _unused in waiters:
            request.deadline = self.timeline.now + self._dice.between(2.0, WATCH_DEADLINE)
            if frozen or self._dice.chance(0.3):
                self._give_up(request)
            else:
                self._answer(request, Failed("EOF"))

    # --- leaders ---

    def lose_leader(self, frozen: bool = False) -> None:
        """No leader any more, until ``elect``; losses may overlap."""
        self._coverage.add(Seen.LEADER_FROZEN if frozen else Seen.LEADER_LOST)
        if not self._missing_leader:
            self._frozen = self.store.data.copy() if frozen else None
            self._drop_waiters(frozen)
        self._missing_leader += 1

    def elect(self, new: bool = True) -> None:
        """A leader is back. A new one restarts the session timers at their full length."""
        self._missing_leader -= 1
        if self._missing_leader:
            return
        if new:
            for session in self._expires:
                booking = self.store.data.sessions.get(session)
                if booking is not None:
                    self._coverage.add(Seen.SESSION_TIMERS_RESTARTED)
                    self._early.discard(session)
                    self._expires[session] = self.timeline.now + 2 * booking.ttl
        held, self._held = self._held, []
        for request in held:
            if self._dice.chance(HELD):
                self._coverage.add(Seen.REQUEST_HELD_OVER_ELECTION)
                self.timeline.after(self._dice.between(0.0, 0.2), self._receive, request)

    @property
    def leads(self) -> bool:
        """Is there a leader?"""
        return not self._missing_leader

    def restart_from_snapshot(self) -> None:
        """All servers come back: those that replay their log arm old delays anew, those with a snapshot forget them."""
        now = self.timeline.now
        running = [key for key, until in self.store.delays.items() if until > now]
        if self._dice.chance(0.7):
            self.store.delays.clear()
            if running:
                self._coverage.add(Seen.DELAY_LOST)
        else:
            for key in self.store.delays:
                self._coverage.add(Seen.DELAY_REPLAYED)
                self.store.delays[key] = now + self._dice.between(1.0, 9.0)

    # --- sessions ---

    def create_session(self, node: str, ttl: float, delay: float, behavior: str) -> str:
        """A new session; its name says whose it is."""
        self._sessions += 1
        session = f"{node}{self._sessions}"
        self.store.data.sessions[session] = Booking(session, node, ttl, delay, behavior)
        self.store.data.index += 1
        self._arm(session, ttl)
        self.timeline.at(self._expires[session], self._expire, session)
        return session

    def renew(self, session: str) -> bool:
        """Restart the timer; False when the leader does not know the session."""
        booking = self.store.data.sessions.get(session)
        if booking is None:
            return False
        self._arm(session, booking.ttl)
        return True

    def _arm(self, session: str, ttl: float) -> None:
        factor = 2.0 if self._dice.chance(0.6) else self._dice.between(1.0, 2.0)
        (self._early.add if factor < 2.0 else self._early.discard)(session)
        self._expires[session] = self.timeline.now + factor * ttl

    def _expire(self, session: str) -> None:
        booking = self.store.data.sessions.get(session)
        if booking is None:
            self._expires.pop(session, None)
            return
        now, due = self.timeline.now, self._expires[session]
        if self._missing_leader:
            due = now + 1.0
        if now < due - 1e-9:
            self.timeline.at(due, self._expire, session)
            return
        self._coverage.add(Seen.SESSION_EXPIRED_EARLY if session in self._early else Seen.SESSION_EXPIRED_LATE)
        self.end_session(session)

    def end_session(self, session: str) -> None:
        """The session ends now, whoever ends it."""
        self._expires.pop(session, None)
        self.store.end_session(session, self.timeline.now)

    def sessions_of(self, node: str) -> list[str]:
        """The sessions booked on a node's name."""
        return [booking.id for booking in self.store.data.sessions.values() if booking.node == node]

    def restore(self, data: Data) -> None:
        """An operator restores a snapshot; the servers start with it, sessions get new timers."""
        self.store.restore(data)
        for session in data.sessions:
            known = session in self._expires
            self._expires[session] = self.timeline.now + 2 * data.sessions[session].ttl
            if not known:
                self.timeline.at(self._expires[session], self._expire, session)

    def take_snapshot(self) -> None:
        """Keep what the store holds now, for an operator's later restore."""
        self.snapshots = [*self.snapshots[-7:], (self.timeline.now, self.store.data.copy())]

    def lag(self) -> Callable[[], None]:
        """A follower hears nothing more; the call lets it catch up."""
        data = self.store.data.copy()
        self._lagging.append(data)
        return lambda: self._lagging.remove(data)

    def follower_entry(self) -> Entry | None:
        """The lock's key as a follower has it."""
        return self._lagging[0].keys.get(LOCK) if self._lagging else self.lock_entry()

    def lock_entry(self) -> Entry | None:
        """The lock's key."""
        return self.store.data.keys.get(LOCK)

    def leap(self, seconds: float) -> None:
        """Time that nothing happened in has passed."""
        for session in self._expires:
            self._expires[session] += seconds
