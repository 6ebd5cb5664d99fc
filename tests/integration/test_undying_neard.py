# SPDX-License-Identifier: Apache-2.0
"""A neard that outlives SIGKILL, as one in uninterruptible sleep does: never reported dead, its lock never released.

The sleep is made with ptrace: a process traced with PTRACE_O_TRACEEXIT takes the SIGKILL, then stops in the kernel on its
way out, still holding its files and memory. Any ancestor may do that, root or not, unless ptrace is forbidden altogether.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from integration.scenario import (
    BUSY,
    LAW,
    POLICY,
    SHORT_HOLD_OFF,
    Stage,
    boottime,
    heal,
    mark,
    rested,
    single,
    steal_bound,
    told_since,
    unmoved,
)
from kuutamo_localnet.fleet_node import FleetNode, Part
from kuutamo_localnet.fleet_plan import FleetSpec
from kuutamo_localnet.reaper import read_process
from kuutamo_localnet.wait import eventually
from kuutamod.neard.procfs import lock_holder, running

pytestmark = pytest.mark.integration
HANG = 3.0
PTRACE_CONT, PTRACE_SEIZE, PTRACE_O_TRACEEXIT = 7, 0x4206, 0x40
WALL = 0x40000000


class Undying:
    """A process that will not finish dying until it is let go. All calls belong to one thread: that is ptrace's rule."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self._ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._ptrace.restype = ctypes.c_long

    def __enter__(self) -> Self:
        if self._ptrace(PTRACE_SEIZE, self._pid, None, PTRACE_O_TRACEEXIT) != 0:
            pytest.skip(f"ptrace is not allowed here: {os.strerror(ctypes.get_errno())}")
        return self

    def let_go(self) -> None:
        """Let it finish dying; a process that nobody has killed yet is killed."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        eventually(self._gone, BUSY, f"pid {self._pid} has left the kernel")

    def _gone(self) -> bool:
        with contextlib.suppress(ChildProcessError):
            _unused, status = os.waitpid(self._pid, WALL | os.WNOHANG)
            self._ptrace(PTRACE_CONT, self._pid, None, None)
            return os.WIFSIGNALED(status)
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.let_go()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    environment = {**SHORT_HOLD_OFF, "KUUTAMO_NEARD_HANG_TIMEOUT": f"{HANG:g}"}
    spec = FleetSpec(nodes=2, environment=environment)
    with single(tmp_path_factory.mktemp("undying"), spec, verdict=False) as made:
        yield made


@pytest.fixture
def stage(network: Stage) -> Iterator[Stage]:
    yield network
    heal(network)


def test_a_neard_that_does_not_die_is_never_released_and_the_standby_waits_for_the_guard_time(stage: Stage) -> None:
    holder = signing(stage)
    (standby,) = stage.fleet.standbys(holder)
    pid, start, term, there = holder.pid(Part.NEARD), mark(holder), stage.term(), mark(standby)
    with Undying(pid) as neard:
        at = boottime()
        # Only a process that really gets the SIGKILL stops signing here.
        holder.behaviour(hang=True, hang_signs=True)
        told_since(holder, start, f"cannot fence: neard pid {pid} does not die after SIGKILL", deadline=HANG + BUSY)
        new, interval = stage.taken_over(holder, HANG + LAW.kill_budget + steal_bound())
        assert new is standby
        assert interval.loaded_at - at <= HANG + LAW.kill_budget + steal_bound()
        # Not by the marker: nobody wrote one.
        told_since(
            standby, there, f"taking the lock for term {term + 1}: its holder has not proved itself for the guard time"
        )
        info = read_process(pid)
        assert info is not None
        assert info.state not in "ZX"
        assert lock_holder(holder.plan.home / "data" / "LOCK") == pid
        # As long as it is there its node says so, starts no other neard and does not contend.
        unmoved(stage, 3)
        assert holder.metrics().value("kuutamod_cannot_fence") == 1.0
        assert holder.exporter.neard_pid() == pid
        said = holder.log_text()[start:]
        assert "released the lock" not in said
        assert f"neard pid {pid} ended" not in said
        assert "starting neard" not in said
        holder.behaviour(hang=False, hang_signs=False)
        neard.let_go()
    told_since(holder, start, f"neard pid {pid} ended (killed by SIGKILL)")
    stage.healthy()
    assert (stage.holder().name, stage.term()) == (standby.name, term + 1)
    assert holder.metrics().value("kuutamod_cannot_fence") == 0.0
    only_the_undead(stage, pid, interval.loaded_at)


def test_a_restarted_supervisor_waits_as_long_as_an_earlier_neard_does_not_die(stage: Stage) -> None:
    holder = signing(stage)
    (standby,) = stage.fleet.standbys(holder)
    pid, start, there = holder.pid(Part.NEARD), mark(holder), mark(standby)
    with Undying(pid):
        at = boottime()
        holder.kill_supervisor()
        holder.process.wait(BUSY)
        holder.start()
        told_since(holder, start, "waiting: the guard of an earlier kuutamod", "is still ending its neard")
        new, interval = stage.taken_over(holder, steal_bound())
        assert new is standby
        assert interval.loaded_at - at <= steal_bound()
        told_since(standby, there, "taking the lock", "for the guard time")
        assert "starting neard as" not in holder.log_text()[start:]
    stage.healthy()
    told_since(holder, start, "starting neard as voter")
    assert stage.holder() is standby
    only_the_undead(stage, pid, interval.loaded_at)


def test_a_neard_of_which_one_thread_does_not_die_is_not_dead_though_its_guard_is(stage: Stage) -> None:
    holder = signing(stage)
    (standby,) = stage.fleet.standbys(holder)
    pid, start, term, there = holder.pid(Part.NEARD), mark(holder), stage.term(), mark(standby)
    thread = next(int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir() if entry.name != str(pid))
    with Undying(thread):
        at = boottime()
        holder.kill_guard()
        eventually(lambda: not running(pid), LAW.kill_budget + BUSY, "to /proc the process is a zombie")
        told_since(holder, start, f"cannot fence: neard pid {pid} does not die after SIGKILL")
        _unused, interval = stage.taken_over(holder, POLICY.guard_patience + LAW.kill_budget + steal_bound())
        assert interval.loaded_at - at <= POLICY.guard_patience + LAW.kill_budget + steal_bound()
        told_since(
            standby, there, f"taking the lock for term {term + 1}: its holder has not proved itself for the guard time"
        )
        assert "released the lock" not in holder.log_text()[start:]
    told_since(holder, start, f"neard pid {pid} was killed because its guard died")
    stage.healthy()
    assert stage.holder() is standby
    only_the_undead(stage, pid, interval.loaded_at)


def signing(stage: Stage) -> FleetNode:
    """The holder of a rested fleet, once its neard has signed."""
    holder = rested(stage)
    pid = holder.pid(Part.NEARD)
    eventually(lambda: signatures(stage, pid), BUSY, f"{holder.name} has signed")
    return holder


def signatures(stage: Stage, pid: int) -> list[float]:
    """When a process has signed (boottime seconds)."""
    return [record.boottime for record in stage.fleet.referee.signatures(stage.account) if record.pid == pid]


def only_the_undead(stage: Stage, pid: int, taken_at: float) -> None:
    """Nothing was signed twice; the one overlap is with the process that had SIGKILL pending and could not run any more."""
    verdict = stage.fleet.referee.verdict(stage.account)
    # The words by which tools/second_look.py knows what must never be, however rarely.
    unsafe = f"the network was not safe\n{verdict.story()}"
    assert verdict.heights_signed_twice == (), unsafe
    assert {overlap.first.pid for overlap in verdict.overlaps if overlap.second.loaded_at == taken_at} <= {pid}, unsafe
    assert max(signatures(stage, pid)) < taken_at, unsafe
