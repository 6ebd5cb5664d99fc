# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Consul's autopilot may do with servers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_autopilot
short_description: What Consul's autopilot may do with servers
version_added: 0.1.0
description:
  - The agents' configuration files set autopilot only when a cluster is bootstrapped; later only this changes it.
extends_documentation_fragment:
  - kuutamo.near._attributes
  - kuutamo.near._consul_http
options:
  min_quorum:
    description:
      - Autopilot removes no dead server if fewer than this would be left.
      - As many as there are servers, and it never removes one that is only away for a moment.
    type: int
    required: true
  cleanup_dead_servers:
    description: Whether autopilot removes dead servers, as far as O(min_quorum) lets it.
    type: bool
    default: true
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
- name: Three servers, and a dead one stays until a new one has come
  kuutamo.near.consul_autopilot:
    ca_path: /etc/ssl/kuutamo/consul-ca.pem
    token: "{{ consul_management_token }}"
    min_quorum: 3
"""

RETURN = r"""
reason:
  description:
    - Why Consul can't be asked or refuses, V(unreachable), V(no_leader), V(forbidden), V(refused), V(answer) or V(options).
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _consul_http

PATH = "operator/autopilot/configuration"


def main() -> None:
    """Run the module."""
    spec = {
        **_consul_http.SPEC,
        "min_quorum": {"type": "int", "required": True},
        "cleanup_dead_servers": {"type": "bool", "default": True},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    consul = _consul_http.connect(module)
    wanted = {"MinQuorum": module.params["min_quorum"], "CleanupDeadServers": module.params["cleanup_dead_servers"]}
    try:
        now = consul.get(PATH)
        before = {name: now[name] for name in wanted}
        if before != wanted and not module.check_mode:
            # With cas, so that nobody else's change in between is lost.
            done = consul.call("PUT", PATH, {**now, **wanted}, query={"cas": str(now["ModifyIndex"])}).data
            if done is not True:
                module.fail_json(
                    msg="Consul: somebody else has just changed autopilot's settings; run it again", reason="answer"
                )
    except _consul_http.ConsulHttpError as error:
        _consul_http.fail(module, error)
    module.exit_json(changed=before != wanted, diff={"before": before, "after": wanted})


if __name__ == "__main__":
    main()
