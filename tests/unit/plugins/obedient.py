# SPDX-License-Identifier: Apache-2.0
"""Nodes that do what they are asked for, played by a thread in a real Consul: marks, lock and outcome."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from integration.written_fleet import WrittenFleet
from kuutamod.core.protocol import LockRecord, Mark, Outcome, Request, Step, lock_key, request_key

STEPS = [step for step in Step if step is not Step.WAITING]


class Obedient:
    """Answers each request of a written fleet. ``outcome``: how it ends them; ``to``: who takes the lock instead."""

    def __init__(self, fleet: WrittenFleet, outcome: Outcome = Outcome.DONE, why: str = "", to: str = "") -> None:
        self._fleet, self._outcome, self._why, self._to = fleet, outcome, why, to
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.answered: list[Request] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(20)

    def _serve(self) -> None:
        while not self._over.wait(0.05):
            entry = self._fleet.client.kv_get(request_key(self._fleet.account))
            request = Request.from_json(entry.value) if entry is not None else None
            if request is not None and request.outcome is None:
                self._answer(request)

    def _answer(self, request: Request) -> None:
        now = time.time()
        taker = self._to or (request.node if self._outcome is Outcome.DONE else "")
        marks: tuple[Mark, ...] = (Mark(Step.PLANNED, now),)
        if taker:
            lock = self._fleet.client.kv_get(lock_key(self._fleet.account))
            held = LockRecord.from_json(lock.value) if lock is not None else None
            assert held is not None
            self._fleet.release(held.node_id, held.term, "handover", successor=taker)
            able: dict[str, object] = {"promotion": "hot-swap", "latest_protocol": 84}
            self._fleet.join(held.node_id, state="Voting", phase="", eligible=True, **able)
            self._fleet.hold(taker, held.term + 1)
            self._fleet.join(taker, state="Validating", phase="active", term_seen=held.term + 1, **able)
            marks = tuple(Mark(step, now + 0.25 * at) for at, step in enumerate(STEPS))
        why = self._why or f"{taker} validates in term {request.term + 1}"
        self.answered.append(request)
        done = replace(request, marks=marks, outcome=self._outcome, why=why)
        assert self._fleet.client.kv_put(request_key(self._fleet.account), done.to_json())
