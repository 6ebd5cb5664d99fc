# SPDX-License-Identifier: Apache-2.0
"""Messages to systemd, on real sockets."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuutamod.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd's, and its address as in NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        address = str(tmp_path / "notify") if request.param == "path" else f"@kuutamod-{uuid.uuid4()}"
        listening.bind(address.replace("@", "\0") if request.param == "abstract" else address)
        listening.settimeout(30)
        yield listening, address


def test_the_four_messages(systemd: tuple[socket.socket, str]) -> None:
    listening, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert notifier.ready()
    assert notifier.status("Voting: waiting")
    assert notifier.watchdog()
    assert notifier.stopping()
    received = [listening.recv(1000) for _unused in range(4)]
    assert received == [b"READY=1", b"STATUS=Voting: waiting", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_status_can_not_smuggle_in_another_message(systemd: tuple[socket.socket, str]) -> None:
    listening, address = systemd
    assert Notifier({"NOTIFY_SOCKET": address}).status("bad answer\nMAINPID=1\r\nWATCHDOG=1")
    assert listening.recv(1000) == b"STATUS=bad answer MAINPID=1 WATCHDOG=1"


def test_a_full_socket_costs_a_message_and_no_time(systemd: tuple[socket.socket, str]) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd[1]})
    assert not all(notifier.watchdog() for _unused in range(100_000)), "the socket never filled up"


@pytest.mark.parametrize("address", ["", "relative/path", "vsock:2:1234", "/nowhere/at/all", "/" + 200 * "x", "@"])
def test_without_a_usable_socket_nothing_happens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert not notifier.ready()
    assert not notifier.status("text")


def test_the_variables_are_gone_from_what_children_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert Notifier().watchdog_interval() == 5.0
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(os.environ)
    assert Notifier().watchdog_interval() is None


@pytest.mark.parametrize("patience", ["", "0", "-5", "soon", "1e6", "9" * 400])
def test_a_watchdog_that_makes_no_sense_is_none(patience: str) -> None:
    assert Notifier({"WATCHDOG_USEC": patience}).watchdog_interval() is None


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    mine = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    other = {**mine, "WATCHDOG_PID": str(os.getppid())}
    assert Notifier(mine).watchdog_interval() == 1.5
    assert Notifier(other).watchdog_interval() is None
