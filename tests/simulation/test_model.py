# SPDX-License-Identifier: Apache-2.0
"""The model Consul behaves as the real one was measured to; the adapter's tests ask a real one the same questions."""

from __future__ import annotations

import pytest

from kuutamod.consul import transactions
from kuutamod.core.actions import TakeKind
from simulation.clock import HostClock
from simulation.cluster import LOCK, Cluster
from simulation.consul import Refused
from simulation.coverage import Coverage, Seen
from simulation.dice import Dice
from simulation.faults import draw as schedule
from simulation.request import Done, Failed, Link, Reply, Request
from simulation.setup import draw, tight_law
from simulation.timeline import Timeline


class Bench:
    """A cluster, and requests to it."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.coverage = Coverage()
        self.cluster = Cluster(self.timeline, Dice(1, "consul"), self.coverage, lambda: None)
        self.link = Link("a", 1, Dice(1, "link"))

    def session(self, node: str = "a", delay: float = 9.0) -> str:
        return self.cluster.create_session(node, 10.0, delay, "release")

    def do(self, operations: list[transactions.Operation]) -> Refused | None:
        return self.cluster.store.transact(operations)

    def take(self, session: str) -> Refused | None:
        entry = self.cluster.lock_entry()
        if entry is None:
            self.do(transactions.create(LOCK, "free"))
            entry = self.cluster.lock_entry()
        assert entry is not None
        return self.do(transactions.take(TakeKind.FREE, LOCK, session, entry.index, "held"))

    def ask(self, kind: str, run: object = None, locks: str | None = None, session: str | None = None) -> Reply | None:
        """The answer within a second, or None."""
        got: list[Request] = []
        made = Request(kind, self.link, run or Done, Done, got.append, self.timeline.now + 1.0, locks, session)  # type: ignore[arg-type]
        self.cluster.send(made)
        while self.timeline.step(made.deadline + 0.01):
            pass
        return got[0].reply if got else None


def test_a_heartbeat_moves_the_index_and_needs_the_lock() -> None:
    bench = Bench()
    session = bench.session()
    assert bench.take(session) is None
    before = bench.cluster.lock_entry()
    assert bench.do(transactions.heartbeat(LOCK, session, "1")) is None
    after = bench.cluster.lock_entry()
    assert before is not None
    assert after is not None
    assert after.index > before.index
    assert after.session == session
    assert bench.do(transactions.heartbeat(LOCK, bench.session("b"), "2")) is Refused.NOT_OURS
    assert bench.cluster.lock_entry() == after


def test_a_steal_is_all_or_nothing() -> None:
    bench = Bench()
    first, second = bench.session(), bench.session("b")
    bench.take(first)
    seen = bench.cluster.lock_entry()
    assert seen is not None
    bench.do(transactions.heartbeat(LOCK, first, "1"))
    assert bench.do(transactions.take(TakeKind.STEAL, LOCK, second, seen.index, "mine")) is Refused.MOVED
    now = bench.cluster.lock_entry()
    assert now is not None
    assert bench.do(transactions.take(TakeKind.STEAL, LOCK, second, now.index, "mine")) is None
    assert bench.do(transactions.heartbeat(LOCK, first, "2")) is Refused.NOT_OURS


def test_an_ended_session_frees_its_keys_and_arms_their_delay() -> None:
    bench = Bench()
    session = bench.session(delay=75.0)
    bench.take(session)
    bench.cluster.end_session(session)
    entry = bench.cluster.lock_entry()
    assert entry is not None
    assert entry.session is None
    assert bench.cluster.store.delayed(LOCK, 59.9)
    assert not bench.cluster.store.delayed(LOCK, 60.1), "clamped to 60 s"
    assert bench.take(session) is Refused.SESSION_GONE


def test_delete_and_unlock_arm_no_delay() -> None:
    bench = Bench()
    session = bench.session()
    bench.take(session)
    bench.do(transactions.release(LOCK, session, "released"))
    assert not bench.cluster.store.delays
    bench.take(session)
    bench.cluster.store.delete(LOCK)
    assert not bench.cluster.store.delays
    assert bench.cluster.renew(session)


def test_a_lock_waits_for_the_delay_and_a_heartbeat_does_not() -> None:
    bench = Bench()
    bench.cluster.store.delays[LOCK] = 100.0
    assert bench.ask("take", locks=LOCK) is Refused.DELAYED
    assert bench.coverage.counts[Seen.DELAY_REFUSED_TAKE] == 1
    assert bench.ask("heartbeat") == Done()


def test_a_session_ends_between_once_and_twice_its_ttl_and_later_after_a_new_leader() -> None:
    ended: list[float] = []
    for _unused in range(40):
        bench = Bench()
        bench.cluster._dice = Dice(len(ended), "consul")
        session = bench.session()
        while session in bench.cluster.store.data.sessions:
            assert bench.timeline.step(100.0)
        ended.append(bench.timeline.now)
    assert 10.0 <= min(ended) < 15.0
    assert max(ended) == pytest.approx(20.0)
    bench = Bench()
    session = bench.session()
    bench.timeline.step(9.0)
    bench.cluster.lose_leader()
    bench.cluster.elect()
    bench.timeline.step(28.9)
    assert session in bench.cluster.store.data.sessions


def test_a_deposed_leader_renews_anything_and_writes_nothing() -> None:
    bench = Bench()
    bench.link.deposed_until = 10.0
    assert bench.ask("renew", session="long-gone") == Done()
    assert isinstance(bench.ask("heartbeat"), Failed)
    assert isinstance(bench.ask("read"), Failed)


def test_a_write_may_be_applied_though_its_answer_is_lost() -> None:
    bench = Bench()
    bench.link.loss_down.append(1.0)
    applied: list[int] = []

    def run() -> Reply:
        applied.append(1)
        return Done()

    assert bench.ask("heartbeat", run) is None
    assert applied == [1]


def test_a_restored_snapshot_brings_old_keys_sessions_and_indexes_back() -> None:
    bench = Bench()
    session = bench.session()
    bench.take(session)
    bench.cluster.take_snapshot()
    before = bench.cluster.lock_entry()
    bench.cluster.end_session(session)
    bench.cluster.restore(bench.cluster.snapshots[-1][1])
    assert bench.cluster.lock_entry() == before
    assert session in bench.cluster.store.data.sessions
    assert not bench.cluster.store.delays


def test_a_clock_with_a_wrong_rate_and_one_that_stops_in_suspend() -> None:
    clock = HostClock(1.01, 500.0)
    assert clock.local(100.0) == pytest.approx(601.0)
    assert clock.true(601.0) == pytest.approx(100.0)
    clock.suspend(100.0)
    assert clock.local(150.0) == pytest.approx(651.5)
    wrong = HostClock(1.0, 0.0, stops_in_suspend=True)
    wrong.suspend(10.0)
    assert wrong.local(30.0) == 10.0
    wrong.resume(30.0)
    assert wrong.local(31.0) == pytest.approx(11.0)


def test_every_drawn_law_holds_and_hardly_more() -> None:
    for seed in range(300):
        law = tight_law(Dice(seed, "law"))
        assert not law.violations()
        assert law.guard_time * (1 - law.clock_rate_error) - law.stopped_after() < 0.001


def test_fleets_and_schedules_differ_and_repeat() -> None:
    assert draw(5) == draw(5)
    assert schedule(draw(5)) == schedule(draw(5))
    assert len({draw(seed).nodes for seed in range(50)}) == 50
    assert {len(draw(seed).nodes) for seed in range(400)} == {2, 3, 4, 5, 6, 7}
    kinds = {fault.kind for seed in range(400) for fault in schedule(draw(seed))}
    assert len(kinds) >= 38
