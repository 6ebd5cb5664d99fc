# SPDX-License-Identifier: Apache-2.0
"""Podman, as far as a fleet needs it."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from .errors import FleetError
from .machine import Machine, detect, install, require_systemd_containers

DEADLINE = 120.0  # seconds for one command
CONFIG_FILE = "containers.conf"


class Podman:
    """One machine's podman. `environment` is what each command is run with."""

    def __init__(self, machine: Machine, environment: dict[str, str]) -> None:
        self.machine = machine
        self.environment = environment

    @classmethod
    def prepare(cls, directory: Path) -> Podman:
        """Podman ready for use: programs installed, its configuration for this machine in `directory`.

        A CONTAINERS_CONF of the caller's is used as it is. Raises FleetError where no host can be booted.
        """
        machine = detect()
        require_systemd_containers(machine)
        install(machine)
        environment = dict(os.environ)
        environment["PATH"] = environment.get("PATH", "") + ":/usr/sbin:/sbin"
        # A user's images lie below the true home, whatever HOME is set to for the time of a test.
        environment["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir
        text = machine.containers_conf()
        if text is not None and "CONTAINERS_CONF" not in environment:
            path = directory.resolve() / CONFIG_FILE
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
            environment["CONTAINERS_CONF"] = str(path)
        return cls(machine, environment)

    def attempt(
        self,
        *arguments: str,
        stdin: str | None = None,
        deadline: float = DEADLINE,
    ) -> subprocess.CompletedProcess[str]:
        """Run `podman arguments...`; the caller looks at the exit code. Raises FleetError after `deadline` seconds."""
        try:
            return subprocess.run(
                ["podman", *arguments],
                env=self.environment,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=deadline,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise FleetError(f"`podman {' '.join(arguments[:3])} ...` did not finish within {deadline:g} s") from None
        except FileNotFoundError:
            raise FleetError("podman is not installed: apt-get install podman") from None

    def run(self, *arguments: str, stdin: str | None = None, deadline: float = DEADLINE) -> str:
        """The output of `podman arguments...`. Raises FleetError, with podman's own words, when it fails."""
        done = self.attempt(*arguments, stdin=stdin, deadline=deadline)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
            raise FleetError(f"`podman {' '.join(arguments[:4])} ...` failed: {said[-1]}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The JSON which `podman arguments...` prints."""
        return json.loads(self.run(*arguments) or "null")

    def exec(self, container: str, argv: Sequence[str], *, stdin: str | None = None, deadline: float = DEADLINE) -> str:
        """The output of a program in a container. Raises FleetError when it fails."""
        flags = ["--interactive"] if stdin is not None else []
        return self.run("exec", *flags, container, *argv, stdin=stdin, deadline=deadline)

    def containers(self, label: str) -> dict[str, dict[str, Any]]:
        """All containers with `label` (`key=value`), running or not, by name."""
        found = self.json("ps", "--all", "--filter", f"label={label}", "--format", "json") or []
        return {item["Names"][0]: item for item in found}

    def image_label(self, image: str, label: str) -> str | None:
        """The value of an image's label, None when there is no such image or label."""
        done = self.attempt("image", "inspect", "--format", f'{{{{ index .Labels "{label}" }}}}', image)
        return done.stdout.strip() or None if done.returncode == 0 else None

    def import_image(self, image: str, labels: dict[str, str]) -> subprocess.Popen[bytes]:
        """A running `podman import` that reads a tar from its standard input."""
        changes = [part for name, value in labels.items() for part in ("--change", f"LABEL {name}={value}")]
        return subprocess.Popen(
            ["podman", "import", "--quiet", *changes, "-", image],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )


def pipe_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """The standard input of `process`."""
    assert process.stdin is not None
    return process.stdin
