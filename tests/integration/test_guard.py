# SPDX-License-Identifier: Apache-2.0
"""The guard as a real process with a real child, and real Consul where it releases."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kuutamod
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import LockRecord, lock_key
from kuutamod.guard import wire
from kuutamod.guard.launch import guard_argv
from kuutamod.neard.procfs import running

pytestmark = pytest.mark.integration
SOURCE = str(Path(kuutamod.__file__).parent.parent)
KEY = lock_key("acct")
CHILD = """
import os, signal, sys, time
home = sys.argv[1]
def reload(*_):
    open(home + "/reloaded", "a").write("x")
def term(*_):
    open(home + "/termed", "w").write("x")
    if os.path.exists(home + "/stubborn"):
        return
    sys.exit(0)
time.sleep(float(sys.argv[2]))
signal.signal(signal.SIGTERM, term)
signal.signal(signal.SIGHUP, reload)
open(home + "/ready", "w").write("x")
while True:
    time.sleep(0.05)
"""


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Bench:
    """A guard with one child, and our end of its socket."""

    def __init__(self, home: Path, urls: list[str]) -> None:
        self.home = home
        self.urls = urls
        self.cgroup = "off"
        self.end, theirs = wire.pair()
        self.end.settimeout(20)
        with theirs:
            self.guard = subprocess.Popen(
                guard_argv(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.pid = 0

    def start(
        self,
        fence_at: float | None = None,
        plan: dict[str, str] | None = None,
        slow: float = 0.0,
        argv: list[str] | None = None,
    ) -> dict[str, Any]:
        (self.home / "key.json").write_text("{}")
        wire.send(
            self.end,
            wire.START,
            argv=argv or [sys.executable, "-c", CHILD, str(self.home), str(slow)],
            env={"PATH": os.environ["PATH"]},
            home=str(self.home),
            key_link=str(self.home / "validator_key.json"),
            key_target=str(self.home / "key.json"),
            fence_at=fence_at,
            plan=plan,
            consul={"urls": self.urls, "deadline": 1.0},
            cgroup=self.cgroup,
        )
        message = self.hear()
        self.pid = int(message.get("pid", 0))
        if message["kind"] == wire.STARTED and not slow:
            eventually((self.home / "ready").exists, 20, "the child is ready")
        return message

    def hear(self) -> dict[str, Any]:
        message = wire.receive(self.end)
        assert message is not None, "the guard is gone"
        return dict(message)

    def gone(self) -> bool:
        return not running(self.pid)

    def close(self) -> None:
        self.end.close()
        with contextlib.suppress(ProcessLookupError):
            self.guard.kill()
        self.guard.wait(20)
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, [])
    yield made
    made.close()


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    server = ConsulServer(tmp_path_factory.mktemp("consul"))
    server.start()
    server.wait_ready(60)
    yield server
    server.close()


def locked(consul: ConsulServer) -> dict[str, str]:
    """A lock held by a fresh session, and the plan to release it."""
    client = consul.client()
    session = client.session_create("guarded", TTL="60s", LockDelay="0s", Behavior="release", Checks=[])
    client.kv_delete(KEY)
    client.kv_put(KEY, LockRecord("h", "n", 3).to_json(), acquire=session)
    value = LockRecord("h", "n", 3, released=True, last_height=5).to_json()
    return {"key": KEY, "session": session, "member": KEY + "-member", "value": value}


def test_the_guard_is_isolated_and_uses_the_standard_library_only() -> None:
    code = (
        "import sys; sys.path.append(sys.argv[1]); import kuutamod.guard.main; "
        "print('\\n'.join(getattr(m, '__file__', None) or '' for m in sys.modules.values()))"
    )
    out = subprocess.run([sys.executable, "-I", "-S", "-c", code, SOURCE], capture_output=True, text=True, check=True)
    foreign = [f for f in out.stdout.splitlines() if "site-packages" in f or (f.startswith(SOURCE) and "/kuutamod/" in f)]
    assert foreign
    assert all("/kuutamod/guard/" in f or f.endswith("/kuutamod/__init__.py") for f in foreign), foreign


def test_a_closed_pipe_kills_the_child(bench: Bench) -> None:
    bench.start()
    bench.end.close()
    eventually(bench.gone, 20, "the child is dead")
    assert bench.guard.wait(20) == 0


def test_the_deadline_kills_the_child_and_not_before(bench: Bench) -> None:
    fence_at = now() + 1.5
    bench.start(fence_at=fence_at, slow=60.0)  # the deadline may come before it is ready
    message = bench.hear()
    assert message["kind"] == wire.EXITED
    assert message["cause"] == "FENCE"
    assert message["at"] >= fence_at
    assert bench.gone()
    assert not (bench.home / "validator_key.json").is_symlink()


def test_an_extension_moves_the_deadline_and_never_shortens_it(bench: Bench) -> None:
    first = now() + 2.0
    bench.start(fence_at=first, slow=60.0)
    wire.send(bench.end, wire.EXTEND, fence_at=first + 1.5, plan={})
    assert bench.hear()["kind"] == wire.ACK
    wire.send(bench.end, wire.EXTEND, fence_at=first - 1.0, plan={})
    assert bench.hear()["kind"] == wire.ACK
    assert bench.hear()["at"] >= first + 1.5


def test_a_standby_has_no_deadline_and_no_key(bench: Bench) -> None:
    bench.start()
    assert not (bench.home / "validator_key.json").exists()
    wire.send(bench.end, wire.EXTEND, fence_at=None, plan=None)
    assert bench.hear()["kind"] == wire.ACK
    assert not bench.gone()


def test_the_key_is_placed_and_sighup_sent_once_the_handler_is_there(bench: Bench) -> None:
    bench.start(slow=1.0)
    wire.send(bench.end, wire.PLACE, fence_at=now() + 60, plan={})
    refused = bench.hear()
    assert refused["kind"] == wire.REFUSED
    assert "SIGHUP handler" in refused["why"]
    assert not (bench.home / "validator_key.json").exists()
    eventually((bench.home / "ready").exists, 20, "the child is ready")
    wire.send(bench.end, wire.PLACE, fence_at=now() + 60, plan={})
    assert bench.hear()["kind"] == wire.PLACED
    eventually((bench.home / "reloaded").exists, 20, "the child has reloaded")
    assert (bench.home / "validator_key.json").resolve() == bench.home / "key.json"


def test_a_key_is_not_placed_after_its_deadline(bench: Bench) -> None:
    bench.start()
    wire.send(bench.end, wire.PLACE, fence_at=now() - 0.1, plan={})
    assert "deadline" in bench.hear()["why"]
    assert not (bench.home / "validator_key.json").exists()


def test_a_start_with_a_key_after_its_deadline_starts_nothing(bench: Bench) -> None:
    assert "deadline" in bench.start(fence_at=now() - 0.1, plan={})["why"]
    assert not (bench.home / "validator_key.json").exists()


def test_a_neard_that_cannot_be_executed_is_reported(bench: Bench) -> None:
    message = bench.start(fence_at=now() + 60, plan={}, argv=["/nowhere/neard"])
    assert message["kind"] == wire.FAILED
    assert "/nowhere/neard" in message["why"]
    assert not (bench.home / "validator_key.json").is_symlink()


def test_a_polite_stop_and_its_end(bench: Bench) -> None:
    bench.start()
    wire.send(bench.end, wire.STOP, grace=30.0, why="handover")
    message = bench.hear()
    assert "exit code 0" in message["why"]
    assert "handover" in message["why"]
    assert (bench.home / "termed").exists()


def test_a_stop_for_a_long_reason_arrives(bench: Bench) -> None:
    bench.start()
    assert wire.send(bench.end, wire.STOP, grace=30.0, why="ж" * 40_000)
    message = bench.hear()
    assert "exit code 0" in message["why"]
    assert (bench.home / "termed").exists()


def test_a_key_is_taken_away_and_neard_is_told_twice_since_it_can_miss_a_signal(bench: Bench) -> None:
    bench.start()
    wire.send(bench.end, wire.PLACE, fence_at=now() + 60, plan={})
    assert bench.hear()["kind"] == wire.PLACED
    reloads = bench.home / "reloaded"
    eventually(lambda: reloads.exists() and reloads.read_text() == "x", 20, "the child has reloaded with the key")
    wire.send(bench.end, wire.UNLOAD)
    assert bench.hear()["kind"] == wire.UNLOADED
    assert not (bench.home / "validator_key.json").is_symlink()
    eventually(lambda: reloads.read_text() == "xxx", 20, "the child has reloaded twice without the key")


def test_a_key_that_is_a_file_of_its_own_is_not_deleted(bench: Bench) -> None:
    bench.start()
    stray = bench.home / "validator_key.json"
    stray.write_text("the only copy")
    wire.send(bench.end, wire.UNLOAD)
    refused = bench.hear()
    assert refused["kind"] == wire.REFUSED
    assert "is a file of its own" in refused["why"]
    wire.send(bench.end, wire.KILL, why="enough")
    assert bench.hear()["kind"] == wire.EXITED
    assert stray.read_text() == "the only copy"
    assert not (bench.home / "reloaded").exists()


def test_a_stubborn_child_is_killed_after_its_grace(bench: Bench) -> None:
    (bench.home / "stubborn").write_text("x")
    bench.start()
    wire.send(bench.end, wire.STOP, grace=0.5, why="handover")
    assert "SIGKILL" in bench.hear()["why"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_signals_to_the_guard_do_not_end_it(bench: Bench, number: signal.Signals) -> None:
    bench.start()
    os.kill(bench.guard.pid, number)
    wire.send(bench.end, wire.EXTEND, fence_at=None, plan=None)
    assert bench.hear()["kind"] == wire.ACK
    assert not bench.gone()


def test_kill_9_of_the_guard_kills_the_child(bench: Bench) -> None:
    bench.start(fence_at=now() + 60, plan={})
    bench.guard.kill()
    eventually(bench.gone, 20, "the kernel has killed the child")


def test_the_child_runs_apart_from_the_terminal_and_dies_first_of_memory_pressure(bench: Bench) -> None:
    bench.start()
    assert os.getsid(bench.pid) != os.getsid(0)
    assert os.getpgid(bench.pid) == bench.pid
    assert int(Path(f"/proc/{bench.pid}/oom_score_adj").read_text()) > int(
        Path(f"/proc/{bench.guard.pid}/oom_score_adj").read_text()
    )


@pytest.mark.parametrize("how", ["orphaned", "fence"])
def test_the_guard_releases_the_lock_after_the_proof_of_death(tmp_path: Path, consul: ConsulServer, how: str) -> None:
    plan = locked(consul)
    bench = Bench(tmp_path, ["http://127.0.0.1:1", consul.url])
    try:
        bench.start(fence_at=now() + (2.0 if how == "fence" else 60), plan=plan, slow=60.0)
        if how == "orphaned":
            bench.end.shutdown(socket.SHUT_RDWR)

        def released() -> bool:
            entry = consul.client().kv_get(KEY)
            assert entry is not None
            free = not entry.session
            assert not free or bench.gone(), "released before the child was dead"
            return free and json.loads(entry.value)["released"] is True

        eventually(released, 20, "the lock is free with the marker")
        sessions = {each["ID"] for each in consul.client().session_list()}
        if how == "orphaned":
            bench.guard.wait(20)
            eventually(
                lambda: plan["session"] not in {each["ID"] for each in consul.client().session_list()},
                20,
                "the session of the dead supervisor is ended",
            )
        else:
            assert plan["session"] in sessions
    finally:
        bench.close()


def test_a_lock_that_is_not_ours_any_more_is_left_alone(tmp_path: Path, consul: ConsulServer) -> None:
    plan = locked(consul)
    consul.client().session_destroy(plan["session"])
    other = locked(consul)
    bench = Bench(tmp_path, [consul.url])
    try:
        bench.start(fence_at=now() + 2.0, plan=plan, slow=60.0)
        assert bench.hear()["kind"] == wire.EXITED
        assert "taken already" in bench.hear()["outcome"]
        entry = consul.client().kv_get(KEY)
        assert entry is not None
        assert entry.session == other["session"]
    finally:
        bench.close()


def cgroup_of(pid: int) -> Path:
    """Where a process is in the cgroup v2 hierarchy."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return Path(next(line[3:] for line in lines if line.startswith("0::")))


def test_the_child_gets_a_cgroup_of_its_own_where_the_guard_may_make_one(bench: Bench) -> None:
    bench.cgroup = "on"
    bench.start()
    own, childs = cgroup_of(bench.guard.pid), cgroup_of(bench.pid)
    if own == childs:
        pytest.skip("this user may not make a cgroup v2 here; the process group is what there is")
    assert childs.parent == own
    assert childs.name == f"neard-{bench.guard.pid}"
    wire.send(bench.end, wire.KILL, why="enough")
    assert "SIGKILL" in bench.hear()["why"]
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    mount = next(Path(fields[1]) for fields in mounts if fields[2] == "cgroup2")
    assert not (mount / childs.relative_to("/")).exists()
