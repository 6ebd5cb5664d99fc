# SPDX-License-Identifier: Apache-2.0
"""A node's files, what a preflight of them finds, and strangers that get in the way."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kuutamod.preflight.finding import Finding, Level, Topic
from kuutamod.preflight.inspect import inspect
from unit.settings.node_files import NodeFiles

RELEASE = "neard (release 2.11.0) (build 2.11.0) (commit x) (rustc 1.86.0) (protocol 83) (db 47)"
NO_CONSUL = "http://127.0.0.1:1"


@dataclass
class Node:
    """A node that is right but for its Consul, which does not run; ``files`` is for spoiling it."""

    files: NodeFiles

    @classmethod
    def make(cls, root: Path) -> Node:
        """A node below ``root``."""
        files = NodeFiles.make(root)
        files.options |= {"consul-url": NO_CONSUL, "account-id": "fleet.near"}
        (root / "home" / "genesis.json").write_text("{}")
        node = cls(files)
        node.program(f"echo '{RELEASE}'")
        node.files.edit_config(lambda data: data["store"].update(load_mem_tries_for_tracked_shards=True))
        node.files.edit_config(lambda data: data.update(tracked_shards_config={"ShadowValidator": "fleet.near"}))
        return node

    def program(self, body: str) -> None:
        """Make neard a shell script."""
        self.files["neard-bin"].write_text(f"#!/bin/sh\n{body}\n")

    def inspect(self, **given: str) -> tuple[Finding, ...]:
        """What the preflight finds."""
        options = {name.replace("-", "_"): str(value) for name, value in self.files.options.items()}
        return inspect({**options, **given}, self.files.env).findings

    def found(self, topic: Topic, level: Level | None = None) -> list[Finding]:
        """What it finds about one topic, and on one level."""
        return [each for each in self.inspect() if each.topic is topic and level in (None, each.level)]

    def one(self, topic: Topic, level: Level) -> Finding:
        """The one finding of that kind."""
        every = self.inspect()
        found = [each for each in every if each.topic is topic and each.level is level]
        assert len(found) == 1, every
        return found[0]


@contextlib.contextmanager
def another_process(code: str, **env: str) -> Iterator[int]:
    """The pid of a Python program that has run ``code`` and goes on living."""
    program = f"{code}\nprint('ready', flush=True)\nimport time\ntime.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=env, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


def database_opened(home: Path, **env: str) -> contextlib.AbstractContextManager[int]:
    """A process that holds the database's lock as RocksDB does."""
    lock = home / "data" / "LOCK"
    lock.parent.mkdir(exist_ok=True)
    return another_process(f"import fcntl\nfile = open({str(lock)!r}, 'w')\nfcntl.lockf(file, fcntl.LOCK_EX)", **env)


def secret_of(path: Path) -> str:
    """What must never be printed of a key file."""
    secret = json.loads(path.read_text())["secret_key"]
    assert isinstance(secret, str)
    return secret.removeprefix("ed25519:")
