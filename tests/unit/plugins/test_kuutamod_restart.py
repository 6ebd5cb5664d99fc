# SPDX-License-Identifier: Apache-2.0
"""kuutamod_restart: it asks, and restarts at once; never what holds the lock, or can't say that it does not."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from unit.plugins.rig import run

SYSTEMCTL = """#!/bin/sh
echo "$@" >> {log}
case $1 in
show) printf 'ActiveState=%s\\nUnitFileState=%s\\n' "$(cat {state})" "$(cat {enabled})";;
restart) test ! -e {broken} || {{ echo 'Job failed.' >&2; exit 1; }};;
esac
"""


class Host:
    """What systemd says and was told, and what kuutamod answers; it says nothing while ``status`` is None."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status: object = None
        self.log = folder / "log"
        program = folder / "systemctl"
        program.write_text(
            SYSTEMCTL.format(log=self.log, state=folder / "state", enabled=folder / "enabled", broken=folder / "broken")
        )
        program.chmod(0o755)
        self.state("active")
        (folder / "enabled").write_text("enabled")
        host = self

        class Exporter(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if host.status is None:
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(host.status).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Exporter)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def state(self, state: str) -> None:
        (self.folder / "state").write_text(state)

    def told(self) -> list[str]:
        """What systemctl was told to do, since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("show ")]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    host = Host(tmp_path)
    yield host
    host.server.shutdown()


RESTARTED = ["restart kuutamod.service"]


@pytest.mark.parametrize(
    ("state", "status", "fault"),
    [
        ("active", {"role": "standby"}, ""),
        ("active", {"role": None}, ""),
        ("active", {"role": "validator"}, "kuutamod holds the lock"),
        ("deactivating", {"role": "validator"}, "kuutamod holds the lock"),
        ("activating", {"role": "validator"}, "kuutamod holds the lock"),
        ("active", None, "does not answer"),
        ("active", {}, "does not answer"),
        ("active", [], "does not answer"),
        ("reloading", None, "does not answer"),
        ("deactivating", None, "does not answer"),
        ("activating", None, ""),
        ("inactive", None, ""),
        ("failed", None, ""),
    ],
)
def test_only_what_does_not_hold_the_lock_is_restarted(host: Host, state: str, status: object, fault: str) -> None:
    host.state(state)
    host.status = status
    done = run("kuutamod_restart", url=host.url)
    assert done.told == (bool(fault), not fault)
    if fault:
        assert fault in done["msg"]
        assert "kuutamo.near.handover" in done["msg"]
    assert host.told() == ([] if fault else RESTARTED)


def test_the_holder_is_restarted_where_that_is_asked_for(host: Host) -> None:
    host.status = {"role": "validator"}
    done = run("kuutamod_restart", url=host.url, holder=True)
    assert (done["before"], done["role"], host.told()) == ("active", "validator", RESTARTED)


def test_check_mode_says_the_same_and_does_nothing(host: Host) -> None:
    host.status = {"role": "standby"}
    assert run("kuutamod_restart", check=True, url=host.url).told == (False, True)
    host.status = {"role": "validator"}
    assert run("kuutamod_restart", check=True, url=host.url).told == (True, False)
    assert host.told() == []


def test_a_restart_that_fails_says_where_to_look(host: Host) -> None:
    host.status = {"role": "standby"}
    (host.folder / "broken").touch()
    done = run("kuutamod_restart", url=host.url)
    assert done["msg"] == "systemctl restart kuutamod.service ended with 1: Job failed.; look at journalctl -u kuutamod"
    # What ran is ended.
    assert (done.told, done["before"], done["role"]) == ((True, True), "active", "standby")


def test_it_comes_back_at_boot(host: Host) -> None:
    host.status = {"role": "standby"}
    (host.folder / "enabled").write_text("disabled")
    run("kuutamod_restart", url=host.url)
    assert host.told() == [*RESTARTED, "enable kuutamod.service"]
