# SPDX-License-Identifier: Apache-2.0
"""What the role refuses before it touches a host: each with a message that names the field and the remedy."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import yaml

from unit.consul_role.rig import ACCOUNT, ROLE, TOKEN
from unit.consul_role.values import FACTS, GOSSIP, value
from unit.plays import Json, Run, include, play

GOOD: Json = {
    "consul_source": "installed",
    "consul_gossip_key": GOSSIP,
    "consul_management_token": TOKEN,
    "kuutamod_account_id": ACCOUNT,
    "consul_bind_address": "10.0.0.1",
}
OTHER_TOKEN = "22222222-2222-4222-8222-222222222222"
# Host: what is wrong with it, and words of the message.
WRONG: Mapping[str, tuple[Json, tuple[str, ...]]] = {
    "raft-multiplier": ({"consul_raft_multiplier": 5}, ("consul_raft_multiplier 5", "fence deadline 7", "Use 1")),
    "fence-deadline": ({"kuutamod_fence_deadline": 4}, ("fence deadline 4", "kuutamod_fence_deadline")),
    "heartbeat": ({"kuutamod_heartbeat_interval": 4}, ("heartbeat 4",)),
    "session": ({"consul_session_ttl_min": "15s"}, ("kuutamod_session_ttl", "under 15 s", "consul_session_ttl_min")),
    "session-words": ({"consul_session_ttl_min": "1m"}, ("consul_session_ttl_min", "whole seconds", '"1m"')),
    "extra-multiplier": (
        {"consul_extra_config": {"performance": {"raft_multiplier": 5}}},
        ("consul_extra_config sets performance.raft_multiplier", "set consul_raft_multiplier"),
    ),
    "extra-list": ({"consul_extra_config": {"Performance": [{"Raft_Multiplier": 5}]}}, ("performance.raft_multiplier",)),
    "extra-leave": ({"consul_extra_config": {"leave_on_terminate": True}}, ("leave_on_terminate", "session")),
    "extra-case": ({"consul_extra_config": {"Leave_On_Terminate": True}}, ("leave_on_terminate",)),
    "extra-session": ({"consul_extra_config": {"session_ttl_min": "30s"}}, ("set consul_session_ttl_min",)),
    "extra-name": ({"consul_extra_config": {"node_name": "x"}}, ("node_name",)),
    "extra-data": ({"consul_extra_config": {"data_dir": "/x"}}, ("data_dir",)),
    "extra-ports": ({"consul_extra_config": {"ports": {"http": 1}}}, ("ports", "consul_https")),
    "extra-acl": ({"consul_extra_config": {"acl": {}, "encrypt": "x"}}, ("acl, encrypt", "shown in diffs")),
    "gossip": ({"consul_gossip_key": "short"}, ("consul_gossip_key", "openssl rand -base64 32")),
    "gossip-newline": ({"consul_gossip_key": f"{GOSSIP}\n"}, ("consul_gossip_key", "printf %s")),
    "token": ({"consul_management_token": "x" * 12}, ("consul_management_token has to be a UUID in lower case",)),
    "token-newline": (
        {"consul_management_token": f"{TOKEN}\n"},
        ("consul_management_token has to be", "printf %s", "ansible-vault encrypt_string"),
    ),
    "reader-newline": ({"consul_reader_token": f"{OTHER_TOKEN}\n"}, ("consul_reader_token has to be", "printf %s")),
    "two-newlines": (
        {"consul_operator_token": f"{OTHER_TOKEN}\n", "consul_reader_token": f"{TOKEN}\n"},
        ("consul_operator_token, consul_reader_token have to be",),
    ),
    "no-token": ({"consul_management_token": ""}, ("consul_management_token is required",)),
    "datacenter-newline": ({"consul_datacenter": "dc1\n"}, ("consul_datacenter has to be",)),
    "twins": ({"consul_operator_token": TOKEN}, ("no two alike",)),
    "address": ({"consul_bind_address": "host.example"}, ("consul_bind_address of address", "host.example")),
    "source": ({"consul_source": "archive"}, ("consul_archive", "consul_archive_sha256")),
    "version": ({"consul_source": "repository", "consul_version": "latest"}, ("consul_version", "1.20.2")),
    "days": ({"consul_tls_days": 30}, ("consul_tls_days is 30", "consul_tls_renew_days 60")),
    "server-alone": (
        {"consul_kuutamod": False, "consul_reader_token": OTHER_TOKEN, "kuutamod_account_id": ""},
        ("of server-alone", "is a Consul server alone", "group_vars/all"),
    ),
    "account": ({"kuutamod_account_id": "Pool.Near"}, ("from kuutamod_account_id", '"Pool.Near"')),
    "fedora": ({"told": {"distribution": "Fedora"}}, ("fedora runs Fedora", "knows Debian 12 and 13")),
    "debian-11": ({"told": {"distribution_major_version": "11", "distribution_version": "11.9"}}, ("Debian 11.9",)),
    "arm": ({"told": {"architecture": "armv7l"}}, ("on armv7l", "x86_64 and aarch64")),
    "openrc": ({"told": {"service_mgr": "openrc"}}, ("under openrc",)),
}
RIGHT: Mapping[str, Json] = {
    "plain": {},
    "extra": {"consul_extra_config": {"telemetry": {"disable_hostname": True}, "performance": {"leave_drain_time": "5s"}}},
    "slow-but-patient": {"consul_raft_multiplier": 2, "kuutamod_fence_deadline": 12},
    "arm64": {"told": {"architecture": "aarch64"}},
    "bookworm": {"told": {"distribution_major_version": "12"}},
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All of them in one run, each as a fleet's validator and server."""
    hosts = {
        name: {**GOOD, "told": {}, **given} for name, given in {**{k: v[0] for k, v in WRONG.items()}, **RIGHT}.items()
    }
    facts = {
        "name": "Say what the host is",
        "ansible.builtin.set_fact": {
            **{k: f"{{{{ told['{k}'] | default(__plain['{k}']) }}}}" for k in FACTS},
            "cacheable": True,
        },
        "vars": {"__plain": FACTS},
    }
    groups = {"consul_servers": ["plain", "extra", "arm64"], "validators": list(hosts)}
    return play(tmp_path_factory.mktemp("assert"), [facts, include("consul", "assert")], hosts, "--forks=4", groups=groups)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_wrong_is_refused_by_name(judged: Run, name: str) -> None:
    assert name in judged.faults, judged.out
    assert [words for words in WRONG[name][1] if words not in judged.faults[name]] == [], judged.faults[name]


def test_no_secret_is_told(judged: Run) -> None:
    assert not any(secret in judged.out for secret in (TOKEN, OTHER_TOKEN, GOSSIP))


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_what_is_right_is_taken(judged: Run, name: str) -> None:
    assert name not in judged.faults, judged.faults[name]


def test_what_was_judged_is_what_is_written() -> None:
    """The extra configuration is merged last, so the judged numbers hold only because it can't touch them."""
    extra = RIGHT["extra"]["consul_extra_config"]
    written = value(
        "{{ __consul_config }}", __consul_version="1.20.2", consul_extra_config=extra, consul_session_ttl_min="5s"
    )
    assert written["performance"] == {"raft_multiplier": 1, "leave_drain_time": "5s"}
    assert (written["session_ttl_min"], written["leave_on_terminate"], written["node_name"]) == ("5s", False, "a")
    assert written["telemetry"] == {"disable_hostname": True}


def test_what_is_judged_is_what_kuutamod_gets() -> None:
    """By the names of the role kuutamod, and by the defaults of the daemon."""
    from kuutamod.core.lease import LeaseLaw

    known = yaml.safe_load((ROLE.parent / "kuutamod/meta/argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    for name in ("session_ttl", "fence_deadline", "heartbeat_interval", "request_deadline"):
        assert f"kuutamod_{name}" in known
        assert float(value(f"{{{{ consul_kuutamod_{name} }}}}")) == getattr(LeaseLaw(), name)
        assert value(f"{{{{ consul_kuutamod_{name} }}}}", "a", **{f"kuutamod_{name}": 17}) == 17
