# SPDX-License-Identifier: Apache-2.0
"""`kuutamo-localnet` as a user runs it: real Consul, real kuutamods, and nothing left when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuutamo_localnet.fleet_plan import installed
from kuutamo_localnet.process import Process, lives
from kuutamo_localnet.reaper import ProcessInfo, descendants, read_process
from kuutamo_localnet.wait import eventually
from neard_standin.ledger import Ledger
from neard_standin.referee import judge_journal
from neard_standin.verdict import Verdict

pytestmark = pytest.mark.integration

LOCALNET = installed("kuutamo-localnet")
UP_DEADLINE = 60.0  # seconds to the first validator: the guard time of an unknown lock, and a busy machine
TAKEOVER_DEADLINE = 40.0
END_DEADLINE = 30.0
LOOK = 0.3  # seconds between two looks by way of the command line, which is a program each time


class Localnet:
    """A running `kuutamo-localnet up` in `directory`."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.process = Process(
            [LOCALNET, "up", "--dir", directory, *arguments],
            log=directory.with_suffix(".txt"),
            env={**os.environ, "NO_COLOR": "1"},
            name="localnet",
        )

    def do(self, *arguments: str) -> str:
        """One command in a second terminal; its output. Raises CalledProcessError."""
        argv = [str(LOCALNET), *arguments, "--dir", str(self.directory)]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def rows(self) -> dict[str, list[str]]:
        """The cells of each node in the table, by its name."""
        lines = [re.split(r"\s{2,}", line) for line in self.do("status").splitlines()]
        return {cells[0]: cells for cells in lines if re.fullmatch(r"node\d", cells[0]) and len(cells) == 7}

    def holder(self) -> str | None:
        """The node that validates and holds the lock."""
        found = [name for name, cells in self.rows().items() if cells[1:3] == ["Validating", "holder"]]
        return found[0] if len(found) == 1 else None

    def wait_holder(self, *, other_than: str = "") -> str:
        """The node that validates, once it does."""

        def found() -> str | None:
            holder = self.holder()
            return holder if holder != other_than else None

        holder = eventually(found, UP_DEADLINE, "a node validates", LOOK)
        assert holder is not None
        return holder

    def wait_running(self) -> list[ProcessInfo]:
        """Everything it has started, once each of the three nodes has its neard."""

        def complete() -> list[ProcessInfo] | None:
            found = descendants(self.process.pid)
            return found if sum(info.name == "neard" for info in found) >= 3 else None

        found = eventually(complete, UP_DEADLINE, "three neards run")
        assert found is not None
        return found


def gone(processes: list[ProcessInfo]) -> bool:
    return not any(map(lives, processes))


@pytest.fixture(scope="module")
def localnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    localnet = Localnet(tmp_path_factory.mktemp("up") / "net")
    with localnet.process:
        localnet.wait_holder()
        yield localnet
        localnet.process.kill(signal.SIGINT)
        assert localnet.process.wait(END_DEADLINE) == 0


def test_one_of_three_holds_the_key_of_one_of_four_validators(localnet: Localnet) -> None:
    eventually(
        lambda: [r[2] for r in localnet.rows().values()].count("standby") == 2, UP_DEADLINE, "two are standbys", LOOK
    )
    rows = localnet.rows()
    assert sorted(rows) == ["node0", "node1", "node2"]
    assert sorted(cells[1] for cells in rows.values()) == ["Validating", "Voting", "Voting"]
    assert {cells[3] for cells in rows.values()} == {"1"}
    held = [cells[6] for cells in rows.values()]
    assert held.count("-") == 2
    ledger = Ledger.open(localnet.directory / "network" / "ledger")
    assert len(ledger.validators) == 4
    assert "overlaps 0" in localnet.do("status")


def test_what_it_prints_fits_80_columns_and_has_no_colours(localnet: Localnet) -> None:
    text = localnet.process.log_text()
    assert "\x1b" not in text
    # Only what is there to be copied, and paths, may be longer.
    tables = text.partition("Ctrl-C stops everything.")[2].splitlines()
    assert any(line.startswith("node   state") for line in tables)
    assert max(map(len, tables)) <= 80


def test_the_printed_commands_work(localnet: Localnet) -> None:
    text = localnet.process.log_text()
    (command,) = re.findall(r"^  who validates +(.*)$", text, re.MULTILINE)
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == f"Name: {localnet.holder()}"
    (kill,) = re.findall(r"^  kill its neard +(.*)$", text, re.MULTILINE)
    assert kill.endswith(f"kuutamo-localnet kill holder --part neard --dir {localnet.directory}")


def test_a_second_localnet_in_the_same_place_is_refused(localnet: Localnet) -> None:
    argv = [str(LOCALNET), "up", "--dir", str(localnet.directory)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"a localnet already runs in it (pid {localnet.process.pid})" in done.stderr
    assert localnet.process.alive()


def test_killed_stopped_and_started_nodes(localnet: Localnet) -> None:
    first = localnet.wait_holder()
    said = localnet.do("kill", "holder", "--part", "supervisor")
    assert said.startswith(f"{first}: SIGKILL to its supervisor, pid ")
    second = localnet.wait_holder(other_than=first)
    taken = f"{second} took over from {first}"
    eventually(lambda: taken in localnet.do("status"), TAKEOVER_DEADLINE, "the takeover is told", LOOK)
    assert localnet.rows()[first][1] == "stopped"
    assert localnet.do("start").startswith(f"{first}: started as pid ")
    eventually(lambda: localnet.rows()[first][2] == "standby", UP_DEADLINE, "the restarted node is a standby", LOOK)
    localnet.do("stop", "holder")
    third = localnet.wait_holder(other_than=second)
    eventually(lambda: localnet.rows()[second][1] == "stopped", UP_DEADLINE, "the former holder has stopped", LOOK)
    assert third in localnet.do("freeze", third, "--part", "supervisor")
    eventually(lambda: localnet.rows()[third][1] == "frozen", UP_DEADLINE, "the supervisor is seen frozen", LOOK)
    assert f"{third}: SIGCONT" in localnet.do("thaw")
    localnet.do("start", second)
    eventually(lambda: localnet.rows()[second][1] == "Voting", UP_DEADLINE, "all run again", LOOK)
    verdict = judge_journal(localnet.directory / "network" / "ledger")
    verdict.assert_safe()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_it_started(number: signal.Signals, tmp_path: Path) -> None:
    localnet = Localnet(tmp_path / "net")
    bystander = Process(["sleep", "1000"], log=tmp_path / "bystander.txt")
    with bystander, localnet.process:
        started = localnet.wait_running()
        localnet.process.kill(number)
        # A second one in the middle of the clearing up changes nothing.
        localnet.process.kill(number)
        assert localnet.process.wait(END_DEADLINE) == 0
        assert gone(started)
        assert bystander.alive()
        assert re.search(r"^Stopped in \d+\.\d s\. Logs stay in ", localnet.process.log_text(), re.MULTILINE)
        assert not (localnet.directory / "control").exists()


def test_a_killed_localnet_leaves_no_process_and_can_be_started_again(tmp_path: Path) -> None:
    localnet = Localnet(tmp_path / "net")
    with localnet.process:
        started = localnet.wait_running()
        localnet.process.kill(signal.SIGKILL)
        eventually(lambda: gone(started), END_DEADLINE, "everything it started is gone")
    again = Localnet(tmp_path / "net")
    with again.process:
        again.wait_running()


class Terminal:
    """A localnet on a terminal of its own, which is closed at the end of the context."""

    def __init__(self, directory: Path) -> None:
        self.pid, self._descriptor = os.forkpty()
        if self.pid == 0:
            environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "50"}
            os.execve(LOCALNET, [str(LOCALNET), "up", "--dir", str(directory)], environment)
        os.set_blocking(self._descriptor, False)
        self._seen = bytearray()

    def shows(self, text: bytes) -> bool:
        """Whether `text` has been written so far."""
        # EIO: the other side has closed the terminal.
        with contextlib.suppress(OSError):
            self._seen.extend(os.read(self._descriptor, 65536))
        return text in self._seen

    def type(self, keys: bytes) -> None:
        """As the user would."""
        os.write(self._descriptor, keys)

    def close(self) -> None:
        """Close the window, as the user would."""
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_unused: object) -> None:
        if self._descriptor >= 0:
            self.close()


def test_a_closed_terminal_ends_everything(tmp_path: Path) -> None:
    with Terminal(tmp_path / "net") as terminal:

        def drawn() -> list[ProcessInfo] | None:
            found = descendants(terminal.pid)
            neards = sum(info.name == "neard" for info in found)
            return found if terminal.shows(b"lock age") and neards >= 3 else None

        started = eventually(drawn, UP_DEADLINE, "three neards run and the live table is drawn")
        assert started
        assert terminal.shows(b"\x1b[")
        me = read_process(terminal.pid)
        assert me is not None
        terminal.close()
        eventually(lambda: gone([me, *started]), END_DEADLINE, "the localnet and all it started are gone")
        assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == 0


def test_control_c_on_a_terminal(tmp_path: Path) -> None:
    with Terminal(tmp_path / "net") as terminal:
        eventually(lambda: terminal.shows(b"lock age"), UP_DEADLINE, "the live table is drawn")
        started = descendants(terminal.pid)
        terminal.type(b"\x03")
        eventually(lambda: terminal.shows(b"Stopped in "), END_DEADLINE, "it says that it has stopped everything")
        assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == 0
        assert gone(started)


def test_a_neard_that_makes_its_own_chain(tmp_path: Path) -> None:
    localnet = Localnet(tmp_path / "net", "--neard", str(installed("neard")))
    accounts = {"node0", "node1", "node2", "node3"}
    with localnet.process:
        first = localnet.wait_holder()
        homes = localnet.directory / "network" / "homes"

        def signed() -> Verdict | None:
            found = judge_journal(homes / "ledger")
            # Three plain validators with keys of their own, and one of the fleet.
            return found if {interval.account for interval in found.intervals} == accounts else None

        verdict = eventually(signed, TAKEOVER_DEADLINE, "all four validators hold a key")
        assert verdict is not None
        assert {Path(interval.home).name for interval in verdict.intervals if interval.account == "node3"} == {"home"}
        localnet.do("kill", "holder")
        second = localnet.wait_holder(other_than=first)
        taken = f"{second} took over from {first}"
        eventually(lambda: taken in localnet.do("status"), TAKEOVER_DEADLINE, "the takeover is told", LOOK)
        judge_journal(homes / "ledger").assert_safe()
        localnet.process.kill(signal.SIGTERM)
        assert localnet.process.wait(END_DEADLINE) == 0


def test_bench_measures_a_clean_stop(tmp_path: Path) -> None:
    out = tmp_path / "figures" / "bench.json"
    arguments = ["bench", "--runs", "2", "--cases", "clean_stop", "--out", str(out), "--dir", str(tmp_path / "bench")]
    with Process([LOCALNET, *arguments], log=tmp_path / "bench.txt") as process:
        assert process.wait(240) == 0, process.log_text()
    (figures,) = json.loads(out.read_text())
    assert sorted(figures) == ["case", "n", "overlap", "p50", "p99"]
    assert (figures["case"], figures["n"], figures["overlap"]) == ("clean_stop", 2, 0)
    assert 0 < figures["p50"] <= figures["p99"] < TAKEOVER_DEADLINE
