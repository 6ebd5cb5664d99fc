# SPDX-License-Identifier: Apache-2.0
"""Starts and asks a neard for the conformance suite: the stand-in, or the real binary that NEARD names."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kuutamo_localnet.ports import reserve_port
from neard_standin.control import set_behaviour
from neard_standin.journal import Record, read_journal
from neard_standin.keys import read_key_file
from neard_standin.ledger import JOURNAL_FILE, Ledger, Validator
from neard_standin.startup import PRIVATE_LEDGER

REAL_BINARY = os.environ.get("NEARD")
COMMAND = [REAL_BINARY] if REAL_BINARY else [sys.executable, "-m", "neard_standin.cli"]
# A real node opens a database; the deadlines only decide how long a failure takes.
DEADLINE_S = 120.0 if REAL_BINARY else 10.0
ACCOUNT = "validator.test"
CHAIN = "conformance"
_BLOCK_TIME_MS = 100
_POLL_S = 0.01
_Answer = TypeVar("_Answer")

standin_only = pytest.mark.skipif(REAL_BINARY is not None, reason="a fault which only the stand-in shows on demand")


def until(question: Callable[[], _Answer], what: str, deadline_s: float = DEADLINE_S) -> _Answer:
    """The first truthy answer to `question`; AssertionError naming `what` after `deadline_s` seconds."""
    end = time.monotonic() + deadline_s
    while not (answer := question()):
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(_POLL_S)
    return answer


def free_address() -> str:
    """An address on the loopback interface with a port that no other test is handed."""
    return f"127.0.0.1:{reserve_port()}"


def neard(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a neard command to its end."""
    command = [*COMMAND, "--home", str(home), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@dataclass
class NeardProcess:
    """One home and the node that runs in it."""

    home: Path
    rpc: str = field(default_factory=free_address)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def make(cls, home: Path) -> NeardProcess:
        """A fresh home of a chain with one validator, on free loopback ports."""
        made = neard(home, "init", "--chain-id", CHAIN, "--account-id", ACCOUNT)
        assert made.returncode == 0, made.stderr
        node = cls(home)
        config = node.read_config()
        config["rpc"]["addr"] = node.rpc
        config["network"]["addr"] = free_address()
        config["consensus"]["min_num_peers"] = 0
        node.write_config(config)
        if not REAL_BINARY:
            seats = [Validator(ACCOUNT, read_key_file(node.key_path).public_key)]
            Ledger.create(node.ledger_path, block_time_ms=_BLOCK_TIME_MS, validators=seats, chain_id=CHAIN)
        return node

    @property
    def ledger_path(self) -> Path:
        """The chain of a stand-in that shares none; it would make one with a slower pace itself."""
        return self.home / PRIVATE_LEDGER

    @property
    def key_path(self) -> Path:
        return self.home / "validator_key.json"

    @property
    def log_path(self) -> Path:
        return self.home / "stderr.log"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.processes[-1]

    @property
    def pid(self) -> int:
        return self.process.pid

    def read_config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((self.home / "config.json").read_text())
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        (self.home / "config.json").write_text(json.dumps(config))

    def start(self, *arguments: str, wait: bool = True, environment: dict[str, str] | None = None) -> NeardProcess:
        """Start the node; with `wait`, return when it answers and its signal handlers are installed."""
        with self.log_path.open("ab") as log, (self.home / "stdout.log").open("ab") as out:
            command = [*COMMAND, "--home", str(self.home), "run", *arguments]
            env = {**os.environ, **(environment or {})}
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=env))
        if wait:
            self.wait_up()
        return self

    def wait_up(self) -> None:
        until(self.answers_and_catches_hup, f"{self.home} is up\n{self.log()}")

    def answers_and_catches_hup(self) -> bool:
        assert self.process.poll() is None, f"neard ended with {self.process.returncode}\n{self.log()}"
        return self.catches_hup() and self.status_or_none() is not None

    def catches_hup(self) -> bool:
        """Bit 0 of SigCgt in /proc/<pid>/status: the gate before any SIGHUP."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        caught = next(line for line in text.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) & 1)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_end(self, deadline_s: float = DEADLINE_S) -> int:
        """The exit status (negative: the signal) of the node."""
        return self.process.wait(deadline_s)

    def stop(self) -> None:
        """End whatever still runs; stopped and hanging processes too."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def http(
        self, method: str, path: str, body: bytes | None = None, timeout: float = 5.0
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        host, _unused, port = self.rpc.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        try:
            connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        code, body, _unused = self.http("GET", "/status")
        assert code == 200
        status: dict[str, Any] = json.loads(body)
        return status

    def status_or_none(self) -> dict[str, Any] | None:
        try:
            return self.status()
        except (OSError, AssertionError, http.client.HTTPException):
            return None

    def head(self) -> int:
        return int(self.status()["sync_info"]["latest_block_height"])

    def account(self) -> str | None:
        """The validator account that /status shows: None without a key."""
        account: str | None = self.status()["validator_account_id"]
        return account

    def metric(self, name: str) -> float | None:
        _status, body, _headers = self.http("GET", "/metrics")
        values = [line.rpartition(" ")[2] for line in body.decode().splitlines() if line.startswith(f"{name} ")]
        return float(values[0]) if values else None

    def call(self, method: str, params: Any) -> tuple[int, dict[str, Any]]:
        body = json.dumps({"jsonrpc": "2.0", "id": "c", "method": method, "params": params}).encode()
        code, answer, _unused = self.http("POST", "/", body)
        content: dict[str, Any] = json.loads(answer)
        return code, content

    def reload(self) -> None:
        """Send SIGHUP and wait until the reload is counted."""
        before = self.metric("near_config_reloads_total") or 0
        self.signal(signal.SIGHUP)
        until(lambda: (self.metric("near_config_reloads_total") or 0) > before, "the reload counter moves")

    def behave(self, **changes: Any) -> None:
        """Change the stand-in's behaviour."""
        set_behaviour(self.home, **changes)

    def journal(self) -> list[Record]:
        """What all stand-ins of this home's private chain recorded."""
        return read_journal(self.ledger_path / JOURNAL_FILE)
