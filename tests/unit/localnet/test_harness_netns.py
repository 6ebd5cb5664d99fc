# SPDX-License-Identifier: Apache-2.0
"""Network labs: who reaches whom, before, during and after a cut, and that nothing is left behind."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuutamo_localnet.netns import NAMESPACES, LabHost, NetnsError, NetworkLab, available
from kuutamo_localnet.process import Process
from kuutamo_localnet.wait import eventually

pytestmark = pytest.mark.root
needs_lab = pytest.mark.skipif(not available(), reason="network namespaces need root, iproute2 and veth")


@pytest.fixture
def lab() -> Iterator[NetworkLab]:
    with NetworkLab() as lab:
        yield lab


def reached(hosts: list[LabHost], expected: set[str]) -> set[str]:
    """All pairs of different hosts between which a packet arrives, as `ab`. What is expected may take its time."""
    pairs = {a.name + b.name: (a, b) for a in hosts for b in hosts if a is not b}
    return {pair for pair, (a, b) in pairs.items() if a.reaches(b, 10 if pair in expected else 0.2)}


@needs_lab
def test_cuts_and_heals(lab: NetworkLab) -> None:
    hosts = [lab.host(name) for name in "abc"]
    everyone, others = {"ab", "ac", "ba", "bc", "ca", "cb"}, {"bc", "cb"}
    assert reached(hosts, everyone) == everyone
    hosts[0].cut()
    assert reached(hosts, others) == others
    hosts[0].heal()
    assert reached(hosts, everyone) == everyone
    hosts[0].cut_incoming()
    assert reached(hosts, others | {"ab", "ac"}) == others | {"ab", "ac"}
    hosts[0].heal()
    assert reached(hosts, everyone) == everyone


@needs_lab
def test_a_cut_host_notices_nothing_but_silence(lab: NetworkLab) -> None:
    a, b = lab.host("a"), lab.host("b")
    with b.socket() as listener, a.socket() as client:
        listener.bind((b.address, 0))
        listener.listen()
        client.settimeout(10)
        client.connect(listener.getsockname())
        server, _unused = listener.accept()
        with server:
            a.cut()
            server.sendall(b"sent during the cut")
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(1)
            a.heal()
            client.settimeout(60)
            assert client.recv(100) == b"sent during the cut"


@needs_lab
def test_labs_do_not_see_each_other_and_leave_nothing_behind() -> None:
    threads = set(threading.enumerate())
    with NetworkLab() as one, NetworkLab() as two:
        # Others on this machine have namespaces, too, which come and go.
        prefixes = (one.prefix, two.prefix)
        hosts = [one.host("a"), two.host("filler"), two.host("b")]
        assert hosts[0].address == two.host("filler").address
        with pytest.raises(OSError, match=r"timed out|No route"), hosts[0].socket() as probe:
            probe.settimeout(0.3)
            probe.connect((hosts[2].address, 1))
        assert sum(path.name.startswith(prefixes) for path in NAMESPACES.iterdir()) == 5
    assert not [path for path in NAMESPACES.iterdir() if path.name.startswith(prefixes)]
    assert set(threading.enumerate()) == threads


@needs_lab
def test_programs_run_inside_and_are_reachable_from_here(lab: NetworkLab, tmp_path: Path) -> None:
    host = lab.host("a")
    script = (
        f"import socket\ns = socket.create_server(('{host.address}', 8000))\nwhile True: s.accept()[0].sendall(b'hello')"
    )
    with Process(
        [shutil.which("python3") or "python3", "-c", script], log=tmp_path / "log", prefix=host.popen_prefix()
    ) as server:
        namespaces = [Path(f"/proc/{pid}/ns/net") for pid in (server.pid, os.getpid())]
        eventually(lambda: len({path.readlink() for path in namespaces}) == 2, 20, "another namespace than ours")
        address, port = host.expose(8000).removeprefix("http://").split(":")
        host.cut()  # what is exposed does not go through the lab's switch

        def answer() -> bytes:
            with socket.create_connection((address, int(port)), timeout=2) as client:
                client.sendall(b"?")
                return client.recv(100)

        assert eventually(answer, 20, "an answer of the program") == b"hello"


@needs_lab
def test_a_failed_command_is_told(lab: NetworkLab) -> None:
    lab.host("a")
    with pytest.raises(NetnsError, match=r"ip netns add .*File exists"):
        LabHost(lab, "a", 9)


def test_unprivileged_users_are_told_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert available() is False
