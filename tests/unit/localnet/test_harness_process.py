# SPDX-License-Identifier: Apache-2.0
"""Process: signals by pid, whole trees, and an end that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import kuutamo_localnet.process
from kuutamo_localnet.process import Process, lives, send_signal, stands_still, stop
from kuutamo_localnet.reaper import ProcessInfo, descendants, read_process
from kuutamo_localnet.wait import eventually

# A parent, a child and a grandchild in a session of its own, as supervisor, guard and neard are.
FAMILY = """
import os, subprocess, sys, time
if len(sys.argv) > 1:
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
else:
    subprocess.Popen([sys.executable, "-I", "-S", __file__, "child"])
print("ready", flush=True)
time.sleep(1000)
"""


# One thread sleeps, the other starts `true` with its standard input from a pipe that nobody has opened for writing yet.
BUSY_THREAD = """
import os, sys, threading, time
gate = [(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)]
threading.Thread(target=os.posix_spawn, args=("/bin/true", ["true"], {}), kwargs={"file_actions": gate}).start()
time.sleep(1000)
"""


@pytest.fixture
def family(tmp_path: Path) -> Process:
    script = tmp_path / "family"
    script.write_text(FAMILY)
    return Process([sys.executable, "-I", "-S", script], log=tmp_path / "log")


def ready(process: Process) -> list[ProcessInfo]:
    eventually(lambda: process.log_text().count("ready") == 2 and len(process.tree()) == 3, 20, "three processes")
    return process.tree()


def running(members: list[ProcessInfo]) -> list[int]:
    """The members that still exist, zombies left out."""
    return [member.pid for member in members if lives(member)]


def thread_states(process: Process) -> str:
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return "".join(info.state for task in tasks if (info := read_process(int(task.name))) is not None)


def states(process: Process) -> set[str]:
    return {member.state for member in process.tree()}


def test_exit_code_signal_and_log(tmp_path: Path) -> None:
    with Process(["sh", "-c", "echo out; echo err >&2; exit 3"], log=tmp_path / "log") as process:
        assert process.wait(20) == 3
        assert not process.alive()
        assert process.kill() is False
    assert process.log_text().split() == ["out", "err"]
    with Process(["sleep", "1000"], log=tmp_path / "log2") as process:
        assert process.returncode is None
        with pytest.raises(TimeoutError, match="still runs after 0 s"):
            process.wait(0)
        process.terminate()
        assert process.wait(20) == -signal.SIGTERM


def test_a_program_that_cannot_run_says_why_in_its_log(tmp_path: Path) -> None:
    with Process([tmp_path / "missing"], log=tmp_path / "log") as process:
        assert process.wait(20) == 127
    assert "No such file or directory" in process.log_text()


def test_has_its_own_session_environment_and_directory(tmp_path: Path) -> None:
    with Process(
        ["sh", "-c", 'pwd; echo "$MARK"; exec sleep 1000'], log=tmp_path / "log", env={"MARK": "x"}, cwd=tmp_path
    ) as process:
        eventually(lambda: process.log_text().split() == [str(tmp_path), "x"], 20, "the program's two lines")
        assert os.getsid(process.pid) == process.pid
        assert os.getsid(process.pid) != os.getsid(0)


def test_kill_and_freeze_hit_the_program_alone(family: Process) -> None:
    with family:
        parent, child, grandchild = ready(family)
        assert parent.pid == family.pid
        family.freeze()
        assert family.alive()
        assert stands_still(parent)
        assert [m.state for m in family.tree() if m.pid != parent.pid] == ["S", "S"]
        family.thaw()
        family.kill()
        assert family.wait(20) == -signal.SIGKILL
        assert not stop(parent)
        assert running([child, grandchild]) == [child.pid, grandchild.pid]


def test_a_process_is_frozen_when_its_last_thread_stands_still(tmp_path: Path) -> None:
    """A thread that waits in the kernel for its child to become `true` stops no sooner than that."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = tmp_path / "threads"
    script.write_text(BUSY_THREAD)
    with Process([sys.executable, "-I", "-S", script, gate], log=tmp_path / "log") as process:
        eventually(lambda: "D" in thread_states(process), 20, "a thread waits for its child")

        def open_gate() -> None:
            eventually(lambda: "T" in thread_states(process), 20, "the other thread has taken the signal", 0.005)
            assert "D" in thread_states(process)
            gate.write_text("")

        with ThreadPoolExecutor(1) as pool:
            opened = pool.submit(open_gate)
            process.freeze()
            assert set(thread_states(process)) == {"T"}
            opened.result()


def test_what_does_not_stop_is_told(family: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kuutamo_localnet.process, "STILL_DEADLINE", 0.1)
    monkeypatch.setattr(kuutamo_localnet.process, "send_signal", lambda *_unused: True)
    with family, pytest.raises(AssertionError, match="is stopped"):
        family.freeze()


def test_orphans_stay_in_the_tree_and_end_with_it(family: Process) -> None:
    with family:
        parent, child, grandchild = ready(family)
        send_signal(child, signal.SIGKILL)
        family.kill()
        eventually(lambda: [m.pid for m in family.tree()] == [grandchild.pid], 20, "only the grandchild is left")
    assert running([parent, child, grandchild]) == []


def test_freeze_thaw_and_kill_of_a_whole_tree(family: Process) -> None:
    with family:
        members = ready(family)
        family.freeze_tree()
        assert states(family) == {"T"}
        family.thaw_tree()
        eventually(lambda: states(family) == {"S"}, 20, "all go on")
        family.kill_tree()
        assert family.tree() == []
        assert running(members) == []
        assert family.wait(20) == -signal.SIGKILL


def test_close_ends_frozen_trees_too_and_allows_a_new_start(family: Process) -> None:
    with family:
        members = ready(family)
        family.freeze_tree()
    assert running(members) == []
    family.log.unlink()
    with family:
        assert len(ready(family)) == 3


def test_the_tree_ends_when_the_test_process_is_killed(family: Process, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from kuutamo_localnet.process import Process\n"
        "process = Process(sys.argv[2:], log=Path(sys.argv[1])).start(); sys.stdin.read()"
    )
    bystander = subprocess.Popen(["sleep", "1000"])
    runner = subprocess.Popen(
        [sys.executable, "-c", script, str(family.log), *family.argv], stdin=subprocess.PIPE, cwd=tmp_path
    )
    try:
        eventually(lambda: family.log_text().count("ready") == 2, 20, "the program under test runs")
        members = descendants(runner.pid)
        assert len(members) == 4  # the reaper and the three
        runner.kill()
        runner.wait(20)
        eventually(lambda: running(members) == [], 20, "everything it started is gone")
        assert bystander.poll() is None
    finally:
        for each in (runner, bystander):
            each.kill()
            each.wait(20)
        assert runner.stdin is not None
        runner.stdin.close()


def test_no_signal_reaches_a_later_process_with_the_same_pid(tmp_path: Path) -> None:
    with Process(["sleep", "1000"], log=tmp_path / "log") as process:
        info = read_process(process.pid)
        assert info is not None
        assert send_signal(info._replace(started=info.started - 1), signal.SIGKILL) is False
        assert process.alive()
        assert send_signal(info, signal.SIGKILL) is True


def test_names_with_blanks_and_parentheses_are_read_right(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    with Process([program, "1000"], log=tmp_path / "log") as process:
        info = eventually(
            lambda: (now := read_process(process.pid)) is not None and now.name == "a) R 1 (b" and now, 20, "its name"
        )
        assert isinstance(info, ProcessInfo)
        assert info.pid == process.pid
