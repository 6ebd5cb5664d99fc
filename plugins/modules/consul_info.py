# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a Consul cluster is, as one of its agents sees it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_info
short_description: How a Consul cluster is, as one of its agents sees it
version_added: 0.1.0
description:
  - Reads leader, servers, quorum, members, this agent, its certificate, and who holds a lock.
  - The token needs C(operator = "read"), C(agent_prefix "" = "read") and read on O(lock_key).
extends_documentation_fragment:
  - kuutamo.near._attributes
  - kuutamo.near._attributes.info_module
  - kuutamo.near._consul_http
options:
  lock_key:
    description: A key whose session is looked up, such as V(kuutamod-leader/validator.pool.near).
    type: str
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Wait until all three servers are well
  kuutamo.near.consul_info:
    ca_path: /etc/ssl/kuutamo/consul-ca.pem
    token: "{{ consul_management_token }}"
  register: cluster
  until: cluster is success and cluster.healthy and cluster.voters == 3
  retries: 30
  delay: 2
"""

RETURN = r"""
leader:
  description: The name of the server that leads; null when there is none.
  returned: success
  type: str
  sample: host-a
healthy:
  description: Autopilot's word on all servers.
  returned: success
  type: bool
failure_tolerance:
  description: How many servers may fail before the cluster has no leader.
  returned: success
  type: int
  sample: 1
voters:
  description: How many servers vote.
  returned: success
  type: int
  sample: 3
last_index:
  description: The highest raft index of a server.
  returned: success
  type: int
servers:
  description: Each server with name, address, whether it leads, votes and is healthy, and its raft index and version.
  returned: success
  type: list
  elements: dict
members:
  description: Each member of the gossip with name, whether it is a server, and status.
  returned: success
  type: list
  elements: dict
agent:
  description: The agent that was asked, with name, whether it is a server, version, and leave_on_terminate.
  returned: success
  type: dict
certificate:
  description: The certificate that the agent showed, with its serial number and its end; null without https or check of it.
  returned: success
  type: dict
lock:
  description: The session that holds O(lock_key), and the Consul node that it belongs to; null when nobody does.
  returned: success
  type: dict
reason:
  description:
    - Why Consul can't be asked or refuses, V(unreachable), V(no_leader), V(forbidden), V(refused), V(answer) or V(options).
  returned: failure
  type: str
"""

import socket
import ssl
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _consul_http

ATTEMPTS = 3
"""Times that a key and its session are read until they belong together."""
STATUS = {1: "alive", 2: "leaving", 3: "left", 4: "failed"}
"""Serf's states of a member."""


def certificate(given: dict[str, Any]) -> dict[str, Any] | None:
    """What the agent shows at its https port; nothing where it is not asked by https or not checked."""
    if given["scheme"] != "https" or not given["validate_certs"]:
        return None
    context = ssl.create_default_context(cafile=given["ca_path"])
    if given["client_cert"]:
        context.load_cert_chain(given["client_cert"], given["client_key"])
    address = (given["host"], given["port"])
    with (
        socket.create_connection(address, given["timeout"]) as plain,
        context.wrap_socket(plain, server_hostname=given["host"]) as secure,
    ):
        shown: dict[str, Any] = secure.getpeercert() or {}
    return {"serial": shown.get("serialNumber"), "not_after": shown.get("notAfter")}


def lock(consul: _consul_http.ConsulHttp, key: str) -> dict[str, Any] | None:
    """Who holds a key. Raises ConsulHttpError."""
    session = None
    for _attempt in range(ATTEMPTS):
        answer = consul.call("GET", f"kv/{key}", query={"consistent": ""}, accept=(404,))
        session = answer.data[0].get("Session") if answer.status == 200 else None
        if not session:
            return None
        # Nothing is found when it has ended since, then the key says something else now; or without the right to see it.
        found = consul.get(f"session/info/{session}", query={"consistent": ""})
        if found:
            return {"session": session, "node": found[0]["Node"]}
    raise _consul_http.ConsulHttpError("answer", f"the session {session} holds {key}, and Consul does not tell whose it is")


def read(consul: _consul_http.ConsulHttp, given: dict[str, Any]) -> dict[str, Any]:
    """All of it. Raises ConsulHttpError, and OSError when the certificate can't be read."""
    # An unhealthy cluster is an answer with 429.
    answer = consul.call("GET", "operator/autopilot/health", accept=(429,))
    health = answer.data
    if not isinstance(health, dict) or not {"Healthy", "FailureTolerance", "Servers"} <= health.keys():
        # Also a limit of requests is told with 429.
        raise _consul_http.ConsulHttpError(
            "answer", f"autopilot does not tell how the servers are: {answer.text.strip()[:300]}"
        )
    raft = consul.get("operator/raft/configuration")
    own = consul.get("agent/self")
    members = consul.get("agent/members")
    # Raft knows who leads and votes at this moment; autopilot looks at the servers every few seconds.
    looked_at = {server["Name"]: server for server in health["Servers"] or []}
    servers = [
        {
            "name": server["Node"],
            "address": server["Address"],
            "leader": server["Leader"],
            "voter": server["Voter"],
            "healthy": looked_at.get(server["Node"], {}).get("Healthy", False),
            "last_index": looked_at.get(server["Node"], {}).get("LastIndex", 0),
            "version": looked_at.get(server["Node"], {}).get("Version"),
        }
        for server in raft["Servers"]
    ]
    return {
        "leader": next((server["name"] for server in servers if server["leader"]), None),
        "healthy": bool(health["Healthy"] and servers and all(server["healthy"] for server in servers)),
        "failure_tolerance": health["FailureTolerance"],
        "voters": sum(server["voter"] for server in servers),
        "last_index": max((server["last_index"] for server in servers), default=0),
        "servers": servers,
        "members": [
            {
                "name": member["Name"],
                "server": member["Tags"].get("role") == "consul",
                "status": STATUS.get(member["Status"], "unknown"),
            }
            for member in members
        ],
        "agent": {
            "name": own["Config"]["NodeName"],
            "server": own["Config"]["Server"],
            "version": own["Config"]["Version"],
            "leave_on_terminate": own["DebugConfig"].get("LeaveOnTerm"),
        },
        "certificate": certificate(given),
        "lock": lock(consul, given["lock_key"]) if given["lock_key"] else None,
    }


def main() -> None:
    """Run the module."""
    spec = {**_consul_http.SPEC, "lock_key": {"type": "str", "no_log": False}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    consul = _consul_http.connect(module)
    try:
        result = read(consul, module.params)
    except _consul_http.ConsulHttpError as error:
        _consul_http.fail(module, error)
    except OSError as error:
        module.fail_json(msg=f"Consul: {consul.url}: {error}", reason="unreachable")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
