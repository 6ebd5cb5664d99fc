# SPDX-License-Identifier: Apache-2.0
"""The two programs from outside: exit codes, what goes to which stream, and where options may stand."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kuutamod.cli import kuutamoctl
from kuutamod.consul import leader
from kuutamod.consul.faults import ConsulError, Fault
from kuutamod.consul.leader import Confirmation, LeaderInfo
from kuutamod.consul.settings import ConsulSettings
from kuutamod.core.protocol import FleetConfig, LockRecord
from unit.settings.node_files import NodeFiles

BIN = Path(sys.executable).parent
DEADLINE = 60.0  # seconds; only a hang takes that long
SESSION = {"ID": "5f3c", "Name": "node-a", "Node": "host-a", "TTL": "10s", "Behavior": "release"}


def program(name: str, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a console script with nothing but these arguments and variables."""
    return subprocess.run(
        [BIN / name, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture
def closed_url() -> Iterator[str]:
    """A URL where nothing listens, and nothing else can as long as the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# --- kuutamod ---


def test_kuutamod_lists_all_faults_of_its_configuration_and_exits_2(tmp_path: Path) -> None:
    node = NodeFiles.make(tmp_path)
    node["validator-key"].write_text("{")
    before = node.config.read_bytes()
    done = program("kuutamod", *node.argv(), "--nod-id", "x", KUUTAMO_EXPORTER_ADDRESS="2233", KUUTAMO_GUARD_TIME="5")
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 4)
    assert all(line.startswith("kuutamod: ") for line in lines)
    for wanted in (
        "did you mean --node-id",
        "KUUTAMO_EXPORTER_ADDRESS is '2233'",
        "ends too early",
        "--guard-time 5 * 0.99",
    ):
        assert wanted in done.stderr
    assert "Traceback" not in done.stderr
    assert node.config.read_bytes() == before
    assert list(node["neard-home"].iterdir()) == [node.config], "nothing was begun"


@pytest.mark.parametrize("name", ["kuutamod", "kuutamoctl"])
@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version(name: str, flag: str) -> None:
    done = program(name, flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert name in done.stdout


# --- kuutamoctl ---


def test_kuutamoctl_exits_3_when_consul_can_not_be_asked(closed_url: str) -> None:
    done = program("kuutamoctl", "active-validator", "--consul-url", closed_url)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"kuutamoctl: Consul can't be asked: {closed_url}: Connection refused\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["active"], "invalid choice: "),
        (["active-validator", "--jsn"], "--jsn (flag): there is no such option; did you mean --json?"),
        (["--consul-ur", "x", "active-validator"], "did you mean --consul-url?"),
        (["active-validator", "--consul-url", "x"], "--consul-url / KUUTAMO_CONSUL_URL is 'x' (flag --consul-url)"),
        (["active-validator", "--consul-url"], "it is given without a value"),
        (["active-validator", "--account-id", "a/b"], "--account-id / KUUTAMO_ACCOUNT_ID is 'a/b'"),
        (["--yes", "active-validator"], "--yes (flag): active-validator does not take it"),
        (["--json", "confirm"], "--json (flag): confirm does not take it"),
        (["confirm", "--json"], "unrecognized arguments: --json"),
        (["confirm", "now"], "unrecognized arguments: now"),
        (["status", "--watch=0"], "argument --watch: '0' is not a number of seconds from 0.5 to 3600"),
        (["status", "--watch=nan"], "argument --watch: 'nan' is not a number of seconds"),
        (["status", "--watch", "--json"], "--watch (flag), --json (flag): they don't go together"),
        (["history", "-n", "0"], "argument -n: '0' is not a whole number from 1 to 100000"),
        (["history", "-n", "1e3"], "argument -n: '1e3' is not a whole number"),
        (["-n3", "status"], "-n (flag): status does not take it; it belongs to history"),
    ],
)
def test_kuutamoctl_exits_2_for_faulty_options(arguments: list[str], message: str) -> None:
    done = program("kuutamoctl", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert all(line.startswith("kuutamoctl: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize("command", ["status", "history"])
def test_views_exit_3_when_consul_can_not_be_asked(closed_url: str, command: str) -> None:
    done = program("kuutamoctl", command, "--consul-url", closed_url)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"kuutamoctl: Consul can't be asked: {closed_url}: Connection refused\n"


def test_status_as_json_is_an_object_even_without_consul(closed_url: str) -> None:
    done = program("kuutamoctl", "status", "--json", "--account-id", "a.near", "--consul-url", closed_url)
    found = json.loads(done.stdout)
    assert (done.returncode, found["code"], found["account"], found["lock"]) == (3, 3, "a.near", None)
    assert found["verdict"] == f"Consul can't be asked: {closed_url}: Connection refused"
    assert done.stderr == f"kuutamoctl: {found['verdict']}\n"


def test_kuutamoctl_does_not_repeat_the_value_of_an_unknown_option() -> None:
    done = program("kuutamoctl", "--consul-token", "hunter2", "active-validator")
    assert done.returncode == 2
    assert "did you mean --consul-token-file?" in done.stderr
    assert "hunter2" not in done.stderr


@dataclass
class FakeConsul:
    """Stands for the two questions to Consul; remembers who was asked."""

    leader: LeaderInfo = field(default_factory=lambda: LeaderInfo(SESSION, had_key=True))
    fault: ConsulError | None = None
    asked: list[tuple[tuple[str, ...], str, str]] = field(default_factory=list)

    def active_validator(self, settings: ConsulSettings, account_id: str, deadline: float) -> LeaderInfo:
        """As in kuutamod.consul.leader."""
        assert deadline > 0
        self.asked.append((settings.urls, account_id, "active-validator"))
        if self.fault is not None:
            raise self.fault
        return self.leader

    def confirm(self, settings: ConsulSettings, account_id: str, deadline: float) -> Confirmation:
        """As in kuutamod.consul.leader."""
        assert deadline > 0
        self.asked.append((settings.urls, account_id, "confirm"))
        return Confirmation(
            LockRecord("host-a", "node-a", 7, last_height=99), FleetConfig(confirmed_term=7, confirmed_seen=9)
        )


@pytest.fixture
def consul(monkeypatch: pytest.MonkeyPatch) -> FakeConsul:
    """kuutamoctl's Consul, where node-a holds the lock; no variable is set."""
    fake = FakeConsul()
    monkeypatch.setattr(leader, "active_validator", fake.active_validator)
    monkeypatch.setattr(leader, "confirm", fake.confirm)
    for name in ("KUUTAMO_CONSUL_URL", "KUUTAMO_ACCOUNT_ID", "KUUTAMO_CONSUL_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return fake


def test_the_holders_name(consul: FakeConsul, capsys: pytest.CaptureFixture[str]) -> None:
    assert kuutamoctl.main(["active-validator"]) == 0
    assert capsys.readouterr() == ("Name: node-a\n", "")
    assert consul.asked == [(("http://127.0.0.1:8500",), "default", "active-validator")]


@pytest.mark.parametrize("arguments", [["active-validator", "--json"], ["--json", "active-validator"]])
def test_the_holders_session(consul: FakeConsul, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert kuutamoctl.main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == SESSION


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_no_leader(consul: FakeConsul, capsys: pytest.CaptureFixture[str], json_flag: list[str]) -> None:
    consul.leader = LeaderInfo(None, had_key=False)
    assert kuutamoctl.main(["active-validator", *json_flag]) == 1
    assert capsys.readouterr() == ("", "No leader found\n")


def test_the_last_session_has_expired(consul: FakeConsul, capsys: pytest.CaptureFixture[str]) -> None:
    consul.leader = LeaderInfo(None, had_key=True)
    assert kuutamoctl.main(["active-validator"]) == 2
    assert capsys.readouterr() == ("", "kuutamoctl: the last session expired\n")


@pytest.mark.parametrize("command", [["active-validator"], ["confirm", "--yes"]])
def test_consul_refuses(consul: FakeConsul, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    consul.fault = ConsulError(Fault.FORBIDDEN, "permission denied; check the Consul token and policy")
    assert kuutamoctl.main(command) == 3
    assert "permission denied; check the Consul token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (["--consul-url", "http://127.0.0.2:1", "--account-id", "a.near", "active-validator"], {}),
        (["active-validator", "--consul-url", "http://127.0.0.2:1", "--account-id=a.near"], {}),
        (["--account-id", "a.near", "active-validator", "--consul-url", "http://127.0.0.2:1"], {}),
        (["active-validator"], {"KUUTAMO_CONSUL_URL": "http://127.0.0.2:1", "KUUTAMO_ACCOUNT_ID": "a.near"}),
        (
            ["--account-id", "a.near", "active-validator"],
            {"KUUTAMO_CONSUL_URL": "http://127.0.0.2:1", "KUUTAMO_ACCOUNT_ID": "b.near"},
        ),
    ],
)
def test_who_is_asked_for_what(
    consul: FakeConsul, monkeypatch: pytest.MonkeyPatch, arguments: list[str], env: dict[str, str]
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert kuutamoctl.main(arguments) == 0
    assert consul.asked == [(("http://127.0.0.2:1",), "a.near", "active-validator")]


@pytest.mark.parametrize("arguments", [["confirm", "--yes"], ["--yes", "confirm"]])
def test_confirm_without_a_question(consul: FakeConsul, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert kuutamoctl.main(arguments) == 0
    assert [what for *_rest, what in consul.asked] == ["active-validator", "confirm"]
    out = capsys.readouterr().out
    assert "kuutamod-leader/default is held by node-a." in out
    assert "term 7" in out
    assert "height 99" in out


def test_confirm_without_a_terminal_does_nothing(consul: FakeConsul, capsys: pytest.CaptureFixture[str]) -> None:
    assert kuutamoctl.main(["confirm"]) == 1
    assert [what for *_rest, what in consul.asked] == ["active-validator"]
    assert "--yes" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "code"), [("nothing signs", 0), ("yes", 1), ("", 1), (EOFError(), 1)])
def test_confirm_asks_at_a_terminal(
    consul: FakeConsul, monkeypatch: pytest.MonkeyPatch, answer: str | EOFError, code: int
) -> None:
    def reply(_unused: str) -> Any:
        if isinstance(answer, EOFError):
            raise answer
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", reply)
    assert kuutamoctl.main(["confirm"]) == code
    assert ("confirm" in [what for *_rest, what in consul.asked]) == (code == 0)


def test_ctrl_c_ends_quietly(
    consul: FakeConsul, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_unused: object) -> LeaderInfo:
        raise KeyboardInterrupt

    monkeypatch.setattr(leader, "active_validator", interrupted)
    assert kuutamoctl.main(["active-validator"]) == 130
    assert capsys.readouterr() == ("", "")


def test_an_output_that_nobody_reads_ends_it_quietly(closed_url: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [BIN / "kuutamoctl", "status", "--json", "--consul-url", closed_url],
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    finally:
        os.close(theirs)
    assert done.returncode == 141
    assert done.stderr == f"kuutamoctl: Consul can't be asked: {closed_url}: Connection refused\n"
