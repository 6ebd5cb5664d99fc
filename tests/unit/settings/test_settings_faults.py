# SPDX-License-Identifier: Apache-2.0
"""Bad input: each gives one message that names the setting, its value, where it came from and the remedy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kuutamod.settings.fields import SETTINGS
from unit.settings.node_files import ACCOUNT, NodeFiles, unprivileged

VARIABLES = {setting.name: setting.variable for setting in SETTINGS}


def assert_names(message: str, option: str, value: object) -> None:
    """The message names flag, variable, value and origin, and goes on with a problem and a remedy."""
    head = f"--{option} / {VARIABLES[option]} is {str(value)!r} (flag --{option}): "
    assert message.startswith(head), message
    problem, _unused, remedy = message.removeprefix(head).rpartition("; ")
    assert problem, message
    assert remedy, message


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("node-id", "a/b", "part of a key in Consul"),
        ("node-id", "a b", "part of a key in Consul"),
        ("node-id", "knoten-ä", "part of a key in Consul"),
        ("node-id", "..", "part of a key in Consul"),
        ("node-id", "", "it is empty"),
        ("account-id", "fleet.near/x", "part of a key in Consul"),
        ("exporter-address", "127.0.0.1", "no port"),
        ("exporter-address", "2233", "no port"),
        ("exporter-address", ":2233", "'' is not an IP address"),
        ("exporter-address", "127.0.0.1:0", "not a number from 1 to 65535"),
        ("exporter-address", "127.0.0.1:65536", "not a number from 1 to 65535"),
        ("exporter-address", "127.0.0.1:http", "not a number from 1 to 65535"),
        ("exporter-address", "127.0.0.1:-1", "not a number from 1 to 65535"),
        ("exporter-address", "exporter.example:2233", "not an IP address"),
        ("exporter-address", "::1:2233", "in brackets"),
        ("exporter-address", "[127.0.0.1]:2233", "in brackets"),
        ("validator-network-addr", "256.0.0.1:24567", "not an IP address"),
        ("voter-network-addr", "0.0.0.0:", "not a number from 1 to 65535"),
        ("consul-url", "localhost:8500", "not http://host:port"),
        ("consul-url", "ftp://127.0.0.1:8500", "not http://host:port"),
        ("consul-url", "http://", "not http://host:port"),
        ("consul-url", "http://127.0.0.1:port", "Port could not be cast"),
        ("consul-url", "http://127.0.0.1:0", "there is no port 0"),
        ("consul-url", "http://127.0.0.1:70000", "Port out of range"),
        ("consul-url", "http://127.0.0.1:8500/v1", "has a path"),
        ("consul-url", "http://127.0.0.1:8500,", "empty URL"),
        ("consul-url", "http://a b:8500", "neither an IP address nor a host name"),
        ("promotion", "warm", "no such choice"),
        ("cgroup", "maybe", "no such choice"),
        ("log-format", "xml", "no such choice"),
        ("log-level", "verbose", "no such choice"),
        ("hold-off", "10m", "not a number"),
        ("hold-off", "nan", "not a number"),
        ("hold-off", "inf", "not a number"),
        ("hold-off", "1_0", "not a number"),
        ("hold-off", "-1", "must not be negative"),
        ("guard-time", "0", "greater than 0"),
        ("neard-hang-timeout", "-0.5", "greater than 0"),
        ("neard-freeze-blocks", "1.5", "not a whole number from 1 on"),
        ("neard-freeze-blocks", "0", "not a whole number from 1 on"),
        ("near-boot-nodes", "127.0.0.1:24567", "not a boot node"),
        ("near-boot-nodes", "ed25519:1234@127.0.0.1", "not a boot node"),
        ("near-boot-nodes", "ed25519:1234@127.0.0.1:99999", "not a boot node"),
        ("near-boot-nodes", "ed25519:0OIl@127.0.0.1:24567", "not a boot node"),
        ("neard-bin", "no-such-neard", "no such program on PATH"),
    ],
)
def test_a_bad_value(node: NodeFiles, option: str, value: str, problem: str) -> None:
    node.options[option] = value
    message = node.fault()
    assert_names(message, option, value)
    assert problem in message


@pytest.mark.parametrize("option", ["consul-token-file", "consul-ca-file", "consul-cert-file"])
def test_a_file_for_consul_that_is_not_there(node: NodeFiles, option: str) -> None:
    node.options[option] = node.root / "missing"
    message = node.fault()
    assert_names(message, option, node.root / "missing")
    assert "No such file" in message


def test_a_certificates_key_needs_the_certificate(node: NodeFiles) -> None:
    node.options["consul-key-file"] = key = node["validator-key"]
    message = node.fault()
    assert_names(message, "consul-key-file", key)
    assert "--consul-cert-file" in message


def test_credentials_in_a_url_are_refused_and_not_repeated(node: NodeFiles) -> None:
    node.options["consul-url"] = "http://127.0.0.1:8500,http://user:hunter2@127.0.0.2:8500"
    message = node.fault()
    assert "KUUTAMO_CONSUL_TOKEN" in message
    assert "hunter2" not in message
    assert "127.0.0.2" in message


def test_a_token_with_blanks_is_refused_and_not_repeated(node: NodeFiles) -> None:
    node.env["KUUTAMO_CONSUL_TOKEN"] = "hunter 2"
    message = node.fault()
    assert message.startswith("KUUTAMO_CONSUL_TOKEN (environment variable KUUTAMO_CONSUL_TOKEN): ")
    assert "hunter" not in message


def test_token_and_token_file_exclude_each_other(node: NodeFiles) -> None:
    node.env["KUUTAMO_CONSUL_TOKEN"] = "hunter2"
    node.options["consul-token-file"] = node["neard-bin"]
    message = node.fault()
    assert_names(message, "consul-token-file", node["neard-bin"])
    assert "hunter2" not in message


def test_several_urls_are_told_apart_and_localhost_needs_no_look_up(node: NodeFiles) -> None:
    node.options["consul-url"] = "http://localhost:8500, https://10.0.0.1:8501/,http://127.0.0.1:8500,http://[::1]:8500"
    settings = node.load()
    assert settings.consul.urls == ("http://127.0.0.1:8500", "https://10.0.0.1:8501", "http://[::1]:8500")
    assert settings.warnings == ()


@pytest.mark.parametrize(("url", "says"), [("http://consul.example:8500", "name server"), ("http://10.0.0.1", "is 80;")])
def test_a_doubtful_url_is_warned_of(node: NodeFiles, url: str, says: str) -> None:
    node.options["consul-url"] = url
    (warning,) = node.load().warnings
    assert url in warning
    assert says in warning


@pytest.mark.parametrize(
    ("first", "second", "address"),
    [
        ("exporter-address", "validator-network-addr", "0.0.0.0:2233"),
        ("exporter-address", "voter-network-addr", "127.0.0.1:2233"),
        ("validator-network-addr", "voter-network-addr", "10.0.0.1:24567"),
    ],
)
def test_two_servers_on_one_address(node: NodeFiles, first: str, second: str, address: str) -> None:
    node.options[second] = address
    message = node.fault()
    assert_names(message, second, address)
    assert f"collides with --{first}" in message


def test_one_port_on_two_addresses_is_fine(node: NodeFiles) -> None:
    node.options |= {"validator-network-addr": "127.0.0.2:24567", "voter-network-addr": "[::1]:24567"}
    assert node.load().voter_network_addr == "[::1]:24567"


def test_an_address_that_is_neards_rpc(node: NodeFiles) -> None:
    node.options["exporter-address"] = "127.0.0.1:3030"
    message = node.fault()
    assert_names(message, "exporter-address", "127.0.0.1:3030")
    assert f"rpc.addr 127.0.0.1:3030 in {node.config}" in message


def test_lease_numbers_that_break_the_law(node: NodeFiles) -> None:
    node.options["guard-time"] = "5"
    node.env["KUUTAMO_KILL_BUDGET"] = "2"
    message = node.fault()
    for named in (
        "--guard-time / KUUTAMO_GUARD_TIME is '5' (flag --guard-time)",
        "--kill-budget / KUUTAMO_KILL_BUDGET is '2' (environment variable KUUTAMO_KILL_BUDGET)",
        "--fence-deadline / KUUTAMO_FENCE_DEADLINE is '7' (default)",
    ):
        assert named in message
    assert "fence_deadline" not in message
    assert "another node could sign while this one still does" in message


def test_every_broken_rule_of_the_law_is_told(node: NodeFiles) -> None:
    node.options |= {"fence-deadline": "5", "guard-time": "61", "session-ttl": "5", "session-renewal": "4"}
    found = "\n".join(map(str, node.faults()))
    for part in ("one Consul leader loss", "lock delay", "Consul takes 10 to 86400 s", "leave two tries"):
        assert part in found


def test_no_boottime_clock(node: NodeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_unused: int) -> float:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(time, "clock_gettime", refuse)
    message = node.fault()
    assert message.startswith("CLOCK_BOOTTIME (kernel): ")
    assert "Invalid argument" in message


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--node-idd=x", "--node-idd (flag): there is no such option; did you mean --node-id?"),
        ("--near-bootnodes=x", "--near-bootnodes (flag): there is no such option; did you mean --near-boot-nodes?"),
        ("--consul-token=x", "--consul-token (flag): there is no such option; did you mean --consul-token-file?"),
        ("-q", "-q (flag): there is no such option; --help lists all there are"),
        ("node", "node (argument): nothing is expected here; write options as --NAME VALUE"),
        ("--node", "--node (flag): there is no such option; did you mean --node-id?"),
        ("--hold-off", "--hold-off / KUUTAMO_HOLD_OFF (flag --hold-off): it is given without a value; "),
        ("--version=1", "command line (flags): "),
    ],
)
def test_a_command_line_that_is_not_understood(node: NodeFiles, argument: str, message: str) -> None:
    argv = node.argv
    node.argv = lambda: [*argv(), argument]  # type: ignore[method-assign]
    assert any(str(fault).startswith(message) for fault in node.faults())


def test_the_value_of_an_unknown_option_is_not_repeated(node: NodeFiles) -> None:
    argv = node.argv
    node.argv = lambda: [*argv(), "--consul-token", "hunter2"]  # type: ignore[method-assign]
    assert "hunter2" not in node.fault()


def test_all_faults_are_told_at_once(node: NodeFiles) -> None:
    node.options |= {"node-id": "a/b", "consul-url": "x", "patience": "y", "log-level": "z", "neard-bin": "/", "foo": "1"}
    node["voter-node-key"].unlink()
    node.config.write_text("{")
    named = "\n".join(fault.subjects[0].setting for fault in node.faults())
    wanted = ("node-id", "consul-url", "patience", "log-level", "neard-bin", "foo", "voter-node-key", "neard-home")
    assert all(f"--{name}" in named for name in wanted)
    assert len(node.faults()) == len(wanted)


# --- what is on disk ---


def no_home(node: NodeFiles) -> None:
    node.options["neard-home"] = node.root / "none"


def home_is_a_file(node: NodeFiles) -> None:
    node.options["neard-home"] = node["neard-bin"]


@pytest.mark.parametrize(("spoil", "problem"), [(no_home, "no directory"), (home_is_a_file, "not a directory")])
def test_a_home_that_is_none(node: NodeFiles, spoil: Callable[[NodeFiles], None], problem: str) -> None:
    spoil(node)
    message = node.fault()
    assert_names(message, "neard-home", node["neard-home"])
    assert problem in message


def test_a_home_that_is_not_writable(node: NodeFiles) -> None:
    node["neard-home"].chmod(0o555)
    node["validator-key"].chmod(0o644)
    for option in ("validator-node-key", "voter-node-key"):
        node[option].chmod(0o644)
    with unprivileged(node["neard-home"]):
        message = node.fault()
    assert_names(message, "neard-home", node["neard-home"])
    assert "not writable" in message


def binary_is_missing(path: Path) -> None:
    path.unlink()


def binary_is_not_executable(path: Path) -> None:
    path.chmod(0o644)


def binary_is_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [binary_is_missing, binary_is_not_executable, binary_is_a_directory])
def test_a_neard_that_can_not_be_run(node: NodeFiles, spoil: Callable[[Path], None]) -> None:
    spoil(node["neard-bin"])
    assert_names(node.fault(), "neard-bin", node["neard-bin"])


def test_a_config_that_is_garbled_is_named_with_its_line(node: NodeFiles) -> None:
    node.config.write_text('{\n "rpc": }')
    message = node.fault()
    assert_names(message, "neard-home", node["neard-home"])
    assert f"{node.config}: it is not JSON: line 2: column 9" in message


def test_every_fault_of_a_config_is_told(node: NodeFiles) -> None:
    node.edit_config(lambda data: data.update(rpc=None, node_key_file="other.json", tracked_accounts=[ACCOUNT]))
    messages = [str(fault) for fault in node.faults()]
    assert len(messages) == 3
    for message, field in zip(messages, ("node_key_file", "tracked_accounts", "rpc"), strict=True):
        assert_names(message, "neard-home", node["neard-home"])
        assert f"{node.config}: {field} is " in message


@pytest.mark.parametrize("option", ["validator-key", "validator-node-key", "voter-node-key"])
def test_a_key_file_that_is_missing_or_not_named(node: NodeFiles, option: str) -> None:
    node[option].unlink()
    assert_names(node.fault(), option, node[option])
    del node.options[option]
    message = node.fault()
    assert message.startswith(f"--{option} / {VARIABLES[option]} (not set): it is needed; ")
    assert f"$CREDENTIALS_DIRECTORY/{option.replace('-', '_')}.json" in message


def test_a_validator_key_of_another_account(node: NodeFiles) -> None:
    node.options["account-id"] = "other.near"
    message = node.fault()
    assert_names(message, "account-id", "other.near")
    assert f"{node['validator-key']} belongs to {ACCOUNT}" in message


def test_one_node_key_for_both_roles(node: NodeFiles) -> None:
    node["voter-node-key"].write_text(node["validator-node-key"].read_text())
    node.edit_key("voter-node-key", public_key="", account_id="")  # only the secret counts
    message = node.fault()
    assert_names(message, "voter-node-key", node["voter-node-key"])
    assert "two hosts would run as one peer" in message


@pytest.mark.parametrize("option", ["validator-key", "voter-node-key"])
def test_a_key_under_the_name_that_kuutamod_manages(node: NodeFiles, option: str) -> None:
    managed = node["neard-home"] / ("validator_key.json" if option == "validator-key" else "node_key.json")
    node[option].rename(managed)
    (node.root / "link").symlink_to(node["neard-home"])
    (node.root / "linked_key.json").symlink_to(managed)
    for path in (managed, node.root / "link" / managed.name, node.root / "linked_key.json"):
        node.options[option] = path
        message = node.fault()
        assert_names(message, option, path)
        assert f"move the file out of {node['neard-home']}" in message


def test_a_key_elsewhere_in_the_home_is_fine_even_while_it_is_linked(node: NodeFiles) -> None:
    """Upstream's guide keeps voter_node_key.json in the home; a crash leaves the link behind."""
    kept = node["neard-home"] / "voter_node_key.json"
    node["voter-node-key"].rename(kept)
    (node["neard-home"] / "node_key.json").symlink_to(kept)
    node.options["voter-node-key"] = kept
    assert node.load().voter_node_key == kept


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_can_read_is_warned_of(node: NodeFiles, mode: int) -> None:
    node["validator-key"].chmod(mode)
    (warning,) = node.load().warnings
    assert "chmod 600" in warning
    assert str(node["validator-key"]) in warning


def test_hot_swap_is_warned_of_where_config_does_not_suit_it(node: NodeFiles) -> None:
    node.options["promotion"] = "hot-swap"
    assert "tracks all shards" in "".join(node.load().warnings)
    node.edit_config(lambda data: data.update(tracked_shards_config="NoShards"))
    assert "does not track fleet.near as ShadowValidator" in "".join(node.load().warnings)
    node.edit_config(lambda data: data.update(tracked_shards_config={"ShadowValidator": ACCOUNT}))
    settings = node.load()
    assert settings.warnings == ()
    assert settings.policy.shadow_tracking


def test_boot_nodes_as_neard_takes_them(node: NodeFiles) -> None:
    node.options["near-boot-nodes"] = "ed25519:7PGseFbW@127.0.0.1:24567, 7PGseFbW@[::1]:1,ed25519:7PGseFbW@boot.example:2"
    wanted = "ed25519:7PGseFbW@127.0.0.1:24567,7PGseFbW@[::1]:1,ed25519:7PGseFbW@boot.example:2"
    assert node.load().boot_nodes == wanted
