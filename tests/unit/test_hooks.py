# SPDX-License-Identifier: Apache-2.0
"""Hooks, with real executables: what they get, in which order, by which deadline, and what they can't do."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuutamod.hooks.call import GO, HookEvent
from kuutamod.hooks.output import LOGGED_LINES
from kuutamod.hooks.process import _Birth
from kuutamod.hooks.runner import HookRunner
from kuutamod.neard.procfs import PR_SET_CHILD_SUBREAPER
from unit.hook_rig import LONG, QUESTION, Hooks, alive, call, until

IGNORE_TERM = "trap '' TERM; while :; do sleep 1; done"
SECRET = "ed25519:" + "3" * 88


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path)


# --- what a hook gets ---


def test_arguments_and_environment(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUUTAMO_CONSUL_TOKEN", "hunter2")
    monkeypatch.setenv("LANG", "C")
    hooks.add_python(
        "10-show",
        "import json, sys\n"
        "environment = dict(e.split('=', 1) for e in open('/proc/self/environ').read().split('\\0') if e)\n"
        f"json.dump([sys.argv, environment, sys.stdin.read()], open({str(hooks.notes)!r}, 'w'))",
    )

    async def test(runner: HookRunner) -> None:
        runner.notify(call(HookEvent.FENCE, 12, f"no\0proof {SECRET}"))
        await until(lambda: "hooks were called" in hooks.logged(), "the hook was called")

    hooks.run(test)
    argv, environment, stdin = json.loads(hooks.notes.read_text())
    assert argv == [str(hooks.directory / "10-show"), "fence", "node-a", "12", "fleet.near"]
    assert stdin == ""
    assert environment == {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C",
        "KUUTAMO_HOOK_EVENT": "fence",
        "KUUTAMO_HOOK_NODE": "node-a",
        "KUUTAMO_HOOK_TERM": "12",
        "KUUTAMO_HOOK_ACCOUNT": "fleet.near",
        "KUUTAMO_HOOK_REASON": "no proof ***",
    }


@pytest.fixture
def unusual_process() -> Iterator[None]:
    """Give this process what a hook must not get: ignored and blocked signals, an inheritable file, a memory score."""
    score = Path("/proc/self/oom_score_adj")
    before, ignored = score.read_text(), (signal.SIGHUP, signal.SIGTTOU, signal.SIGPIPE)
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    with tempfile.TemporaryFile() as file:
        os.set_inheritable(file.fileno(), True)
        score.write_text(str(min(1000, int(before) + 100)))
        try:
            yield
        finally:
            score.write_text(before)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
            for number, handler in handlers.items():
                signal.signal(number, handler)


@pytest.mark.usefixtures("unusual_process")
def test_a_hook_is_an_ordinary_process_that_shares_nothing(hooks: Hooks) -> None:
    hooks.add_python(
        "10-look",
        "import json, os\n"
        "def is_open(fd):\n"
        "    try: os.fstat(fd)\n"
        "    except OSError: return False\n"
        "    return True\n"
        "seen = {'fds': [fd for fd in range(1024) if is_open(fd)], 'cwd': os.getcwd(),\n"
        "  'ids': [os.getpid(), os.getpgrp(), os.getsid(0)], 'nice': os.getpriority(os.PRIO_PROCESS, 0),\n"
        "  'oom': open('/proc/self/oom_score_adj').read().strip(),\n"
        "  'blocked': [line.split()[1] for line in open('/proc/self/status') if line.startswith('SigBlk')]}\n"
        f"json.dump(seen, open({str(hooks.notes)!r}, 'w'))",
    )
    # Python ignores SIGPIPE by itself, so a shell looks at that; a shell unblocks signals by itself.
    hooks.add("20-ignored", f"grep ^SigIgn /proc/$$/status >> {hooks.notes}")
    hooks.run(_go)
    line, *rest = hooks.notes.read_text().replace("}", "}\n").splitlines()
    seen = json.loads(line)
    pid = seen["ids"][0]
    assert seen == {
        "fds": [0, 1, 2],
        "cwd": "/",
        "ids": [pid, pid, pid],
        "nice": max(5, os.getpriority(os.PRIO_PROCESS, 0)),
        "oom": "0",
        "blocked": ["0" * 16],
    }
    (ignored,) = [line.split()[1] for line in rest]
    # make ignores 32 and 33, which are the C library's own: no program can ask it to have them back.
    assert int(ignored, 16) & 0x7FFFFFFF == 0


async def _go(runner: HookRunner) -> None:
    assert await runner.ask(QUESTION) == GO


# --- order ---


def test_one_event_at_a_time_and_one_hook_at_a_time_in_the_order_of_names(hooks: Hooks) -> None:
    for name in ("20-b", "10-a", "Z"):
        hooks.add(name, f"note begin {name} $1 $3; sleep 0.05; note end {name} $1 $3")

    async def test(runner: HookRunner) -> None:
        runner.notify(call(HookEvent.DEMOTE, 1))
        runner.notify(call(HookEvent.PROMOTE, 2))
        await until(lambda: len(hooks.noted()) == 12, "both events are through")

    hooks.run(test)
    assert hooks.noted() == [
        f"{word} {name} {event}"
        for event in ("demote 1", "promote 2")
        for name in ("10-a", "20-b", "Z")
        for word in ("begin", "end")
    ]


def test_what_is_no_hook_is_passed_over_and_named_once(hooks: Hooks) -> None:
    for name in (".hidden", "10-a~", "10-a.bak", "10-a.dpkg-old", "#~x"):
        hooks.add(name, f"note {name}")
    hooks.add("README", "note README", mode=0o644)
    (hooks.directory / "folder").mkdir()
    (hooks.directory / "dangling").symlink_to("nothing")
    hooks.add("10-a", "note 10-a")

    async def test(runner: HookRunner) -> None:
        await _go(runner)
        await _go(runner)

    hooks.run(test)
    assert hooks.noted() == ["10-a", "10-a"]
    for name, why in (
        ("10-a.bak", "a copy"),
        ("README", "not executable"),
        ("folder", "not a file"),
        ("dangling", "nothing"),
    ):
        (line,) = [line for line in hooks.logged().splitlines() if f"file={name} " in line]
        assert why in line


def test_without_a_directory_everything_returns_at_once(hooks: Hooks) -> None:
    async def test() -> None:
        runner = HookRunner(None, LONG, hooks.log, {})
        runner.notify(call())
        asked = runner.ask(QUESTION).__await__()
        with pytest.raises(StopIteration) as answered:
            next(asked)  # a coroutine that waited for anything would yield here
        assert answered.value.value == GO
        await runner.close(LONG)

    asyncio.run(test())


def test_pre_promote_is_never_a_mere_notification(hooks: Hooks) -> None:
    with pytest.raises(ValueError, match="has to be asked"):
        hooks.runner().notify(QUESTION)


# --- answers ---


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("echo all is; echo 'not well' >&2; echo; exit 3", "exit code 3, its last line: not well"),
        ("exit 1", "exit code 1"),
        ("echo bye; kill -9 $$", "killed by SIGKILL, its last line: bye"),
        (f"echo key {SECRET}; exit 1", "exit code 1, its last line: key ***"),
        ("printf 'no newline'; exit 1", "exit code 1, its last line: no newline"),
    ],
)
def test_a_veto_names_file_code_and_last_line(hooks: Hooks, body: str, says: str) -> None:
    hooks.add("10-well", "note 10-well")
    path = hooks.add("20-veto", body)
    hooks.add("30-later", "note 30-later")

    async def test(runner: HookRunner) -> None:
        verdict = await runner.ask(QUESTION)
        assert (verdict.go, verdict.why) == (False, f"hook {path}: {says}")

    hooks.run(test)
    assert hooks.noted() == ["10-well"], "hooks after a veto are not asked"
    assert SECRET[8:] not in hooks.logged()


@pytest.mark.parametrize("text", ["no shebang", "#!/no/such/interpreter\n", "#!/bin/sh"])
def test_a_hook_that_can_not_be_executed_is_a_veto(hooks: Hooks, text: str) -> None:
    path = hooks.add("10-broken", "")
    path.write_text(text)
    if text == "#!/bin/sh":
        path.write_bytes(b"\x7fELF nonsense")

    async def test(runner: HookRunner) -> None:
        verdict = await runner.ask(QUESTION)
        assert not verdict.go
        assert f"hook {path}: exit code 126, its last line: it can't be executed: " in verdict.why

    hooks.run(test)


def test_a_failing_hook_does_not_keep_the_others_from_being_told(hooks: Hooks) -> None:
    path = hooks.add("10-bad", "exit 4")
    hooks.add("20-good", "note good")

    async def test(runner: HookRunner) -> None:
        runner.notify(call())
        await until(lambda: "hooks failed" in hooks.logged(), "the event is through")

    hooks.run(test)
    assert hooks.noted() == ["good"]
    (line,) = [line for line in hooks.logged().splitlines() if "hooks failed" in line]
    assert f"hook {path}: exit code 4" in line
    assert "well=20-good" in line


# --- deadlines ---


def test_at_the_deadline_the_whole_group_is_killed(hooks: Hooks) -> None:
    path = hooks.add("10-hang", f"({IGNORE_TERM}) & note $!; note $$; {IGNORE_TERM}")
    hooks.add("20-later", "note later")

    async def test(runner: HookRunner) -> None:
        verdict = await runner.ask(QUESTION)
        assert not verdict.go
        assert verdict.why == f"hook {path} was ended: the 3 s for all hooks of an event have passed"
        pids = [int(line) for line in hooks.noted()]
        assert len(pids) == 2
        await until(lambda: not any(map(alive, pids)), "hook and child are dead")
        await until(lambda: "hooks failed" in hooks.logged(), "the event is through")

    hooks.run(test, deadline=3)
    assert "not_called=20-later" in hooks.logged()


def test_a_hook_has_a_moment_between_term_and_kill(hooks: Hooks) -> None:
    hooks.add("10-polite", "trap 'note cleaned up; exit 0' TERM; note ready; while :; do sleep 0.05; done")

    async def test(runner: HookRunner) -> None:
        runner.notify(call())
        await until(lambda: "hooks failed" in hooks.logged(), "the event is through")

    hooks.run(test, deadline=3)
    assert hooks.noted() == ["ready", "cleaned up"]


def test_a_child_that_keeps_the_output_open_holds_nobody_up(hooks: Hooks) -> None:
    hooks.add("10-leaves", f"({IGNORE_TERM}) & note $!; echo said")

    async def test(runner: HookRunner) -> None:
        await _go(runner)
        await until(lambda: not alive(int(hooks.noted()[0])), "what it left is dead")

    hooks.run(test)
    assert "hook=10-leaves line=said" in hooks.logged()


def test_what_a_hook_leaves_is_no_zombie_of_a_subreaper(hooks: Hooks) -> None:
    hooks.add("10-leaves", f"({IGNORE_TERM}) & note $!")
    libc = ctypes.CDLL(None, use_errno=True)

    async def test(runner: HookRunner) -> None:
        await _go(runner)
        await until(lambda: not Path(f"/proc/{hooks.noted()[0]}").exists(), "what it left is reaped")

    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        hooks.run(test)
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def test_what_left_the_hooks_group_is_no_zombie_either_and_children_of_others_are_left_alone(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kuutamod.hooks.runner.LOOK_FOR_ORPHANS", 0.1)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    leave = f"setsid -f sh -c 'echo $$ >> {hooks.notes}; sleep 0.2'"
    hooks.add("10-hook", f"{leave}; until [ -s {hooks.notes} ]; do sleep 0.01; done")
    other = subprocess.Popen(["true"])

    async def test() -> None:
        runner = HookRunner(hooks.directory, LONG, hooks.log, os.environ, lambda: {other.pid})
        runner.notify(call())
        await until(hooks.noted, "it runs beside the hook")
        left = Path(f"/proc/{hooks.noted()[0]}")
        await until(lambda: not left.exists(), "it is collected")
        await runner.close(0.0)

    try:
        asyncio.run(test())
        assert os.waitpid(other.pid, 0) == (other.pid, 0), "who waits for it still finds it"
    finally:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        other.wait()


@pytest.mark.parametrize("flood", ["yes $(seq 99)", "cat /dev/zero", "while :; do echo $((i=i+1)); done"])
def test_a_flood_of_output_costs_neither_log_nor_loop(hooks: Hooks, flood: str) -> None:
    hooks.add("10-flood", flood)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def test(runner: HookRunner) -> None:
        ticking, loop = asyncio.create_task(tick()), asyncio.get_running_loop()
        begun, worked = loop.time(), time.thread_time()
        assert not (await runner.ask(QUESTION)).go
        assert time.thread_time() - worked < (loop.time() - begun) / 2, "most of the time there was nothing to do"
        ticking.cancel()
        await until(lambda: "output of a hook was cut" in hooks.logged(), "the loss is told")

    hooks.run(test, deadline=2)
    assert hooks.logged().count("output of a hook") <= LOGGED_LINES + 1
    assert ticks > 10, "the loop went on"


def test_a_hook_that_writes_much_and_ends_is_well_and_its_last_line_is_known(hooks: Hooks) -> None:
    hooks.add("10-much", "seq 30000; echo the end; exit 1")

    async def test(runner: HookRunner) -> None:
        assert (await runner.ask(QUESTION)).why.endswith("exit code 1, its last line: the end")

    hooks.run(test)


def test_output_is_logged_line_by_line_with_the_hooks_name(hooks: Hooks) -> None:
    hooks.add("10-talk", f"echo one; echo 'two words' >&2; echo; printf '%s' \"{SECRET}\"")
    hooks.run(_go)
    lines = [line.partition("hook=")[2] for line in hooks.logged().splitlines() if "output of a hook" in line]
    assert lines == ["10-talk line=one", '10-talk line="two words"', "10-talk line=***"]


# --- questions and notifications ---


def test_a_question_overtakes_what_waits_and_cuts_what_runs(hooks: Hooks) -> None:
    hooks.add("10-hook", f"note $1 $3; [ $3 = 1 ] || exit 0; {IGNORE_TERM}")

    async def test(runner: HookRunner) -> None:
        for term in (1, 2, 3):
            runner.notify(call(term=term))
        await until(lambda: hooks.noted() == ["promote 1"], "the first one runs")
        await _go(runner)
        assert hooks.noted() == ["promote 1", "pre-promote 7"]
        await until(lambda: len(hooks.noted()) == 4, "the others follow")

    hooks.run(test)
    assert hooks.noted() == ["promote 1", "pre-promote 7", "promote 2", "promote 3"]
    assert "was ended: pre-promote came" in hooks.logged()


def test_questions_wait_for_each_other(hooks: Hooks) -> None:
    hooks.add("10-hook", "note begin $3; sleep 0.2; note end $3")

    async def test(runner: HookRunner) -> None:
        calls = [call(HookEvent.PRE_PROMOTE, term) for term in (1, 2)]
        assert await asyncio.gather(*map(runner.ask, calls)) == [GO, GO]

    hooks.run(test)
    assert hooks.noted() == ["begin 1", "end 1", "begin 2", "end 2"]


def test_when_the_queue_is_full_the_oldest_goes_and_never_a_question(hooks: Hooks) -> None:
    gate = hooks.root / "gate"
    hooks.add("10-hook", f"note $1 $3; [ $3 != 1 ] || until [ -e {gate} ]; do sleep 0.02; done")

    async def test(runner: HookRunner) -> None:
        runner.notify(call(term=1))
        await until(lambda: hooks.noted() == ["promote 1"], "the first one runs")
        for term in (2, 3, 4, 5):
            runner.notify(call(term=term))
        question = asyncio.create_task(runner.ask(QUESTION))
        await asyncio.sleep(0)
        for term in (6, 7):
            runner.notify(call(term=term))
        gate.touch()
        assert await question == GO
        await until(lambda: len(hooks.noted()) == 4, "all are through")

    hooks.run(test, capacity=2)
    assert hooks.noted() == ["promote 1", "pre-promote 7", "promote 6", "promote 7"]
    dropped = [line for line in hooks.logged().splitlines() if "the oldest event is dropped" in line]
    assert [line.partition("term=")[2].split()[0] for line in dropped] == ["2", "3", "4", "5"]


def test_a_question_whose_asker_has_gone_is_ended(hooks: Hooks) -> None:
    hooks.add("10-hang", f"note $$; {IGNORE_TERM}")

    async def test(runner: HookRunner) -> None:
        running, waiting = (asyncio.create_task(runner.ask(call(HookEvent.PRE_PROMOTE, term))) for term in (1, 2))
        await until(hooks.noted, "the first one runs")
        for question in (waiting, running):
            question.cancel()
        await asyncio.wait({running, waiting})
        await until(lambda: not alive(int(hooks.noted()[0])), "the hook is dead")
        await until(lambda: "hooks failed" in hooks.logged(), "the event is through")

    hooks.run(test)
    assert len(hooks.noted()) == 1, "the other one never ran"


# --- the directory changes ---


def test_the_directory_is_read_anew_for_each_event(hooks: Hooks) -> None:
    hooks.add("10-a", f"note a; rm {hooks.directory}/20-b")
    hooks.add("20-b", "note b")

    async def test(runner: HookRunner) -> None:
        verdict = await runner.ask(QUESTION)
        assert not verdict.go, "what was there to be asked, and has gone, did not agree"
        assert "20-b: exit code 126, its last line: it can't be executed: No such file" in verdict.why
        hooks.add("10-a", "note new a")
        hooks.add("15-c", "note c")
        await _go(runner)

    hooks.run(test)
    assert hooks.noted() == ["a", "new a", "c"]


@pytest.mark.parametrize("change", ["gone", "a file", "writable", "hook writable", "hook unusable"])
def test_a_directory_that_went_bad_is_a_veto_and_nothing_in_it_is_run(hooks: Hooks, change: str) -> None:
    path = hooks.add("10-a", "note a")

    async def test(runner: HookRunner) -> None:
        await _go(runner)
        if change == "writable":
            hooks.directory.chmod(0o775)
        elif change == "hook writable":
            path.chmod(0o757)
        elif change == "hook unusable":
            path.unlink()
            path.symlink_to(path.name)
        else:
            hooks.directory.rename(hooks.root / "elsewhere")
            if change == "a file":
                hooks.directory.write_text("")
        verdict = await runner.ask(QUESTION)
        assert not verdict.go
        says = {"gone": "no such directory", "a file": "not a directory", "hook unusable": "10-a can't be looked at"}
        assert says.get(change, "is writable by others") in verdict.why
        runner.notify(call())
        await until(lambda: "event=promote" in hooks.logged(), "the notification is through")

    hooks.run(test)
    assert hooks.noted() == ["a"]


# --- the end ---


def test_closing_lets_what_waits_through(hooks: Hooks) -> None:
    hooks.add("10-hook", "sleep 0.1; note $3")

    async def test(runner: HookRunner) -> None:
        for term in (1, 2):
            runner.notify(call(term=term))
        await runner.close(LONG)
        assert hooks.noted() == ["1", "2"]
        runner.notify(call(term=3))
        assert not (await runner.ask(QUESTION)).go

    hooks.run(test)
    assert hooks.noted() == ["1", "2"]


def test_closing_does_not_wait_longer_than_it_may(hooks: Hooks) -> None:
    hooks.add("10-hook", f"note $$; {IGNORE_TERM}")

    async def test(runner: HookRunner) -> None:
        questions = [asyncio.create_task(runner.ask(call(HookEvent.PRE_PROMOTE, term))) for term in (1, 2)]
        runner.notify(call(term=3))
        await until(hooks.noted, "the first one runs")
        await runner.close(0.1)
        assert not alive(int(hooks.noted()[0]))
        for verdict in await asyncio.gather(*questions):
            assert not verdict.go
            assert "kuutamod is stopping" in verdict.why

    hooks.run(test)
    assert len(hooks.noted()) == 1
    assert "did not reach the hooks" in hooks.logged()


def test_a_loop_that_ends_takes_its_hook_along(hooks: Hooks) -> None:
    hooks.add("10-hook", f"note $$; {IGNORE_TERM}")

    async def test() -> None:
        hooks.runner().notify(call())
        await until(hooks.noted, "it runs")

    asyncio.run(test())
    asyncio.run(until(lambda: not alive(int(hooks.noted()[0])), "the hook is dead"))


def test_a_start_that_nobody_waits_for_any_more_is_undone(hooks: Hooks) -> None:
    path = hooks.add("10-hook", "note ran; sleep 300")
    birth = _Birth([str(path)], {"PATH": os.environ["PATH"]})
    birth.cancel()
    with birth.run() as process:
        assert process.wait() == -signal.SIGKILL
