# SPDX-License-Identifier: Apache-2.0
"""Carrying out one wave of a soak: each fault in a thread of its own, so that they overlap as planned."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from neard_standin.procfs import boottime

from .soak_ground import Ground, Skip
from .soak_plan import TRAITS, Fault, Kind, Subject, forbidden
from .soak_service import Service
from .soak_strikes import strike

UNDO_DEADLINE = 60.0  # seconds for one fault to be undone, on a busy machine


@dataclass(frozen=True)
class Injection:
    """What became of a planned fault. Times are seconds from the start of the soak; `node` is empty where it was done to
    no node; `skipped` says why it was not done, empty when it was.
    """

    fault: Fault
    node: str
    struck: float
    undone: float | None = None
    skipped: str = ""

    def text(self) -> str:
        """One line for people."""
        what = f"{self.struck:7.1f} s  {self.fault.kind.value}" + (f" ({self.node})" if self.node else "")
        if self.skipped:
            return f"{what}: not done, {self.skipped}"
        if not TRAITS[self.fault.kind].lasting[1]:
            return what
        return f"{what} until {self.undone:.1f} s" if self.undone is not None else f"{what}, still lasting"


class Injector:
    """Injects the faults of one wave from threads; a context manager that undoes all of them at its end.

    `begun` (CLOCK_BOOTTIME) is when the soak has started, from which times are told; `late` is by how many seconds the
    wave comes later than planned. `failure` is an error of the harness itself.
    """

    def __init__(self, ground: Ground, wave: Sequence[Fault], begun: float, late: float = 0.0) -> None:
        self.failure: Exception | None = None
        self._ground = ground
        self._begun = begun
        self._late = late
        self._abort = threading.Event()
        self._lock = threading.Lock()
        self._present: dict[str, Counter[Kind]] = {name: Counter() for name in ground.services}
        self._lasting = 0
        self._last_change = dict.fromkeys(["", *ground.services], boottime())
        self._injections: dict[int, Injection] = {}
        self._threads = [
            threading.Thread(target=self._carry_out, args=(number, fault), name=f"fault-{number}", daemon=True)
            for number, fault in enumerate(wave)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._abort.set()
        for thread in self._threads:
            thread.join(UNDO_DEADLINE)
        if any(thread.is_alive() for thread in self._threads) and self.failure is None:
            self.failure = TimeoutError(f"a fault was not undone within {UNDO_DEADLINE:g} s")

    def done(self) -> bool:
        """Whether every fault has been done and undone."""
        return not any(thread.is_alive() for thread in self._threads)

    def injections(self) -> tuple[Injection, ...]:
        """What has been done so far, in the order of time."""
        with self._lock:
            return tuple(sorted(self._injections.values(), key=lambda each: each.struck))

    def undisturbed_since(self, node: str) -> float | None:
        """Since when (CLOCK_BOOTTIME) nothing has been done to the node, the Consul servers or the lock.

        None while something lasts.
        """
        with self._lock:
            if self._lasting or self._present[node].total():
                return None
            return max(self._last_change[node], self._last_change[""])

    def _carry_out(self, number: int, fault: Fault) -> None:
        if self._abort.wait(self._until(fault.at)):
            return
        try:
            self._inject(number, fault)
        except Exception as error:
            # Told by whoever asks: a soak of which a part was not done right proves nothing.
            self.failure = error

    def _inject(self, number: int, fault: Fault) -> None:
        service = self._service_for(fault)
        on_node = TRAITS[fault.kind].subject is Subject.NODE
        name = service.node.name if on_node else ""
        why = self._enter(fault.kind, name)
        struck = boottime() - self._begun
        if why:
            self._note(number, Injection(fault, name, struck, skipped=why))
            return
        try:
            try:
                undo = strike(self._ground, fault, service)
            except Skip as reason:
                self._note(number, Injection(fault, name, struck, skipped=str(reason)))
                return
            self._note(number, Injection(fault, name, struck))
            self._abort.wait(self._until(fault.until))
            undo()
            self._note(number, Injection(fault, name, struck, undone=boottime() - self._begun))
        finally:
            self._leave(fault.kind, name)

    def _until(self, planned: float) -> float:
        return max(0.0, self._begun + self._late + planned - boottime())

    def _service_for(self, fault: Fault) -> Service:
        services = list(self._ground.services.values())
        holding = self._ground.arena.holding() if fault.holder else None
        if holding is not None:
            return self._ground.services[self._ground.arena.node_of(holding).name]
        return services[fault.node]

    def _enter(self, kind: Kind, node: str) -> str:
        """Note that a fault begins; why it must not, else empty."""
        with self._lock:
            if not node:
                self._lasting += 1
                return ""
            if why := forbidden(kind, +self._present[node]):
                return why
            self._present[node][kind] += 1
            return ""

    def _leave(self, kind: Kind, node: str) -> None:
        with self._lock:
            if node:
                self._present[node][kind] -= 1
            else:
                self._lasting -= 1
            self._last_change[node] = boottime()

    def _note(self, number: int, injection: Injection) -> None:
        with self._lock:
            self._injections[number] = injection
