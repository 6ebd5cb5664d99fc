# SPDX-License-Identifier: Apache-2.0
"""How a module reaches Consul, and the one message it ends with when it can't."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from integration.written_fleet import WrittenFleet
from kuutamo_localnet.consul import ConsulServer
from kuutamo_localnet.ports import PortPool
from kuutamo_localnet.wait import eventually
from unit.plugins import rig
from unit.plugins.rig import Answer, address, refused, run
from unit.plugins.tls import Authority

Ask = Callable[..., Answer]
MODULES: dict[str, dict[str, Any]] = {
    "validator_info": {},
    "validator_handover": {},
    "validator_pause": {},
    "validator_drain": {"node": "n1"},
    "validator_maintenance": {},
}


# --- who may ask ---


@pytest.mark.parametrize("name", MODULES)
def test_a_token_without_the_right_is_refused(guarded: ConsulServer, account: str, name: str) -> None:
    acl = guarded.acl()
    token = acl.reader_token(f"other-{account}").secret
    to = {"account_id": account, **address(guarded.url), **MODULES[name]}
    refused(run(name, token=token, **to), "forbidden", "permission denied")
    anonymous = run(name, **to)
    refused(anonymous, "forbidden", "; set token or token_file")


@pytest.mark.parametrize("name", ["validator_handover", "validator_pause", "validator_drain", "validator_maintenance"])
def test_a_reader_changes_nothing(guarded: ConsulServer, account: str, name: str) -> None:
    client = guarded.client()
    fleet = WrittenFleet(client, account)
    fleet.join("n1", promotion="hot-swap")
    fleet.join("n2", eligible=True, promotion="hot-swap", latest_protocol=84)
    fleet.hold("n1", 7)
    before = client.kv_list("")
    token = guarded.acl().reader_token(account).secret
    told = run(name, account_id=account, token=token, **address(guarded.url), **MODULES[name])
    fleet_after = client.kv_list("")
    fleet.end()
    refused(told, "forbidden", "permission denied")
    assert token not in str(told.results)
    assert fleet_after == before


def test_an_operator_may_all_of_it(guarded: ConsulServer, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.module("validator_drain"), "HEARD", 0.0)  # nobody is there to hear of it
    fleet = WrittenFleet(guarded.client(), account)
    fleet.join("n1", promotion="hot-swap")
    fleet.join("n2")
    fleet.hold("n1", 7)
    to = {"account_id": account, "token": guarded.acl().operator_token(account).secret, **address(guarded.url)}
    held = run("validator_maintenance", **to)
    assert held.told == (False, True)
    assert run("validator_maintenance", session=held["session"], **to).told == (False, False)
    assert run("validator_pause", **to).told == (False, True)
    assert run("validator_drain", node="n2", **to).told == (False, True)
    shown = run("validator_info", **to)
    assert (shown["drained"], shown["unreadable"]) == (["n2"], {})
    assert run("validator_maintenance", state="absent", session=held["session"], **to).told == (False, True)
    fleet.end()


def test_a_token_file_is_read(guarded: ConsulServer, account: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(guarded.acl().reader_token(account).secret + "\n")
    assert run("validator_info", account_id=account, token_file=str(file), **address(guarded.url)).told == (False, False)


# --- Consul in trouble ---


def test_nobody_listens(account: str) -> None:
    refused(run("validator_info", account_id=account, port=1), "unreachable", "http://127.0.0.1:1: Connection refused")


def test_no_answer_in_time(server: ConsulServer, account: str) -> None:
    server.freeze()
    try:
        begun = time.monotonic()
        told = run("validator_info", account_id=account, consul_timeout=0.5, **address(server.url))
        took = time.monotonic() - begun
    finally:
        server.thaw()
    refused(told, "unreachable", server.url)
    # Had it waited for anything but the 0.5 s, that would have been the time it has when it is given none.
    assert took < rig.shared("fleet.order").DEADLINE


@pytest.fixture(scope="module")
def headless() -> Iterator[ConsulServer]:
    """One server of three: it answers, and there is no leader."""
    server = ConsulServer(persistent=True, extra={"bootstrap_expect": 3})
    try:
        server.start()
        eventually(lambda: _answers(server), 20, "the server answers")
        yield server
    finally:
        server.close()


def _answers(server: ConsulServer) -> bool:
    return server.client().request("GET", "status/leader").status_code == 200


@pytest.mark.parametrize("name", MODULES)
def test_no_leader(headless: ConsulServer, account: str, name: str) -> None:
    # Consul itself holds a request back for seven seconds, in the hope of a leader.
    told = run(name, account_id=account, consul_timeout=60.0, **address(headless.url), **MODULES[name])
    refused(told, "no_leader", "No cluster leader; either an election, then try again in some seconds, or no quorum: ")


# --- TLS ---


@dataclass(frozen=True)
class Secured:
    """A Consul whose API is HTTPS and asks for a client's certificate."""

    server: ConsulServer
    port: int
    ours: dict[str, Any]
    directory: Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory)
    agent, client = authority.issue("agent", "localhost", "127.0.0.1"), authority.issue("client")
    authority.issue("expired", valid=False)
    Authority(directory, "stranger").issue("strange-client")
    pool = PortPool()
    [port] = pool.reserve(1, "127.0.0.1")
    tls = {
        "ports": {"https": port},
        "ca_file": str(authority.file),
        "cert_file": str(agent.cert),
        "key_file": str(agent.key),
        "verify_incoming_https": True,
    }
    with ConsulServer(extra=tls) as server:
        ours = {"ca_path": str(authority.file), "client_cert": str(client.cert), "client_key": str(client.key)}
        yield Secured(server, port, ours, directory)
    pool.close()


def secure(secured: Secured, account: str, **options: Any) -> Answer:
    """Ask over TLS, with our files unless the options say otherwise."""
    to = {"account_id": account, "scheme": "https", "port": secured.port, **secured.ours, **options}
    return run("validator_info", **{name: value for name, value in to.items() if value is not None})


def test_tls_with_a_client_certificate(secured: Secured, account: str) -> None:
    assert secure(secured, account).told == (False, False)
    assert secure(secured, account, host="localhost").told == (False, False)
    both = secured.directory / "both.pem"
    both.write_text((secured.directory / "client.pem").read_text() + (secured.directory / "client-key.pem").read_text())
    assert secure(secured, account, client_cert=str(both), client_key=None).told == (False, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ca_path": None}, "TLS failed: "),
        ({"ca_path": "stranger.pem"}, "TLS failed: "),
        ({"client_cert": None, "client_key": None}, "TLS failed: "),
        ({"client_cert": "strange-client.pem", "client_key": "strange-client-key.pem"}, "TLS failed: "),
        ({"client_cert": "expired.pem", "client_key": "expired-key.pem"}, "TLS failed: "),
        ({"client_key": "expired-key.pem"}, "TLS failed: "),
        ({"ca_path": "client-key.pem"}, "TLS failed: "),
        ({"host": "127.0.0.2"}, ""),
        ({"scheme": "http"}, "HTTPS"),
    ],
)
def test_bad_tls_is_told(secured: Secured, account: str, options: dict[str, Any], words: str) -> None:
    files = {
        name: str(secured.directory / str(value)) if name.startswith(("ca_", "client_")) and value else value
        for name, value in options.items()
    }
    told = secure(secured, account, **files)
    refused(told, "unreachable", f":{secured.port}", words)


def test_http_where_https_is_asked_for(server: ConsulServer, account: str) -> None:
    to = {**address(server.url), "scheme": "https"}
    refused(run("validator_info", account_id=account, **to), "unreachable", "TLS failed: ")


def test_certificates_are_not_checked_only_when_told_so(secured: Secured, account: str) -> None:
    import_module("ansible._internal")  # as tests of the controller's side do, which may share this process
    told = secure(secured, account, ca_path=None, validate_certs=False)
    assert told.told == (False, False)
    assert "whoever answers gets the token" in told.warnings


def test_the_environment_s_certificates(secured: Secured, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: dict[str, Any] = {"ca_path": None, "client_cert": None, "client_key": None}
    for name, option in (("CACERT", "ca_path"), ("CLIENT_CERT", "client_cert"), ("CLIENT_KEY", "client_key")):
        refused(secure(secured, account, **nothing), "unreachable", "TLS failed: ")
        monkeypatch.setenv(f"CONSUL_{name}", secured.ours[option])
        # A key without its certificate is refused, so the certificate comes before it; alone it is of no use.
        if name == "CLIENT_CERT":
            assert secure(secured, account, **nothing).failed
    assert secure(secured, account, **nothing).told == (False, False)
    monkeypatch.delenv("CONSUL_CACERT")
    monkeypatch.setenv("CONSUL_HTTP_SSL_VERIFY", "false")
    told = secure(secured, account, **nothing)
    assert told.told == (False, False)
    assert "whoever answers gets the token" in told.warnings


# --- the library and Python ---

RUNNER = (
    "from ansible.module_utils.testing import patch_module_args\n"
    "from ansible_collections.kuutamo.near.plugins.modules import validator_info as module\n"
    "with patch_module_args({'account_id': 'a.near', 'port': 1}):\n"
    "    module.main()\n"
)


def elsewhere(*first: Path) -> str:
    """What the module prints in a process whose modules come from these directories first."""
    path = os.pathsep.join(map(str, [*first, rig.collections()]))
    argv = [sys.executable, "-W", "ignore", "-c", RUNNER]
    done = subprocess.run(
        argv, env={"PYTHONPATH": path, "PATH": ""}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"consul/__init__.py": "raise ImportError('no consul here')"}, "Failed to import the required Python library"),
        (
            {
                "consul/__init__.py": "",
                "python_consul-1.1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: python-consul\nVersion: 1.1.0\n",
            },
            "is of python-consul, which nobody maintains any more: install python-consul2 or py-consul in its place",
        ),
        ({"consul/__init__.py": "class Consul: pass\n"}, "is no Consul client, or one that is too old"),
    ],
)
def test_a_missing_or_wrong_library_is_told(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    told = elsewhere(tmp_path)
    assert words in told
    assert '"reason": "no_library"' in told


def test_the_library_that_is_installed_will_do() -> None:
    assert "Connection refused" in elsewhere()


def test_an_old_python_is_told(monkeypatch: pytest.MonkeyPatch, account: str) -> None:
    rig.module("validator_info")
    connection = sys.modules["ansible_collections.kuutamo.near.plugins.module_utils._connection"]
    monkeypatch.setattr(connection, "OLDEST_PYTHON", (3, 99))
    told = run("validator_info", account_id=account)
    refused(told, "no_library", "Python 3.99 or later is needed", "Set ansible_python_interpreter")


def test_the_daemon_s_settings_can_not_turn_the_check_off(tmp_path: Path) -> None:
    from dataclasses import fields

    from kuutamod.consul.settings import ConsulSettings

    assert "verify" not in {field.name for field in fields(ConsulSettings)}
    assert ConsulSettings(("https://a:1",)).verify is True
    assert ConsulSettings(("https://a:1",), ca_file=tmp_path).verify == str(tmp_path)
