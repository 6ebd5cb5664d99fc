# SPDX-License-Identifier: Apache-2.0
"""neard's home: one supervisor, no orphan, nothing lost."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kuutamod.core.model import Home
from kuutamod.guard.child import MARKER, start_time
from kuutamod.neard import procfs
from kuutamod.neard.home import HomeBusy, HomeLock, Owner, inspect, prepare
from kuutamod.neard.memory import Memory, MemoryFault, MemoryFile

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "r+b")
(fcntl.lockf if sys.argv[2] == "record" else fcntl.flock)(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(600)
"""


@contextmanager
def holding(path: Path, how: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock on ``path``."""
    argv = [sys.executable, "-c", HOLD, str(path), how]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def owner(node: str = "a", pid: int | None = None) -> Owner:
    pid = os.getpid() if pid is None else pid
    return Owner(node, pid, start_time(pid), "host")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "LOCK").write_bytes(b"")
    return tmp_path


def test_the_second_supervisor_is_refused_and_both_are_named(home: Path) -> None:
    first = HomeLock.acquire(home, owner("a"))
    with pytest.raises(HomeBusy, match=rf"node a, pid {os.getpid()} .*node b") as refused:
        HomeLock.acquire(home, owner("b"))
    assert not refused.value.guard_only
    os.close(first.fd)
    os.close(HomeLock.acquire(home, owner("b")).fd)


def test_a_lock_held_by_the_guard_of_a_dead_supervisor_is_told_apart(home: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    lock = home / "kuutamod.lock"
    lock.write_text(json.dumps(Owner("a", int(gone.stdout), 1, "host").__dict__))
    with holding(lock, "flock"):
        with pytest.raises(HomeBusy) as refused:
            HomeLock.acquire(home, owner("b"))
        assert refused.value.guard_only


def test_a_replaced_lock_file_is_noticed(home: Path) -> None:
    lock = HomeLock.acquire(home, owner())
    assert lock.still_ours()
    (home / "kuutamod.lock").unlink()
    assert not lock.still_ours()
    os.close(HomeLock.acquire(home, owner("b")).fd)
    assert not lock.still_ours()
    os.close(lock.fd)


def test_a_lock_file_of_a_dead_process_blocks_nothing(home: Path) -> None:
    with holding(home / "data" / "LOCK", "record") as process:
        assert procfs.lock_holder(home / "data" / "LOCK") == process.pid
    assert procfs.lock_holder(home / "data" / "LOCK") is None
    assert inspect(home, home / "data").home is Home.CLEAR
    assert procfs.lock_holder(home / "data" / "nowhere") is None


def test_a_stopped_process_still_holds_the_lock(home: Path) -> None:
    with holding(home / "data" / "LOCK", "record") as process:
        process.send_signal(signal.SIGSTOP)
        assert procfs.lock_holder(home / "data" / "LOCK") == process.pid


def test_a_foreign_neard_is_named_and_left_alone(home: Path) -> None:
    with holding(home / "data" / "LOCK", "record") as process:
        seen = inspect(home, home / "data")
        assert seen.home is Home.BUSY
        assert f"pid {process.pid}" in seen.why
        assert "did not start" in seen.why
        assert process.poll() is None


def test_an_orphan_of_an_earlier_life_is_killed(home: Path) -> None:
    with holding(home / "data" / "LOCK", "record", **{MARKER: str(home)}) as process:
        seen = inspect(home, home / "data")
        assert seen.home is Home.BUSY
        assert str(process.pid) in seen.why
        assert process.wait(20) == -signal.SIGKILL
    assert inspect(home, home / "data").home is Home.CLEAR


def test_an_orphan_of_another_home_is_not_ours(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "file").write_bytes(b"")
    with holding(other / "file", "record", **{MARKER: str(other)}) as process:
        assert inspect(home, home / "data").home is Home.CLEAR
        assert process.poll() is None


def test_before_a_start_there_is_no_validator_key_and_the_roles_node_key(home: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("validator", "voter"):
        (keys / name).write_text(name)
    (home / "validator_key.json").symlink_to(keys / "validator")
    (home / "node_key.json").symlink_to(keys / "validator")
    assert prepare(home, keys / "voter", keys / "validator") is None
    assert not (home / "validator_key.json").is_symlink()
    assert (home / "node_key.json").read_text() == "voter"


def test_an_operators_own_key_file_is_never_lost(home: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("validator", "voter"):
        (keys / name).write_text(name)
    for serial in ("", ".2"):
        (home / "validator_key.json").write_text(f"another key{serial}")
        said = prepare(home, keys / "voter", keys / "validator")
        assert said is not None
        assert (home / f"validator_key.json.before-kuutamod{serial}").read_text() == f"another key{serial}"
        assert not (home / "validator_key.json").exists()
    (home / "validator_key.json").write_text("validator")
    assert prepare(home, keys / "voter", keys / "validator") is None
    assert not (home / "validator_key.json").exists()


def test_memory_keeps_the_highest_term_and_the_last_session(tmp_path: Path) -> None:
    memory = MemoryFile(tmp_path)
    assert memory.load() == Memory()
    memory.keep(term=7)
    memory.keep(session="s")
    memory.keep(term=3)
    assert MemoryFile(tmp_path).load() == Memory(7, "s")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kuutamod.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"term": "x"}', "{}"])
def test_an_unreadable_memory_is_refused_with_a_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "kuutamod.json").write_text(text)
    with pytest.raises(MemoryFault, match=r"kuutamod\.json.*restore it"):
        MemoryFile(tmp_path).load()


def test_the_present_process_is_running_and_a_zombie_is_not() -> None:
    assert procfs.running(os.getpid())
    process = subprocess.Popen([sys.executable, "-c", ""])
    fd = os.pidfd_open(process.pid)
    try:
        os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOWAIT)
        assert not procfs.running(process.pid)
    finally:
        os.close(fd)
        process.wait()
    assert not procfs.running(process.pid)


def test_flock_and_record_locks_do_not_meet(home: Path) -> None:
    with (home / "data" / "LOCK").open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert procfs.lock_holder(home / "data" / "LOCK") is None
