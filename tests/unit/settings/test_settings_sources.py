# SPDX-License-Identifier: Apache-2.0
"""Where a setting's value comes from, and how settings are listed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import Policy
from kuutamod.log import Format, Level
from kuutamod.neard.keys import read_key_file
from kuutamod.settings import load
from kuutamod.settings.fields import SETTINGS, Setting
from unit.settings.node_files import ACCOUNT, NodeFiles


def test_the_defaults_are_upstreams_and_the_cores(node: NodeFiles) -> None:
    settings = node.load()
    assert (settings.node_id, settings.account_id) == ("node", "default")
    assert settings.consul.urls == ("http://127.0.0.1:8500",)
    assert settings.exporter_address == ("127.0.0.1", 2233)
    assert settings.validator_network_addr == "0.0.0.0:24567"
    assert settings.voter_network_addr == "0.0.0.0:24568"
    assert settings.boot_nodes is None
    assert settings.policy == Policy(law=LeaseLaw())
    assert (settings.cgroup, settings.log_format, settings.log_level) == ("auto", Format.LOGFMT, Level.INFO)
    assert settings.keys.validator == read_key_file(node["validator-key"])
    assert settings.rpc_addr == ("127.0.0.1", 3030)
    assert settings.store == node["neard-home"] / "data"
    assert settings.warnings == ()


def test_every_upstream_name_is_there() -> None:
    named = {setting.flag: setting.variable for setting in SETTINGS}
    assert named.items() >= {
        ("--node-id", "KUUTAMO_NODE_ID"),
        ("--account-id", "KUUTAMO_ACCOUNT_ID"),
        ("--consul-url", "KUUTAMO_CONSUL_URL"),
        ("--exporter-address", "KUUTAMO_EXPORTER_ADDRESS"),
        ("--validator-key", "KUUTAMO_VALIDATOR_KEY"),
        ("--validator-node-key", "KUUTAMO_VALIDATOR_NODE_KEY"),
        ("--voter-node-key", "KUUTAMO_VOTER_NODE_KEY"),
        ("--validator-network-addr", "KUUTAMO_VALIDATOR_NETWORK_ADDR"),
        ("--voter-network-addr", "KUUTAMO_VOTER_NETWORK_ADDR"),
        ("--neard-home", "KUUTAMO_NEARD_HOME"),
        ("--near-boot-nodes", "KUUTAMO_NEARD_BOOTNODES"),
        ("--neard-bin", "KUUTAMO_NEARD_BIN"),
    }


def test_a_flag_wins_over_its_variable_and_the_variable_over_the_default(node: NodeFiles) -> None:
    node.env = {"KUUTAMO_NODE_ID": "from-variable", "KUUTAMO_ACCOUNT_ID": ACCOUNT, "KUUTAMO_HOLD_OFF": "7.5"}
    node.options["node-id"] = "from-flag"
    settings = node.load()
    assert (settings.node_id, settings.account_id, settings.policy.hold_off) == ("from-flag", ACCOUNT, 7.5)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_read_from_its_variable(node: NodeFiles, setting: Setting) -> None:
    """A value that can't be right is found, and the message says where it came from."""
    node.options.pop(setting.name, None)
    node.env[setting.variable] = "\x01/ ?"
    subjects = [subject for fault in node.faults() for subject in fault.subjects]
    wanted = (setting.title, f"environment variable {setting.variable}")
    assert wanted in [(subject.setting, subject.origin) for subject in subjects]


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.flag], ids=lambda setting: setting.name)
def test_every_setting_is_read_from_its_flag(node: NodeFiles, setting: Setting) -> None:
    node.options[setting.name] = "\x01/ ?"
    subjects = [subject for fault in node.faults() for subject in fault.subjects]
    assert (setting.title, f"flag {setting.flag}") in [(subject.setting, subject.origin) for subject in subjects]


def test_policy_and_law_get_every_number(node: NodeFiles) -> None:
    policy = {
        "neard-hang-timeout": 6.0,
        "neard-freeze-timeout": 16.0,
        "neard-freeze-blocks": 6,
        "neard-start-timeout": 901.0,
        "neard-stop-grace": 31.0,
        "hot-swap-timeout": 11.0,
        "hold-off": 0.0,
        "patience": 0.0,
    }
    law = {
        "heartbeat-interval": 0.5,
        "request-deadline": 0.75,
        "fence-deadline": 8.0,
        "kill-budget": 1.5,
        "scheduling-slack": 0.0,
        "guard-time": 12.0,
        "session-ttl": 20.0,
        "session-renewal": 4.0,
    }
    node.options |= {name: f"{value:g}" for name, value in {**policy, **law}.items()}
    node.options |= {"promotion": "restart", "cgroup": "off", "log-format": "json", "log-level": "error"}
    settings = node.load()
    for name, value in policy.items():
        assert getattr(settings.policy, name.removeprefix("neard-").replace("-", "_")) == value
    for name, value in law.items():
        assert getattr(settings.policy.law, name.replace("-", "_")) == value
    assert settings.policy.promotion == "restart"
    assert (settings.cgroup, settings.log_format, settings.log_level) == ("off", Format.JSON, Level.ERROR)


def test_keys_fall_back_to_the_credentials_of_the_service(node: NodeFiles, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("validator-key", "validator-node-key", "voter-node-key"):
        shutil.move(node[name], credentials)
        del node.options[name]
    (credentials / "validator_key.json").chmod(0o440)  # as systemd shows its access list
    node.env["CREDENTIALS_DIRECTORY"] = str(credentials)
    settings = node.load()
    assert settings.validator_key == credentials / "validator_key.json"
    assert settings.validator_node_key == credentials / "validator_node_key.json"
    assert settings.voter_node_key == credentials / "voter_node_key.json"
    assert settings.warnings == ()


def test_a_named_key_wins_over_the_credentials(node: NodeFiles, tmp_path: Path) -> None:
    node.env["CREDENTIALS_DIRECTORY"] = str(tmp_path / "nowhere")
    assert node.load().validator_key == node["validator-key"]


def test_relative_paths_become_absolute(node: NodeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(node.root)
    root = Path.cwd()
    node.options |= {name: os.path.relpath(node[name]) for name in ("validator-key", "neard-home")}
    node.options["neard-bin"] = "./neard"
    settings = node.load()
    assert settings.validator_key == root / "validator_key.json"
    assert settings.neard_home == root / "home"
    assert settings.neard_bin == root / "neard"


def test_neard_is_found_on_path_and_a_link_to_it_is_kept(node: NodeFiles) -> None:
    (node.root / "bin").mkdir()
    (node.root / "bin" / "neard").symlink_to(node["neard-bin"])
    del node.options["neard-bin"]
    node.env["PATH"] = str(node.root / "bin")
    assert node.load().neard_bin == node.root / "bin" / "neard"


def test_an_empty_variable_of_an_optional_setting_means_not_set(node: NodeFiles) -> None:
    node.env = {"KUUTAMO_NEARD_BOOTNODES": "", "KUUTAMO_CONSUL_TOKEN": "", "KUUTAMO_CONSUL_CA_FILE": ""}
    settings = node.load()
    assert (settings.boot_nodes, settings.consul.token, settings.consul.ca_file) == (None, None, None)


@pytest.mark.parametrize("variable", ["KUUTAMO_ACCOUNT_ID", "KUUTAMO_NEARD_HOME", "KUUTAMO_GUARD_TIME"])
def test_an_empty_variable_of_a_setting_with_a_default_is_a_mistake(node: NodeFiles, variable: str) -> None:
    node.options.pop("neard-home" if variable == "KUUTAMO_NEARD_HOME" else "", None)
    node.env[variable] = ""
    assert f"{variable} is '' (environment variable {variable}): it is empty; " in node.fault()


def test_an_unknown_variable_is_warned_of_with_the_nearest_name(node: NodeFiles) -> None:
    node.env = {"KUUTAMO_NODEID": "a", "KUUTAMO_ZZZZZZ": "1", "OTHER": "x"}
    near, far = node.load().warnings
    assert "KUUTAMO_NODEID" in near
    assert "KUUTAMO_NODE_ID" in near
    assert "KUUTAMO_ZZZZZZ" in far


def test_help_lists_every_setting_with_variable_default_and_unit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        load(["--help"], {})
    assert done.value.code == 0
    words = "".join(capsys.readouterr().out.split())  # argparse breaks lines at spaces and dashes
    for setting in SETTINGS:
        if setting.flag:
            text = f"{setting.meaning}[{setting.form};{setting.variable};default:{setting.default_text}]"
            assert re.search(rf"{setting.flag}[A-Z]+{re.escape(''.join(text.split()))}", words), setting.name
        else:
            assert setting.variable in words


def test_a_token_comes_from_the_environment_and_shows_nowhere(node: NodeFiles) -> None:
    node.env["KUUTAMO_CONSUL_TOKEN"] = "d0c2-s3cret"
    settings = node.load()
    assert settings.consul.token == "d0c2-s3cret"
    assert "s3cret" not in repr(settings)


def test_what_hands_back_needs_no_keys(node: NodeFiles) -> None:
    """systemd gives the credentials to ExecStart, not to ExecStopPost."""
    for name in ("validator-key", "validator-node-key", "voter-node-key"):
        del node.options[name]
    assert len(node.faults()) == 3
    settings = load([*node.argv(), "--hand-back"], node.env)
    assert settings.hand_back
    assert settings.neard_home == node["neard-home"]
