# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules that set Consul itself up have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """How the agent is reached; the names are those of community.general's Consul modules."""

    DOCUMENTATION = r"""
options:
  host:
    description:
      - Where the Consul agent answers. An IP address is better than a name, whose look-up can hang.
    type: str
    default: 127.0.0.1
  port:
    description:
      - The port of Consul's HTTP API.
    type: int
    default: 8501
  scheme:
    description:
      - How Consul is spoken to.
    type: str
    default: https
    choices: [http, https]
  validate_certs:
    description:
      - Whether Consul has to prove who it is. Without, the token goes to whoever answers.
    type: bool
    default: true
  ca_path:
    description:
      - The certificate authorities for V(https), a PEM file. The system's, if not set.
    type: path
  client_cert:
    description:
      - The certificate with which this client proves who it is, a PEM file.
    type: path
  client_key:
    description:
      - The key of O(client_cert), a PEM file. Not needed if that has it in it.
    type: path
  token:
    description:
      - The secret id of the ACL token.
    type: str
  token_file:
    description:
      - A file with the secret id of the ACL token, on the host that runs the module.
    type: path
  timeout:
    description:
      - Seconds for Consul to answer one question.
    type: float
    default: 10.0
  wait:
    description:
      - Seconds for which a question is asked again while the agent does not answer or the cluster has no leader.
    type: float
    default: 0.0
requirements:
  - Python 3.11 or later on the host that runs the module, and nothing else
"""
