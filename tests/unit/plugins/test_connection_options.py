# SPDX-License-Identifier: Apache-2.0
"""The options with which a module reaches Consul, and the variables of the environment in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kuutamo_localnet.consul import ConsulServer
from unit.plugins import rig
from unit.plugins.rig import address, refused, run, shared


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"token": "zqj"}, "token: too short to be a secret id"),
        ({"token": "x" * 8 + "\u00e9"}, "token: the Consul token has blanks or characters outside ASCII"),
        ({"token_file": "/dev/null"}, "token_file: the Consul token in /dev/null is empty"),
        ({"token_file": "/proc/version"}, "token_file: the Consul token in /proc/version has blanks"),
        ({"token_file": "/proc/self/exe"}, "token_file: /proc/self/exe holds no token: "),
        ({"consul_timeout": 0}, "consul_timeout: 0 is not between 0.1 and 600 seconds"),
        ({"account_id": " "}, "account_id: it is empty"),
        (
            {"ca_path": "/nowhere/ca.pem"},
            "ca_path: /nowhere/ca.pem can't be read on the host that runs the module: No such",
        ),
        ({"token_file": "/nowhere/token"}, "token_file: /nowhere/token can't be read"),
        ({"client_cert": "/nowhere/c.pem"}, "client_cert: /nowhere/c.pem can't be read"),
        ({"client_key": "/proc/self/status"}, "client_key: /proc/self/status is set without client_cert; set both"),
        ({"token": "x" * 36, "token_file": "/proc/version"}, "token_file: /proc/version: token is set too; set one"),
        ({"host": "http://here"}, "host: 'http://here' is neither an IP address nor a host name; scheme and port are"),
        ({"host": "127.0.0.1:8500"}, "host: '127.0.0.1:8500' is neither an IP address nor a host name"),
        ({"host": "[::1"}, "host: '[::1' is neither"),
        ({"host": ""}, "host: '' is neither"),
        ({"port": 70000}, "port: 70000 is not a port from 1 to 65535"),
        ({"port": 0}, "port: 0 is not a port"),
    ],
)
def test_faulty_options_are_named(options: dict[str, Any], words: str) -> None:
    told = run("validator_info", **{"account_id": "a.near", **options})
    refused(told, "options", words)


def test_the_environment_is_used_where_an_option_is_not_set(
    guarded: ConsulServer, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = guarded.acl().reader_token(account).secret
    where = guarded.url.removeprefix("http://")

    def environment(**values: str) -> None:
        # The client's library lets some of them win over what it is given, so they are gone after a module has run.
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    environment(CONSUL_HTTP_ADDR=where, CONSUL_HTTP_TOKEN=token, KUUTAMO_ACCOUNT_ID=account)
    assert run("validator_info")["fleet"]["account"] == account
    environment(CONSUL_HTTP_ADDR=f"http://{where}", CONSUL_HTTP_TOKEN=token)
    assert run("validator_info").told == (False, False)
    environment(CONSUL_HTTP_ADDR=where, CONSUL_HTTP_TOKEN=token)
    refused(run("validator_info", port=1), "unreachable", "127.0.0.1:1: Connection refused")
    environment(CONSUL_HTTP_ADDR=where, CONSUL_HTTP_SSL="true", CONSUL_HTTP_TOKEN=token)
    refused(run("validator_info"), "unreachable", "https://")
    environment(CONSUL_HTTP_ADDR=where, CONSUL_HTTP_TOKEN=str(account))
    refused(run("validator_info"), "forbidden")


def test_the_environment_s_token_file(
    guarded: ConsulServer, account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(guarded.acl().reader_token(account).secret)
    monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", str(file))
    assert run("validator_info", account_id=account, **address(guarded.url)).told == (False, False)
    # A token that is there wins over a file.
    monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", "/nowhere")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", file.read_text())
    assert run("validator_info", account_id=account, **address(guarded.url)).told == (False, False)
    monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", "/nowhere")
    monkeypatch.delenv("CONSUL_HTTP_TOKEN", raising=False)
    told = run("validator_info", account_id=account, **address(guarded.url))
    refused(told, "options", "CONSUL_HTTP_TOKEN_FILE: /nowhere can't be read on the host that runs the module")


@pytest.mark.parametrize("variable", ["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE"])
@pytest.mark.parametrize("option", ["token", "token_file"])
def test_an_explicit_token_wins_over_the_environment_s(
    guarded: ConsulServer, account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str, variable: str
) -> None:
    token, file = guarded.acl().reader_token(account).secret, tmp_path / "token"
    file.write_text(token)
    monkeypatch.setenv(variable, "00000000-0000-0000-0000-000000000000" if variable == "CONSUL_HTTP_TOKEN" else "/nowhere")
    given: dict[str, Any] = {option: token if option == "token" else str(file)}
    assert run("validator_info", account_id=account, **given, **address(guarded.url)).told == (False, False)


@pytest.mark.parametrize("where", ["token", "token_file", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE"])
def test_a_token_is_hidden_wherever_it_comes_from(
    guarded: ConsulServer, account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    """An operator who writes it into another option by mistake must not find it in a log."""
    token, file = guarded.acl().operator_token(account).secret, tmp_path / "token"
    file.write_text(token + "\n")
    value = str(file) if where.lower().endswith("file") else token
    given: dict[str, Any] = {where: value} if where.islower() else {}
    if not given:
        monkeypatch.setenv(where, value)
    told = run("validator_maintenance", account_id=account, reason=f"with {token}", **given, **address(guarded.url))
    assert told.told == (False, True), told
    assert token not in str(told.results)
    assert "with ****" in told["maintenance"]["reason"]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "CONSUL_HTTP_ADDR",
            "127.0.0.1:abc",
            "CONSUL_HTTP_ADDR: '127.0.0.1:abc' is no address that can be used here; write",
        ),
        ("CONSUL_HTTP_ADDR", "[::1", "CONSUL_HTTP_ADDR: '[::1' is no address"),
        ("CONSUL_HTTP_ADDR", "unix:///run/consul.sock", "CONSUL_HTTP_ADDR: 'unix:///run/consul.sock' is no address"),
        ("CONSUL_HTTP_ADDR", "/run/consul.sock", "CONSUL_HTTP_ADDR: '/run/consul.sock' is no address"),
        ("CONSUL_HTTP_ADDR", "http://127.0.0.1:1/ui", "CONSUL_HTTP_ADDR: 'http://127.0.0.1:1/ui' is no address"),
        ("CONSUL_HTTP_ADDR", "127.0.0.1:0", "CONSUL_HTTP_ADDR: '127.0.0.1:0' is no address"),
        ("CONSUL_HTTP_ADDR", "http://me:secret@127.0.0.1:1", "CONSUL_HTTP_ADDR: 'http://***@127.0.0.1:1' is no address"),
        ("CONSUL_HTTP_TOKEN", "zqj", "CONSUL_HTTP_TOKEN: too short to be a secret id"),
    ],
)
def test_a_faulty_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str) -> None:
    monkeypatch.setenv(variable, value)
    refused(run("validator_info", account_id="a.near"), "options", words)
    monkeypatch.setenv(variable, value)
    given: dict[str, Any] = {"host": "127.0.0.1", "port": 1, "scheme": "http", "token": "x" * 36}
    refused(run("validator_info", account_id="a.near", **given), "unreachable")


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://127.0.0.1", "https://127.0.0.1:443"),
        ("http://127.0.0.1/", "http://127.0.0.1:80"),
        ("[::1]:1", "http://[::1]:1"),
        ("https://[::1]:1", "https://[::1]:1"),
        ("127.0.0.1", "http://127.0.0.1:8500"),
        ("", "http://127.0.0.1:8500"),
    ],
)
def test_an_address_means_what_kuutamod_takes_it_for(monkeypatch: pytest.MonkeyPatch, value: str, url: str) -> None:
    asked: list[str] = []
    info = rig.module("validator_info")

    def look(to: Any) -> None:
        asked.extend(to.consul.urls)
        raise shared("consul.faults").ConsulError(shared("consul.faults").Fault.TIMEOUT, "no answer in time")

    monkeypatch.setattr(info, "look", look)
    monkeypatch.setenv("CONSUL_HTTP_ADDR", value)
    assert run("validator_info", account_id="a.near").failed
    assert asked == [url]


def test_the_environment_s_operator(server: ConsulServer, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUUTAMO_OPERATOR", "carol@desk")
    to = {"account_id": account, **address(server.url)}
    assert run("validator_pause", **to)["pause"]["by"] == "carol@desk"
    assert run("validator_maintenance", by="dave@desk", **to)["maintenance"]["by"] == "dave@desk"
