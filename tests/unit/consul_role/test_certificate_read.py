# SPDX-License-Identifier: Apache-2.0
"""A certificate that was written and never read by the agent is noticed by each later run."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from unit.consul_role.rig import Host
from unit.consul_role.values import value
from unit.plays import include, play
from unit.plugins.tls import Authority, Pair


@contextlib.contextmanager
def shown(pair: Pair) -> Iterator[int]:
    """The port of an agent that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _peer = server.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                        secure.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def seen(port: int) -> str:
    """What the look at the host has of it."""
    words = value("{{ __consul_shown_words }}", __consul_port=port)
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip()


def serial(pair: Pair) -> str:
    """As consul_certificate tells it."""
    from unit.playbooks.rig import rules

    paper = rules("_consul_ca", "module_utils")._paper(pair.cert.read_text(), ())
    assert int(paper.serial, 16) == x509.load_pem_x509_certificate(pair.cert.read_bytes()).serial_number
    return str(paper.serial)


def test_what_an_agent_shows_is_compared_with_what_it_should_show(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old, new = authority.issue("old", "127.0.0.1"), authority.issue("new", "127.0.0.1")
    with shown(old) as port:
        out = seen(port)
    assert out == f"serial={serial(old)}"
    for there, wanted, unread in ((out, serial(old), False), (out, serial(new), True), ("", serial(new), False)):
        host = {"commands": {"shown": {"out": there}}}
        found = value("{{ __consul_certificate_unread }}", __consul_host=host, __consul_signed={"serial": wanted})
        assert found is unread
    # Check mode has no new certificate to compare with.
    host = {"commands": {"shown": {"out": out}}}
    assert value("{{ __consul_certificate_unread }}", __consul_host=host, __consul_signed={"serial": None}) is False
    assert value("{{ __consul_certificate_unread }}", __consul_host={"commands": {}}, __consul_signed={}) is False


def test_where_nobody_listens_nothing_is_seen() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert seen(taken.getsockname()[1]) == ""


@pytest.mark.parametrize("unread", [True, False])
def test_the_agent_reads_it_then_and_only_then(tmp_path: Path, unread: bool) -> None:
    host = Host(tmp_path)
    unit = {"ActiveState": "active", "UnitFileState": "enabled"}
    given = {
        **host.variables(1),
        "consul_https": True,
        "__consul_host": {"units": {"consul.service": unit}, "commands": {"shown": {"out": "serial=0A"}}},
        "__consul_signed": {"serial": "0B" if unread else "0A"},
        "__consul_written": {"paths": []},
        "__consul_tls_files": {"changed": False},
    }
    done = play(tmp_path, [include("consul", "service")], {"a": {}}, extra=given, programs=host.programs)
    assert done.code == 0, done.out
    assert host.done == (["reload consul.service"] if unread else [])
    assert f"changed={int(unread)}" in done.out
