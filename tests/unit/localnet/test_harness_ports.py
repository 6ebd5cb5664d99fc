# SPDX-License-Identifier: Apache-2.0
"""Port reservations: distinct, bindable, outside the ephemeral range, given back."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kuutamo_localnet import ports
from kuutamo_localnet.ports import EPHEMERAL_RANGE, PortPool, is_free


def test_candidates_leave_out_the_ephemeral_range() -> None:
    low, high = map(int, EPHEMERAL_RANGE.read_text().split())
    assert not [port for port in ports.candidate_ports() if low <= port <= high]


def test_two_pools_never_hand_out_the_same_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = ports.candidate_ports()[:8]
    monkeypatch.setattr(ports, "candidate_ports", lambda: list(candidates))
    monkeypatch.setattr(ports, "is_free", lambda _port, _host: True)
    first, second = PortPool(tmp_path), PortPool(tmp_path)
    taken = first.reserve(4) + second.reserve(4)
    assert sorted(taken) == candidates
    with pytest.raises(RuntimeError, match="only 0 of 1 ports"):
        first.reserve()
    second.close()
    assert len(first.reserve(4)) == 4
    first.close()


def test_another_process_is_not_handed_a_reserved_port_until_it_is_released(tmp_path: Path) -> None:
    pool = PortPool(tmp_path)
    port = pool.reserve()[0]
    script = (
        "import sys; from pathlib import Path; from kuutamo_localnet import ports;"
        "ports.candidate_ports = lambda: [int(sys.argv[2])];"
        "print(ports.PortPool(Path(sys.argv[1])).reserve())"
    )
    other = [sys.executable, "-c", script, str(tmp_path), str(port)]
    refused = subprocess.run(other, capture_output=True, text=True, timeout=30, check=False)
    assert "RuntimeError: only 0 of 1 ports" in refused.stderr
    pool.release(port)
    granted = subprocess.run(other, capture_output=True, text=True, timeout=30, check=True)
    assert granted.stdout.strip() == f"[{port}]"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_is_not_free(tmp_path: Path, kind: socket.SocketKind) -> None:
    pool = PortPool(tmp_path)
    port = pool.reserve()[0]
    assert is_free(port)
    with socket.socket(socket.AF_INET, kind) as user:
        user.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            user.listen()
        assert not is_free(port)
    pool.close()
