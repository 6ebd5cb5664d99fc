# SPDX-License-Identifier: Apache-2.0
"""What the role's defaults and variables come to for one host, by Ansible's own templating."""

from __future__ import annotations

from typing import Any

import yaml

from unit.consul_role.rig import ACCOUNT, ROLE, TOKEN

Json = dict[str, Any]
FACTS: Json = {
    "distribution": "Debian",
    "distribution_major_version": "13",
    "distribution_version": "13.1",
    "distribution_release": "trixie",
    "architecture": "x86_64",
    "service_mgr": "systemd",
    "default_ipv4": {"address": "10.0.0.1"},
}
GROUPS = {"consul_servers": ["a", "b", "c"], "validators": ["a", "b", "d"]}
GOSSIP = "bW9sZWN1bGUtb2Yta3V1dGFtby1uZWFyLXRlc3Qta2U="


def told(name: str = "a") -> Json:
    """What an operator and the host say."""
    others = {host: {"consul_bind_address": f"10.0.0.{number}"} for number, host in enumerate("abcd", 1)}
    return {
        "inventory_hostname": name,
        "inventory_dir": "/inventory",
        "groups": GROUPS,
        "hostvars": others,
        "ansible_facts": FACTS,
        "consul_bind_address": others.get(name, {}).get("consul_bind_address", ""),
        "consul_management_token": TOKEN,
        "consul_gossip_key": GOSSIP,
        "kuutamod_account_id": ACCOUNT,
    }


def value(expression: str, name: str = "a", **given: Any) -> Any:
    """An expression as it is in a task of the role, on host ``name``."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template

    variables: Json = {}
    for part in ("defaults", "vars"):
        variables |= yaml.safe_load((ROLE / part / "main.yml").read_text(encoding="utf-8"))
    trusted = {key: _trusted(each, trust_as_template) for key, each in variables.items()}
    # The role's path decides where its templates are.
    loader = DataLoader()
    loader.set_basedir(str(ROLE))
    everything = {**trusted, **told(name), **given}
    return Templar(loader=loader, variables=everything).template(trust_as_template(expression))


def _trusted(found: Any, trust: Any) -> Any:
    if isinstance(found, str):
        return trust(found)
    if isinstance(found, dict):
        return {key: _trusted(each, trust) for key, each in found.items()}
    if isinstance(found, list):
        return [_trusted(each, trust) for each in found]
    return found
