# SPDX-License-Identifier: Apache-2.0
"""What surrounds the holder breaks: its terminal is closed, its log pipe broken or blocked, its exporter's port taken."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
import requests

from integration.scenario import (
    BUSY,
    LAW,
    POLICY,
    SHORT_HOLD_OFF,
    Stage,
    heal,
    mark,
    ready,
    release_bound,
    single,
    told_since,
    unmoved,
)
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.fleet_plan import FleetSpec, arguments, environment
from kuutamo_localnet.reaper import descendants
from kuutamo_localnet.wait import eventually
from kuutamod.guard.release import PATIENCE as GUARD_PATIENCE
from kuutamod.neard.procfs import running

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with single(tmp_path_factory.mktemp("terminal"), FleetSpec(nodes=2, environment=SHORT_HOLD_OFF)) as made:
        yield made


@pytest.fixture
def stage(network: Stage) -> Iterator[Stage]:
    yield network
    heal(network)


class Window:
    """The master side of a terminal: reads all that is printed, and hangs the session up when it is closed."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._closing = threading.Event()
        self._seen = bytearray()
        self._thread = threading.Thread(target=self._read, name="window", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What was printed so far."""
        return self._seen.decode(errors="replace")

    def close(self) -> None:
        """Close the window; the kernel sends SIGHUP. May be called twice."""
        self._closing.set()
        self._thread.join(BUSY)

    def _read(self) -> None:
        # Only this thread uses the descriptor, so closing it ends the terminal at once.
        with contextlib.suppress(OSError):
            while not self._closing.is_set():
                if select.select([self._master], [], [], 0.05)[0]:
                    self._seen += os.read(self._master, 65536)
        os.close(self._master)


@contextlib.contextmanager
def started(stage: Stage, node: FleetNode, output: int, *, terminal: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """The node's kuutamod with this descriptor as input, output and errors; a terminal becomes its controlling one."""

    # A session of its own, as a login or a service manager gives it.
    prefix = ["setsid", "--ctty"] if terminal else ["setsid"]
    process = subprocess.Popen(
        [*prefix, *(str(part) for part in arguments(node.plan, stage.fleet.spec, stage.fleet.keys))],
        stdin=output,
        stdout=output,
        stderr=output,
        env=environment(node.plan, stage.fleet.spec),
        cwd=node.plan.directory,
    )
    os.close(output)
    try:
        yield process
    finally:
        members = [info.pid for info in descendants(process.pid)]
        process.kill()
        process.wait(BUSY)
        # Its guard ends neard and then itself.
        all_ended(members)


def all_ended(pids: list[int]) -> None:
    """None of these processes runs any more."""
    eventually(lambda: not any(running(pid) for pid in pids), GUARD_PATIENCE + BUSY, f"{pids} have ended")


def alone(stage: Stage, node: FleetNode) -> int:
    """Make the node, which runs in a session of its own, the holder by stopping all others; its neard's pid."""
    eventually(lambda: ready(node), POLICY.start_timeout, f"{node.name} is a ready standby")
    for other in stage.fleet.standbys(node):
        assert other.stop() == 0
    home = str(node.plan.home)

    def has_key() -> int:
        interval = stage.fleet.referee.current_holder(stage.account)
        return interval.pid if interval is not None and interval.home == home else 0

    pid = eventually(has_key, POLICY.stop_grace + release_bound(), f"{node.name} has the key")
    node.wait_state("Validating", BUSY)
    return pid


def stopped_standby(stage: Stage) -> FleetNode:
    """The standby of a healthy fleet of two, stopped: its place is taken by the test's own process."""
    (standby,) = stage.fleet.standbys(stage.healthy())
    assert standby.stop() == 0
    return standby


def test_closing_the_terminal_stops_the_holder_cleanly(stage: Stage) -> None:
    node = stopped_standby(stage)
    master, slave = pty.openpty()
    window = Window(master)
    try:
        with started(stage, node, slave, terminal=True) as process:
            pid = alone(stage, node)
            members = [info.pid for info in descendants(process.pid)]
            assert pid in members
            eventually(lambda: "validating in term" in window.text(), BUSY, "the log is in the window")
            window.close()
            assert process.wait(POLICY.stop_grace + BUSY) == 0
            all_ended(members)
    finally:
        window.close()
    assert_released(stage, node, "stopped: SIGHUP")
    stage.healthy()
    stage.safe()


def assert_released(stage: Stage, node: FleetNode, reason: str) -> None:
    """The node's neard is gone, its lock was handed back with the marker and this reason, its home has no key."""
    assert stage.last_interval(node).ended_at is not None
    session, record = stage.lock()
    assert session == ""
    assert record is not None
    assert (record.node_id, record.released, record.reason) == (node.name, True, reason)
    assert not os.path.lexists(node.plan.home / "validator_key.json")


def test_a_broken_log_pipe_does_not_stop_the_holder(stage: Stage) -> None:
    node = stopped_standby(stage)
    ours, theirs = os.pipe()
    with started(stage, node, theirs) as process:
        os.close(ours)
        pid = alone(stage, node)
        unmoved(stage, 3)
        assert node.metrics().value("kuutamod_log_lines_dropped_total") > 0
        assert (node.state(), stage.last_interval(node).pid) == ("Validating", pid)
        process.terminate()
        assert process.wait(POLICY.stop_grace + BUSY) == 0
    assert_released(stage, node, "stopped: SIGTERM")
    stage.healthy()
    stage.safe()


def test_a_blocked_log_pipe_does_not_stop_the_holder(stage: Stage) -> None:
    node = stopped_standby(stage)
    ours, theirs = os.pipe()
    # Filled to the brim, and nobody reads it.
    os.write(theirs, b"x" * fcntl.fcntl(theirs, fcntl.F_GETPIPE_SZ))
    try:
        with started(stage, node, theirs) as process:
            pid = alone(stage, node)
            node.behaviour(log_burst=1000)
            unmoved(stage, round(LAW.fence_deadline / LAW.heartbeat_interval) + 1)
            assert (node.state(), stage.last_interval(node).pid) == ("Validating", pid)
            process.terminate()
            assert process.wait(POLICY.stop_grace + BUSY) == 0
    finally:
        os.close(ours)
    assert_released(stage, node, "stopped: SIGTERM")
    stage.healthy()
    stage.safe()


def test_a_taken_exporter_port_does_not_keep_a_node_from_validating(stage: Stage) -> None:
    node = stopped_standby(stage)
    start = mark(node)
    with socket.create_server((node.plan.address, node.plan.exporter_port)):
        node.start()
        told_since(
            node, start, "the exporter can't listen", f"{node.plan.address}:{node.plan.exporter_port}", "free the port"
        )
        eventually(
            lambda: stage.says_ready(node), LAW.guard_time + 2 * BUSY, f"{node.name} is eligible, says its member record"
        )
        (other,) = stage.fleet.standbys(node)
        assert other.stop() == 0
        assert stage.taken_over(other, release_bound())[0] is node
        told_since(node, start, "validating in term")
        unmoved(stage, 3)
        with pytest.raises(requests.RequestException):
            node.metrics()
    node.wait_state("Validating", BUSY)
    assert node.metrics().value("kuutamod_exporter_bind_failures_total") >= 1
    stage.healthy()
    stage.safe()
