# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Consul's policies and tokens, and the first management token."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_acl
short_description: Consul's policies and tokens, and the first management token
version_added: 0.1.0
description:
  - Brings policies and tokens of a Consul cluster to what is wanted, in the order policies that are kept, tokens,
    policies that go.
  - A policy is known by its name, a token by its description.
  - Secrets that Consul chooses never leave the host that runs the module. It puts them into a file, or into the agent.
extends_documentation_fragment:
  - kuutamo.near._attributes
  - kuutamo.near._consul_http
options:
  bootstrap:
    description:
      - Make O(token) the management token of a cluster that has none yet.
      - Consul before 1.14 chooses the first token itself; there O(token) is made with it and the chosen one is deleted.
    type: bool
    default: false
  policies:
    description: The policies.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name; letters, digits, dashes and underscores.
        type: str
        required: true
      description:
        description: What it is for.
        type: str
        default: ""
      rules:
        description: Its rules in HCL; needed unless it goes.
        type: str
      state:
        description: Whether it is to be there.
        type: str
        default: present
        choices: [present, absent]
  tokens:
    description: The tokens.
    type: list
    elements: dict
    default: []
    suboptions:
      description:
        description: What it is for, and by what it is known; no two kinds of token may have the same.
        type: str
        required: true
      policies:
        description: The names of its policies.
        type: list
        elements: str
        default: []
      secret_id:
        description:
          - Its secret, a UUID.
          - If not set, Consul chooses it. Then O(tokens[].path) or O(tokens[].agent) says who gets it.
        type: str
      path:
        description: A file on the host that runs the module that holds the secret.
        type: path
      owner:
        description: Whose the file is.
        type: str
      group:
        description: The group of the file.
        type: str
      mode:
        description: The rights of the file, in octal digits.
        type: str
        default: "0600"
      agent:
        description:
          - For what the agent that is asked uses it itself. V(agent) is its own work; V(services) is the registration
            of services
            from its configuration files.
          - Consul before 1.15 has no token for V(services) alone. There it becomes the default token, whose rights a caller
            without a token has, too.
        type: str
        choices: [agent, services]
      state:
        description:
          - Whether it is to be there.
          - V(absent) deletes every token of this description; with O(tokens[].secret_id) the token of this secret alone,
            whatever its description is.
        type: str
        default: present
        choices: [present, absent]
  rotate:
    description:
      - Make tokens without O(tokens[].secret_id) anew and place them. The former ones stay good until O(prune).
      - Changes something at each run.
    type: bool
    default: false
  prune:
    description:
      - Delete all tokens that have the description of a wanted token but are not the one in use.
      - In use is the one with O(tokens[].secret_id), the one in O(tokens[].path), or the one that the agent has.
    type: bool
    default: false
  agent_tokens_file:
    description:
      - Where the agent keeps its tokens, V(acl-tokens.json) in its data directory; it tells whether it has the right one.
      - If not set, an agent's tokens are set at each run.
    type: path
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Not with O(rotate), which makes new tokens at each run.
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Bootstrap the cluster, and give the operator a token
  kuutamo.near.consul_acl:
    ca_path: /etc/ssl/kuutamo/consul-ca.pem
    token: "{{ consul_management_token }}"
    bootstrap: true
    policies:
      - name: reader
        rules: |
          key_prefix "kuutamod/" { policy = "read" }
    tokens:
      - description: reader
        policies: [reader]
        secret_id: "{{ consul_reader_token }}"

- name: A token that never leaves the host
  kuutamo.near.consul_acl:
    ca_path: /etc/ssl/kuutamo/consul-ca.pem
    token: "{{ consul_management_token }}"
    tokens:
      - description: backup {{ inventory_hostname }}
        policies: [reader]
        path: /etc/backup/consul-token
"""

RETURN = r"""
bootstrapped:
  description: Whether the management token was made, or would be in check mode.
  returned: success
  type: bool
policies:
  description: Each policy with its name, id and what was done, V(none), V(created), V(changed) or V(deleted).
  returned: success, or a failure of Consul or of a file, then those before it
  type: list
  elements: dict
  sample:
    - name: reader
      id: 5f3c5ec6-7d7f-40b1-b5cc-a2b1a4a7a3a0
      action: created
tokens:
  description:
    - Each token with its description, accessor id, what was done (V(none), V(created), V(changed) or V(rotated)), and
      whether it had to be placed.
    - The accessor ids of other tokens with this description are in C(others), of deleted ones in C(deleted).
  returned: success, or a failure of Consul or of a file, then those before it
  type: list
  elements: dict
  sample:
    - description: reader
      accessor_id: 0f1b8e3a-3f4c-4f0f-9a52-3f2a1f8a1d6e
      action: created
      placed: false
      others: []
      deleted: []
reason:
  description:
    - Why Consul can't be asked or refuses, V(unreachable), V(no_leader), V(forbidden), V(refused), V(answer) or V(options);
      V(file) where a secret can't be put into its file.
  returned: failure
  type: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _consul_http
from ansible_collections.kuutamo.near.plugins.module_utils._consul_tokens import (
    Outcome,
    PlaceFault,
    Policies,
    Tokens,
    bootstrap,
)

STATE = {"type": "str", "default": "present", "choices": ["present", "absent"]}
POLICY = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str", "default": ""},
    "rules": {"type": "str"},
    "state": STATE,
}
TOKEN = {
    "description": {"type": "str", "required": True},
    "policies": {"type": "list", "elements": "str", "default": []},
    "secret_id": {"type": "str", "no_log": True},
    "path": {"type": "path"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "str", "default": "0600"},
    "agent": {"type": "str", "choices": ["agent", "services"]},
    "state": STATE,
}
SPEC = {
    **_consul_http.SPEC,
    "bootstrap": {"type": "bool", "default": False},
    "policies": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": POLICY,
        "required_if": [("state", "present", ["rules"])],
    },
    "tokens": {"type": "list", "elements": "dict", "default": [], "options": TOKEN, "no_log": False},
    "rotate": {"type": "bool", "default": False},
    "prune": {"type": "bool", "default": False},
    "agent_tokens_file": {"type": "path", "no_log": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    consul = _consul_http.connect(module)
    given: dict[str, Any] = module.params
    if given["bootstrap"] and consul.token is None:
        _consul_http.fail_options(module, "bootstrap needs token, the secret id that becomes the management token")
    for token in given["tokens"]:
        if token["state"] == "present" and not (token["secret_id"] or token["path"] or token["agent"]):
            _consul_http.fail_options(
                module,
                f"token {token['description']}: nobody would know its secret; give secret_id, or say by path or agent "
                "who gets the one that Consul chooses",
            )
        if token["secret_id"]:
            _consul_http.check_secret(module, f"secret_id of token {token['description']}", token["secret_id"])
    outcome, bootstrapped = Outcome(), False
    agent_file = Path(given["agent_tokens_file"]) if given["agent_tokens_file"] else None
    try:
        if given["bootstrap"]:
            bootstrapped = bootstrap(module, consul, outcome)
        # In check mode there is nobody who could look into a cluster that is still to be bootstrapped.
        blind = bootstrapped and module.check_mode
        policies = Policies(module, consul, outcome, blind)
        tokens = Tokens(module, consul, outcome, blind=blind, agent_file=agent_file)
        for policy in given["policies"]:
            if policy["state"] == "present":
                policies.ensure(policy)
        for token in given["tokens"]:
            tokens.ensure(token)
        for policy in given["policies"]:
            if policy["state"] == "absent":
                policies.ensure(policy)
    except (_consul_http.ConsulHttpError, PlaceFault) as error:
        done: dict[str, Any] = {"policies": outcome.policies, "tokens": outcome.tokens}
        done["changed"] = consul.changed or outcome.written
        if isinstance(error, _consul_http.ConsulHttpError):
            _consul_http.fail(module, error, **done)
        module.fail_json(msg=str(error), reason="file", **done)
    module.exit_json(
        changed=outcome.changed,
        bootstrapped=bootstrapped,
        policies=outcome.policies,
        tokens=outcome.tokens,
        diff={"before": "".join(outcome.before), "after": "".join(outcome.after)},
    )


if __name__ == "__main__":
    main()
