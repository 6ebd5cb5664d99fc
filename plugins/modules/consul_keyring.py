# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The keys with which Consul's agents encrypt their gossip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_keyring
short_description: The keys with which Consul's agents encrypt their gossip
version_added: 0.1.0
description:
  - Takes the gossip of a running cluster from one key to another without a restart. Each step is for the whole cluster,
    and does nothing where it is done already.
  - No key is shown in a result.
extends_documentation_fragment:
  - kuutamo.near._attributes
  - kuutamo.near._consul_http
options:
  key:
    description: The wanted key, 32 bytes in base64, as C(consul keygen) makes it.
    type: str
    required: true
  state:
    description:
      - With V(installed) all members know the key.
      - With V(primary) they encrypt with it as well.
      - With V(only) they know no other one.
    type: str
    default: only
    choices: [installed, primary, only]
  nodes:
    description:
      - How many agents there have to be. With fewer nothing is changed, for an agent that is away would miss the key.
    type: int
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: All agents know the new key
  kuutamo.near.consul_keyring:
    ca_path: /etc/ssl/kuutamo/consul-ca.pem
    token: "{{ consul_management_token }}"
    key: "{{ consul_gossip_key }}"
    state: installed
    nodes: 5
"""

RETURN = r"""
nodes:
  description: How many agents there are.
  returned: success
  type: int
  sample: 5
keys_before:
  description: How many keys were known, before.
  returned: success
  type: int
  sample: 1
reason:
  description:
    - Why Consul can't be asked or refuses, V(unreachable), V(no_leader), V(forbidden), V(refused), V(answer) or V(options).
  returned: failure
  type: str
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _consul_http

PATH = _consul_http.KEYRING
KEY_BYTES = 32


@dataclass(frozen=True)
class Ring:
    """What the agents know. ``everywhere``: keys that all know; ``primary``: keys that somebody encrypts with."""

    nodes: int
    known: frozenset[str]
    everywhere: frozenset[str]
    primary: frozenset[str] | None

    def state(self, key: str) -> str:
        """How far the change to ``key`` is, in words without a key."""
        if key not in self.everywhere:
            return "the wanted key is not known everywhere"
        if self.primary != frozenset({key}):
            return "the wanted key is known everywhere"
        return "the wanted key is in use" + (", others are known" if self.known != {key} else ", alone")


def read(consul: _consul_http.ConsulHttp, module: AnsibleModule) -> Ring:
    """The ring as all agents tell it. Raises ConsulHttpError."""
    pools: list[dict[str, Any]] = consul.get(PATH)
    known = frozenset(key for pool in pools for key in pool["Keys"])
    module.no_log_values.update(known)
    everywhere = frozenset(key for key in known if all(pool["Keys"].get(key) == pool["NumNodes"] for pool in pools))
    primary: frozenset[str] | None = None
    if all(pool.get("PrimaryKeys") for pool in pools):
        primary = frozenset(key for pool in pools for key in pool["PrimaryKeys"])
    return Ring(max(pool["NumNodes"] for pool in pools), known, everywhere, primary)


def steps(ring: Ring, key: str, state: str) -> list[tuple[str, str]]:
    """The calls that are left to do, each with its key."""
    todo: list[tuple[str, str]] = []
    if key not in ring.everywhere:
        todo.append(("POST", key))
    if state != "installed" and ring.primary != frozenset({key}):
        todo.append(("PUT", key))
    if state == "only":
        todo += [("DELETE", other) for other in sorted(ring.known - {key})]
    return todo


def main() -> None:
    """Run the module."""
    spec = {
        **_consul_http.SPEC,
        "key": {"type": "str", "required": True, "no_log": True},
        "state": {"type": "str", "default": "only", "choices": ["installed", "primary", "only"]},
        "nodes": {"type": "int"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    consul = _consul_http.connect(module)
    key, state, expected = module.params["key"], module.params["state"], module.params["nodes"]
    try:
        size = len(base64.b64decode(key, validate=True))
    except binascii.Error:
        size = 0
    if size != KEY_BYTES:
        _consul_http.fail_options(module, "key: not 32 bytes in base64; make one with: consul keygen")
    step = "GET"
    try:
        ring = read(consul, module)
        if expected is not None and ring.nodes < expected:
            module.fail_json(
                msg=f"{ring.nodes} of {expected} agents are there; one that is away would miss it; nothing was changed",
                reason="refused",
                nodes=ring.nodes,
            )
        todo = steps(ring, key, state)
        if not module.check_mode:
            for step, which in todo:
                consul.call(step, PATH, {"Key": which})
        after = ring.state(key) if not todo or module.check_mode else read(consul, module).state(key)
    except _consul_http.ConsulHttpError as error:
        # With 500 some agents may have done it, and others not.
        partly = step != "GET" and (error.status or 0) >= 500 and error.reason == "answer"
        _consul_http.fail(module, error, changed=consul.changed or partly)
    module.exit_json(
        changed=bool(todo),
        nodes=ring.nodes,
        keys_before=len(ring.known),
        diff={"before": f"{ring.state(key)}\n", "after": f"{after}\n"},
    )


if __name__ == "__main__":
    main()
