# SPDX-License-Identifier: Apache-2.0
"""What makes an inventory a fleet: the playbooks tell every fault with its place and remedy, before a host is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unit.playbooks.rig import ROOT, playbook

TOKEN = "00000000-1111-2222-3333-444444444444"
SET = {
    "ansible_connection": "local",
    "kuutamod_account_id": "pool.near",
    "consul_gossip_key": "x",
    "consul_management_token": TOKEN,
    "consul_operator_token": TOKEN,
    "consul_reader_token": TOKEN,
    "kuutamod_validator_key": {"account_id": "pool.near"},
    "kuutamod_validator_node_key": {"account_id": "node"},
    "neard_version": "2.11.0",
}
HOSTS = ("host-a", "host-b", "host-c")
PLAYBOOKS = sorted(file.stem for file in (ROOT / "playbooks").glob("*.yml"))
MINE = ("deploy", "status", "handover", "upgrade", "rollback", "add_node", "remove_node")


def inventory(servers: tuple[str, ...] = HOSTS, validators: tuple[str, ...] = HOSTS, **changes: Any) -> dict[str, Any]:
    hosts = {
        "consul_servers": {"hosts": dict.fromkeys(servers)},
        "validators": {"hosts": dict.fromkeys(validators)},
    }
    values = {name: value for name, value in {**SET, **changes}.items() if value != "UNSET"}
    return {"all": {"vars": values, "children": hosts}}


FAULTS = [
    ("no servers", inventory(servers=()), [], "the group consul_servers is missing or empty"),
    ("no validators", inventory(validators=()), [], "the group validators is missing or empty"),
    ("empty", {"all": {}}, [], "the group consul_servers is missing or empty"),
    ("no inventory", None, [], "the group validators is missing or empty"),
    ("limit", inventory(), ["--limit", "host-b"], "--limit: it leaves out host-a, host-c"),
    (
        "limit to a group",
        inventory(servers=("s1", "s2", "s3")),
        ["--limit", "validators"],
        "--limit: it leaves out s1, s2, s3",
    ),
    ("unset", inventory(kuutamod_account_id="UNSET"), [], "kuutamod_account_id: it is not set on all hosts"),
    ("empty value", inventory(consul_gossip_key=""), [], "consul_gossip_key: it is empty on all hosts"),
    (
        "vault file missing",
        inventory(consul_operator_token="{{ vault_consul_operator_token }}"),
        [],
        "consul_operator_token: it refers to what is not there: 'vault_consul_operator_token' is undefined on all hosts",
    ),
    ("twins", inventory(validators=("host-a", "Host-A")), [], "host-a, Host-A differ only in case"),
    ("bad name", inventory(validators=("host_a",)), [], "the name of host 'host_a' can't be a Consul node's"),
    ("no account", inventory(kuutamod_account_id="Pool.NEAR"), [], "'Pool.NEAR' is no NEAR account"),
    (
        "one address",
        inventory(ansible_connection="ssh", ansible_host="192.0.2.1"),
        [],
        "host-a, host-b, host-c have the same address 192.0.2.1",
    ),
    (
        "two accounts",
        inventory(kuutamod_account_id="{{ inventory_hostname }}.near"),
        [],
        "kuutamod_account_id: it differs between hosts",
    ),
]


@pytest.mark.parametrize(
    ("given", "arguments", "words"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_deploy_refuses(tmp_path: Path, given: dict[str, Any] | None, arguments: list[str], words: str) -> None:
    done = playbook("deploy", given, tmp_path, *arguments)
    assert done.code != 0
    assert words in done.out.replace("\\\\", "")
    assert "Nothing has been changed" in done.out
    assert "TASK [Gathering Facts]" not in done.out


@pytest.mark.parametrize("setting", ("ansible_pipelining", "ansible_ssh_pipelining"))
def test_deploy_refuses_to_send_keys_without_pipelining_before_any_host_is_asked(tmp_path: Path, setting: str) -> None:
    given: dict[str, Any] = {setting: False}
    done = playbook("deploy", inventory(**given), tmp_path)
    assert done.code != 0
    assert "host-a: without pipelining Ansible writes its arguments, and so the keys" in done.out
    assert "TASK [Gathering Facts]" not in done.out


def test_secrets_are_not_told(tmp_path: Path) -> None:
    given = inventory(consul_gossip_key="{{ 'secret-' ~ inventory_hostname }}", kuutamod_account_id="UNSET")
    done = playbook("deploy", given, tmp_path, "-vvv", "--diff")
    assert "consul_gossip_key: it differs between hosts" in done.out
    assert "secret-" not in done.out
    assert TOKEN not in done.out


@pytest.mark.parametrize(
    ("name", "bad"),
    [("deploy", f"{TOKEN}\n"), ("remove_node", f"{TOKEN}\u00e9"), ("status", f"{TOKEN} ")],
    ids=("newline", "accent", "blank"),
)
def test_a_token_that_no_request_can_carry_is_refused_by_its_name(tmp_path: Path, name: str, bad: str) -> None:
    done = playbook(name, inventory(consul_operator_token=bad), tmp_path, "-vvv")
    assert done.code != 0
    assert done.told("Nothing has been changed. consul_operator_token has blanks or characters outside ASCII in it")
    assert done.told("ansible-vault encrypt_string --stdin-name consul_operator_token")
    assert TOKEN not in done.out


def test_a_token_that_is_not_asked_for_need_not_be_there(tmp_path: Path) -> None:
    given = inventory(consul_management_token="{{ vault_of_others }}", consul_reader_token="UNSET")
    done = playbook("status", given, tmp_path)
    assert "consul_management_token" not in done.out and "vault_of_others" not in done.out
    assert "TASK [Look at the fleet]" in done.out or "Report on the fleet" in done.out


def test_a_token_of_the_validators_alone(tmp_path: Path) -> None:
    given = inventory(servers=("s1", "s2", "s3"), consul_operator_token="UNSET")
    given["all"]["children"]["validators"]["vars"] = {"consul_operator_token": f"{TOKEN}\n"}
    assert playbook("status", given, tmp_path).told("consul_operator_token has blanks")
    given["all"]["children"]["validators"]["vars"] = {"consul_operator_token": TOKEN}
    assert "Report on the fleet" in playbook("status", given, tmp_path).out


@pytest.mark.parametrize("name", MINE)
def test_every_playbook_refuses_an_empty_inventory(tmp_path: Path, name: str) -> None:
    done = playbook(name, {"all": {"hosts": {"stranger": {"ansible_connection": "local"}}}}, tmp_path)
    assert done.code != 0
    assert "the group validators is missing or empty" in done.out


@pytest.mark.parametrize("name", ("upgrade", "rollback", "deploy"))
def test_a_limit_that_matches_no_host_of_the_fleet_is_no_success(tmp_path: Path, name: str) -> None:
    given = inventory()
    given["all"]["hosts"] = {"stranger": {}}
    done = playbook(name, given, tmp_path, "--limit", "stranger")
    assert done.code != 0
    assert "--limit: it leaves out host-a, host-b, host-c" in done.out


ORDERS = [
    ("remove_node", ["-e", "confirm=true"], "-e node=NAME"),
    ("remove_node", ["-e", "node=host-x", "-e", "confirm=true"], "node=host-x: there is no such host"),
    ("remove_node", ["-e", "node=host-b"], "-e confirm=true"),
    ("add_node", [], "-e node=NAME"),
    ("add_node", ["-e", "node=host-x"], "node=host-x: there is no such host"),
    ("handover", ["-e", "target=host-x", "-e", "confirm=true"], "target=host-x: there is no such host"),
    ("handover", [], "-e confirm=true"),
    ("upgrade", ["-e", "components=nerd"], "components=nerd"),
    ("rollback", ["-e", "components="], "components="),
]


@pytest.mark.parametrize(
    ("name", "arguments", "words"), ORDERS, ids=[f"{name} {' '.join(words)}" for name, words, _text in ORDERS]
)
def test_an_order_that_makes_no_sense_is_refused(tmp_path: Path, name: str, arguments: list[str], words: str) -> None:
    done = playbook(name, inventory(), tmp_path, *arguments)
    assert done.code != 0
    assert words in done.out
    assert "Nothing has been changed" in done.out


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_every_playbook_is_understood(tmp_path: Path, name: str) -> None:
    done = playbook(name, inventory(), tmp_path, "--syntax-check")
    assert done.code == 0, done.out
