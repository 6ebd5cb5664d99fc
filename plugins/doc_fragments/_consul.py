# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all modules of this collection that ask Consul have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Options named as in community.general's Consul modules, and those that they lack."""

    DOCUMENTATION = r"""
options:
  account_id:
    description:
      - The validator's account; the fleet of this account shares one lock.
      - If not set, the environment variable E(KUUTAMO_ACCOUNT_ID) is used.
    type: str
    required: true
  host:
    description:
      - Where Consul answers. An IP address is better than a name, whose look-up can hang.
      - If not set, the host in the environment variable E(CONSUL_HTTP_ADDR) is used, which is an address such as
        V(127.0.0.1:8500) or V(https://127.0.0.1:8501). A socket or a path in it is refused.
    type: str
    default: 127.0.0.1
  port:
    description:
      - The port of Consul's HTTP API.
      - If not set, the port in the environment variable E(CONSUL_HTTP_ADDR) is used. If that has a scheme and no port,
        it is 443 for V(https) and 80 for V(http).
    type: int
    default: 8500
  scheme:
    description:
      - How Consul is spoken to.
      - If not set, the scheme in the environment variable E(CONSUL_HTTP_ADDR) is used, or V(https) if
        E(CONSUL_HTTP_SSL) is true.
    type: str
    default: http
    choices: [http, https]
  validate_certs:
    description:
      - Whether Consul has to prove who it is. Without, the token goes to whoever answers.
      - If not set, the environment variable E(CONSUL_HTTP_SSL_VERIFY) is used.
    type: bool
    default: true
  ca_path:
    description:
      - The certificate authorities for V(https), a PEM file. The system's, if not set.
      - If not set, the environment variable E(CONSUL_CACERT) is used.
    type: path
  client_cert:
    description:
      - The certificate with which this client proves who it is, a PEM file.
      - If not set, the environment variable E(CONSUL_CLIENT_CERT) is used.
    type: path
  client_key:
    description:
      - The key of O(client_cert), a PEM file. Not needed if that has it in it.
      - If not set, the environment variable E(CONSUL_CLIENT_KEY) is used.
    type: path
  token:
    description:
      - The secret id of the ACL token.
      - If neither this nor O(token_file) is set, the environment variable E(CONSUL_HTTP_TOKEN) is used.
    type: str
  token_file:
    description:
      - A file with the secret id of the ACL token, on the host that runs the module.
      - If neither this nor O(token) is set, nor the environment variable E(CONSUL_HTTP_TOKEN), then
        E(CONSUL_HTTP_TOKEN_FILE) is used.
    type: path
  consul_timeout:
    description:
      - Seconds for Consul to answer one question, 0.1 to 600.
    type: float
    default: 10.0
requirements:
  - Python 3.11 or later on the host that runs the module
  - python-consul2 or py-consul on the host that runs the module; the virtual environment of kuutamod has it. Not its
    unmaintained predecessor python-consul, which is Debian 12's python3-consul
notes:
  - Run it on a host that reaches Consul, such as any host of the fleet, with the Python of kuutamod's virtual environment
    as C(ansible_python_interpreter), or on the controller with C(delegate_to).
"""
