# SPDX-License-Identifier: Apache-2.0
"""The configuration in the words of each version of Consul, from the role's variables by Ansible's own templating."""

from __future__ import annotations

from typing import Any

import pytest

from unit.consul_role.values import value
from unit.plays import Json

VERSIONS = ["1.8.7", "1.11.11", "1.12.9", "1.14.11", "1.22.1", "2.0.0"]
TLS = "/etc/consul.d/tls"
COMMON: Json = {
    "ca_file": f"{TLS}/ca.pem",
    "cert_file": f"{TLS}/agent.pem",
    "key_file": f"{TLS}/agent-key.pem",
    "verify_outgoing": True,
}
# A rehearsal of what each version knows: a word of a later one is an error that keeps the agent from starting.
STANZA = {"1.8.7": False, "1.11.11": False, "1.12.9": True, "1.14.11": True, "1.22.1": True, "2.0.0": True}
PEERING = {"1.8.7": False, "1.11.11": False, "1.12.9": False, "1.14.11": True, "1.22.1": True, "2.0.0": True}


def config(version: str, name: str = "a", **given: Any) -> Json:
    found: Json = value("{{ __consul_config }}", name, __consul_version=version, **given)
    return found


def test_every_version_is_told_apart() -> None:
    assert set(VERSIONS) == STANZA.keys() == PEERING.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_tls_in_the_words_of_the_version(version: str) -> None:
    written = config(version)
    flat = {name for name in written if name.endswith("_file") or name.startswith(("verify_", "tls_"))}
    if STANZA[version]:
        assert flat == set()
        assert written["tls"] == {
            "defaults": {**COMMON, "tls_min_version": "TLSv1_2"},
            "internal_rpc": {"verify_incoming": True, "verify_server_hostname": True},
        }
    else:
        assert "tls" not in written
        wanted = {**COMMON, "verify_incoming_rpc": True, "verify_server_hostname": True, "tls_min_version": "tls12"}
        assert {name: written[name] for name in flat} == wanted
        # This would ask the API's clients for a certificate, too.
        assert "verify_incoming" not in written


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_off_is_off_in_the_words_of_the_version(version: str) -> None:
    written = config(version)
    ports = {"http": -1, "https": 8501, "dns": -1, "grpc": -1, "serf_wan": -1}
    assert written["ports"] == ({**ports, "grpc_tls": -1} if PEERING[version] else ports)
    assert written.get("peering") == ({"enabled": False} if PEERING[version] else None)
    assert ("ui" in written, "ui_config" in written) == ((True, False) if version == "1.8.7" else (False, True))
    assert written["connect"] == {"enabled": False}
    assert written["client_addr"] == "127.0.0.1"


@pytest.mark.parametrize("version", VERSIONS)
def test_no_token_and_no_gossip_key_is_in_it(version: str) -> None:
    """The names of tokens have changed with 1.11; the agent gets its own by the API, in all versions."""
    written = config(version)
    assert written["acl"] == {
        "enabled": True,
        "default_policy": "deny",
        "down_policy": "extend-cache",
        "enable_token_persistence": True,
    }
    assert "encrypt" not in written


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_lease_rests_on(version: str) -> None:
    server, client = config(version), config(version, "d")
    for written in (server, client):
        assert (written["leave_on_terminate"], written["skip_leave_on_interrupt"]) == (False, True)
        assert written["performance"] == {"raft_multiplier": 1}
        assert written["retry_join"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert (server["server"], server["bootstrap_expect"], server["autopilot"]["min_quorum"]) == (True, 3, 3)
    assert (client["server"], "bootstrap_expect" in client, "autopilot" in client) == (False, False, False)
    assert (server["bind_addr"], client["bind_addr"]) == ("10.0.0.1", "10.0.0.4")


def test_plain_http_is_on_the_loopback_too() -> None:
    written = config("1.20.2", consul_https=False)
    assert (written["ports"]["http"], written["ports"]["https"], written["client_addr"]) == (8500, -1, "127.0.0.1")


def test_others_join_a_server_where_it_binds() -> None:
    """And not where Ansible reaches it: that may be a gateway or a public address."""
    facts = {"ansible_facts": {"default_ipv4": {"address": "10.0.0.9"}}}
    others = {
        "a": {},
        "b": {"consul_bind_address": "10.0.0.2", "ansible_host": "192.0.2.2"},
        "c": {**facts, "ansible_host": "192.0.2.3"},
    }
    assert value("{{ __consul_join }}", hostvars=others) == ["10.0.0.1", "10.0.0.2", "10.0.0.9"]
    # Not known, which is refused with the remedy, rather than guessed.
    others["c"] = {"ansible_host": "192.0.2.3"}
    assert value("{{ __consul_join }}", hostvars=others)[2] == ""


@pytest.mark.parametrize(("servers", "quorum"), [(None, 0), (["a"], 0), (["a", "b", "c"], 3), (["a", "b", "c", "d"], 4)])
def test_the_quorum_that_autopilot_keeps(servers: list[str] | None, quorum: int) -> None:
    groups = {} if servers is None else {"consul_servers": servers}
    assert value("{{ consul_min_quorum }}", groups=groups) == quorum


LIB = "/usr/local/lib/consul"
A, B, C = (f"{LIB}/{letter * 12}/consul" for letter in "abc")


@pytest.mark.parametrize(
    ("link", "wanted", "there", "gone"),
    [
        ("", A, [], []),
        (A, A, [A], []),
        (A, B, [A, B], []),
        (B, C, [A, B, C], [A]),
        # An upgrade that is taken back: the one that was linked stays.
        (C, B, [A, B, C], [A]),
        # The run after it.
        (B, B, [B, C], []),
        (C, C, [A, B, C], [A]),
        ("/usr/bin/consul", "/usr/bin/consul", [A, B], [A]),
        # Not the role's.
        (A, A, [A, B, f"{LIB}/mine/consul"], []),
    ],
)
def test_of_the_programs_the_one_before_is_kept(link: str, wanted: str, there: list[str], gone: list[str]) -> None:
    seen = {"paths": {"/usr/local/bin/consul": {"target": link}}, "globs": {f"{LIB}/*/consul": there}}
    pruned = value("{{ __consul_pruned }}", __consul_host=seen, __consul_program=wanted)
    assert pruned == [{"path": path.removesuffix("/consul"), "state": "absent"} for path in gone]
