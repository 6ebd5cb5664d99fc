# SPDX-License-Identifier: Apache-2.0
"""Runs the hooks beside the supervisor's loop: one event at a time, one executable at a time, each event by a deadline.

Nothing here can hold the loop up. Notifications wait in a bounded queue, whose oldest goes when it is full. A question
(pre-promote) is never dropped: it overtakes what is waiting, and what is running has to end soon.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..deadline import Lane, Overrun
from ..log import Log
from .call import GO, HookCall, HookEvent, HookVerdict
from .directory import HookDirectoryFault, Listing, Skipped, survey
from .orphans import Orphans
from .process import REAP_DEADLINE, HookProcess, Starter

CAPACITY = 32
"""Notifications that may wait."""

OVERTAKEN = 1.0
"""Seconds that a running event has left when a question comes."""

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""

LOOK_FOR_ORPHANS = 10.0
"""Seconds between two looks for what hooks have left behind."""
LOOK_DEADLINE = 5.0


@dataclass(eq=False)
class _Job:
    """One event on its way. ``verdict`` None: nobody waits for an answer. ``end``: on the loop's clock, once it runs."""

    call: HookCall
    verdict: asyncio.Future[HookVerdict] | None = None
    limit: asyncio.Timeout | None = None
    end: float = 0.0
    grace: float = GRACE
    why_cut: str = ""
    hook: HookProcess | None = None
    left: list[Path] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def answer(self, verdict: HookVerdict) -> None:
        """Give whoever waits the answer, unless he has one or has gone."""
        if self.verdict is not None and not self.verdict.done():
            self.verdict.set_result(verdict)

    def cut(self, end: float, why: str) -> None:
        """Let it end no later than ``end``, and then without a grace."""
        if end < self.end:
            self.end, self.grace, self.why_cut = end, 0.0, why
            if self.limit is not None:
                with contextlib.suppress(RuntimeError):  # it is ending already
                    self.limit.reschedule(end)


class HookRunner:
    """The hooks of one node; see the module. Use it on one event loop."""

    def __init__(
        self,
        directory: Path | None,
        deadline: float,
        log: Log,
        environment: Mapping[str, str],
        others: Callable[[], Collection[int]] = tuple,
        *,
        capacity: int = CAPACITY,
    ) -> None:
        """``directory`` None: there are no hooks. ``deadline``: seconds for all hooks of one event together.

        ``environment``: the supervisor's own, of which the hooks get PATH, HOME and LANG. ``others``: the pids of children
        that are no hooks.
        """
        self._directory = directory
        self._deadline = deadline
        self._log = log
        self._environment = environment
        self._others = others
        self._capacity = capacity
        self._waiting: collections.deque[_Job] = collections.deque()
        self._questions: collections.deque[_Job] = collections.deque()
        self._running: _Job | None = None
        self._worker: asyncio.Task[None] | None = None
        self._collector: asyncio.Task[None] | None = None
        self._reapers: set[asyncio.Task[None]] = set()
        self._lane = Lane("hook-directory")
        self._starter = Starter()
        self._told: set[Skipped] = set()
        self._closing = False

    def notify(self, call: HookCall) -> None:
        """Let the hooks know; returns at once. :raises ValueError: for pre-promote, which is a question."""
        if call.event is HookEvent.PRE_PROMOTE:
            raise ValueError("pre-promote has to be asked")
        if self._directory is None:
            return
        if self._closing:
            self._log.info("hooks are not told any more, kuutamod is stopping", event=call.event, term=call.term)
            return
        if len(self._waiting) >= self._capacity:
            lost = self._waiting.popleft().call
            self._log.warning("hooks are too slow, the oldest event is dropped", event=lost.event, term=lost.term)
        self._waiting.append(_Job(call))
        self._work()

    async def ask(self, call: HookCall) -> HookVerdict:
        """What the hooks say: go on when all exit with 0. It takes ``deadline`` seconds and some two more at the most."""
        if self._directory is None:
            return GO
        if self._closing:
            return HookVerdict(False, "kuutamod is stopping, hooks are not asked any more")
        loop = asyncio.get_running_loop()
        job = _Job(call, loop.create_future())
        assert job.verdict is not None
        self._questions.append(job)
        if self._running is not None and self._running.verdict is None:
            self._running.cut(loop.time() + OVERTAKEN, f"{call.event.value} came")
        self._work()
        try:
            return await job.verdict
        except asyncio.CancelledError:
            with contextlib.suppress(ValueError):  # it is running
                self._questions.remove(job)
            job.cut(loop.time(), "nobody waits for the answer any more")
            raise

    async def close(self, deadline: float) -> None:
        """End: what waits may still run for ``deadline`` seconds, then it is dropped and what runs is killed."""
        self._closing = True
        if self._worker is not None and not self._worker.done():
            await asyncio.wait({self._worker}, timeout=deadline)
        for job in self._waiting:
            self._log.warning("an event did not reach the hooks before the end", event=job.call.event)
        self._drop()
        if self._running is not None and self._worker is not None:
            self._running.cut(asyncio.get_running_loop().time(), "kuutamod is stopping")
            await asyncio.wait({self._worker}, timeout=GRACE + 2 * REAP_DEADLINE)
        if self._reapers:
            await asyncio.wait(self._reapers, timeout=REAP_DEADLINE)
        self._lane.abandon()
        self._starter.close()

    def end(self) -> None:
        """End at once, without waiting: what waits is dropped, what runs is killed."""
        self._closing = True
        self._drop()
        if self._running is not None:
            self._running.cut(asyncio.get_running_loop().time(), "kuutamod is stopping")
            if self._running.hook is not None:
                self._running.hook.signal(signal.SIGKILL)
        self._lane.abandon()
        self._starter.close()

    def _drop(self) -> None:
        """Nothing new is begun from here on."""
        if self._collector is not None:
            self._collector.cancel()
        self._waiting.clear()
        for question in self._questions:
            question.answer(HookVerdict(False, "kuutamod is stopping"))
        self._questions.clear()

    # --- one event after the other ---

    def _work(self) -> None:
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._serve_all())
        if self._collector is None:
            self._collector = asyncio.get_running_loop().create_task(self._collect_orphans())

    async def _serve_all(self) -> None:
        while self._questions or self._waiting:
            job = self._running = (self._questions or self._waiting).popleft()
            try:
                await self._serve(job)
            except Exception as error:  # a fault in here must be seen, and must not end more than this event
                self._log.error("hooks failed by a fault in kuutamod", why=f"{type(error).__name__}: {error}")
                job.answer(HookVerdict(False, f"hooks could not be asked: {error}"))
            finally:
                self._running = None

    async def _serve(self, job: _Job) -> None:
        """One event: all hooks, or until the deadline, or until one says no to a question."""
        job.end = asyncio.get_running_loop().time() + self._deadline
        try:
            async with asyncio.timeout_at(job.end) as job.limit:
                await self._run_all(job)
        except TimeoutError:
            self._late(job)
        finally:
            await self._end(job)
        job.answer(GO)
        if job.done or job.failed:
            say = self._log.warning if job.failed else self._log.info
            say(
                "hooks failed" if job.failed else "hooks were called",
                event=job.call.event,
                term=job.call.term,
                well=" ".join(job.done) or None,
                why="; ".join(job.failed) or None,
                not_called=" ".join(path.name for path in job.left) or None,
            )

    async def _run_all(self, job: _Job) -> None:
        try:
            listing = await self._list()
        except (HookDirectoryFault, Overrun) as error:
            self._failed(job, f"hooks in {self._directory} can't be called: {error}")
            return
        for fault in listing.faulty:
            self._failed(job, f"a hook is not called: {fault}")
        job.left = list(listing.hooks)
        while job.left and not (job.verdict is not None and job.verdict.done()):
            path = job.left[0]
            why = await self._run(job, path)
            job.left.pop(0)
            if why is None:
                job.done.append(path.name)
            else:
                self._failed(job, why)

    async def _run(self, job: _Job, path: Path) -> str | None:
        """One hook to its end; what was wrong with it."""
        argv, environment = job.call.argv(path), job.call.environment(self._environment)
        try:
            job.hook = await self._starter.start(argv, environment, self._says(path), self._deadline)
        except (OSError, Overrun) as error:
            return f"hook {path} can't be started: {error}"
        code = await asyncio.shield(job.hook.ended)
        last = _quoted(job.hook)
        await self._end(job)
        return f"hook {path}: {_ended(code)}{last}" if code else None

    async def _list(self) -> Listing:
        directory = self._directory
        assert directory is not None
        listing = await self._lane.run(lambda: survey(directory, os.geteuid()), self._deadline)
        for skipped in listing.skipped:
            if skipped not in self._told:
                self._told.add(skipped)
                self._log.info("not a hook", file=skipped.name, why=skipped.why)
        return listing

    def _failed(self, job: _Job, why: str) -> None:
        job.failed.append(why)
        job.answer(HookVerdict(False, why))

    def _late(self, job: _Job) -> None:
        """The deadline has passed; whoever asked need not wait until the hook is gone as well."""
        late = f"hook {job.left.pop(0)}" if job.left else f"reading {self._directory}"
        why = job.why_cut or f"the {self._deadline:g} s for all hooks of an event have passed"
        self._failed(job, f"{late} was ended: {why}{_quoted(job.hook)}")

    async def _end(self, job: _Job) -> None:
        """Leave nothing of the event's present hook behind: SIGTERM, a grace, SIGKILL."""
        hook, job.hook = job.hook, None
        if hook is None:
            return
        try:
            if not hook.ended.done():
                hook.signal(signal.SIGTERM)
                if not await hook.ended_within(job.grace):
                    hook.signal(signal.SIGKILL)
                    if not await hook.ended_within(REAP_DEADLINE):
                        self._log.error("a hook does not die after SIGKILL", hook=hook.name)
        finally:
            hook.signal(signal.SIGKILL)  # where the above was cancelled
        if hook.output.dropped:
            self._log.warning("output of a hook was cut", hook=hook.name, dropped_bytes=hook.output.dropped)
        self._reap(hook)

    def _reap(self, hook: HookProcess) -> None:
        if hook.ended.done():
            task = asyncio.get_running_loop().create_task(hook.reap_orphans())
            self._reapers.add(task)
            task.add_done_callback(self._reapers.discard)

    async def _collect_orphans(self) -> None:
        """From the first hook on, as long as there is a loop."""
        orphans, lane = Orphans(), Lane("hook-orphans")
        try:
            while True:
                await asyncio.sleep(LOOK_FOR_ORPHANS)
                present = self._running.hook if self._running is not None else None
                ours = {*self._others(), *((present.pid,) if present is not None else ())}
                with contextlib.suppress(OSError, Overrun):
                    await lane.run(partial(orphans.collect, ours), LOOK_DEADLINE)
        finally:
            lane.abandon()

    def _says(self, path: Path) -> Callable[[str], object]:
        return lambda line: self._log.info("output of a hook", hook=path.name, line=line)


def _quoted(hook: HookProcess | None) -> str:
    return f", its last line: {hook.output.last}" if hook is not None and hook.output.last else ""


def _ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
