# SPDX-License-Identifier: Apache-2.0
"""Products that are wrong on purpose, most of them the simulator's: the search must find out, with few faults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from exhaustive import side
from exhaustive.machine import Budget
from exhaustive.side import Kind
from exhaustive.world import NOW, Scale
from kuutamod.core import plan, records, recovery, takeover
from kuutamod.core.model import NodeState
from simulation.mutants import MUTANTS as SIMULATED
from simulation.mutants import Patch, patched

DEFAULT = Scale()


@dataclass(frozen=True)
class Mutant:
    """One wrong product. ``faults``: the smallest budget within which it is found out. ``says`` for people."""

    name: str
    says: str
    faults: Budget
    patches: tuple[Patch, ...]
    scale: Scale = DEFAULT

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The rules are wrong inside. A machine keeps what it has worked out, so each needs its own."""
        with patched(self.patches):
            yield


def _simulated(name: str, *faults: Kind, scale: Scale = DEFAULT) -> Mutant:
    one = next(each for each in SIMULATED if each.name == name)
    return Mutant(name, one.says, faults, one.patches, scale)


_next_term = records.next_term


def _same_term(state: NodeState) -> int:
    return _next_term(state) - 1


def _unspent(state: NodeState, _session: str) -> NodeState:
    return state


MUTANTS = (
    Mutant(
        "answer time",
        "a proof counts from its answer, not from its sending",
        (Kind.PAUSE,),
        ((side, "sent_at", lambda _unused: NOW),),
    ),
    Mutant("short G", "G is one second shorter than D + S", (Kind.PAUSE,), (), Scale(guard_time=3)),
    Mutant("same term", "a take does not count the term on", (), ((records, "next_term", _same_term),)),
    Mutant(
        "two leases in a session",
        "a session in which a release may be on its way serves another lease",
        (Kind.CRASH, Kind.DELAY),
        ((plan, "spend", _unspent), (recovery, "spend", _unspent)),
    ),
    _simulated("unchecked take"),
    _simulated("lock delay for G", Kind.INVALIDATE),
    _simulated("early release", Kind.STOP),
    _simulated("bare re-acquire", Kind.DELAY, Kind.STOP),
    _simulated("guard without fence", Kind.PAUSE),
    _simulated("missing after G", Kind.DELETE, Kind.DELETE),
    _simulated("own G only", Kind.PAUSE, scale=Scale(longer=2)),
    Mutant(
        "G of the lock only",
        "a contender ignores a larger G in the records of the other nodes",
        (Kind.PAUSE, Kind.DELETE),
        ((takeover, "heed", lambda watch, _unused: watch),),
        Scale(longer=2),
    ),
)
