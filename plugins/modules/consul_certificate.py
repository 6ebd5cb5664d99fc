# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A private certificate authority for Consul's agents, kept in a directory."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_certificate
short_description: A private certificate authority for Consul's agents, kept in a directory
version_added: 0.1.0
description:
  - Signs the requests of Consul's agents. It runs where the authority is, with C(delegate_to) on the controller; the
    agent's key stays on its host, only the request comes here.
  - A certificate that is still good is given back as it is.
  - The directory holds C(ca.pem) and C(ca-key.pem). C(ca.pem) may hold several authorities, so that one can follow the
    other; it is handed to all agents as a whole, and the one that belongs to the key signs.
extends_documentation_fragment:
  - kuutamo.near._attributes
options:
  directory:
    description: Where the authority is, or is made.
    type: path
    required: true
  create_ca:
    description: Whether an authority is made where there is none. If not, that is a failure.
    type: bool
    default: false
  ca_name:
    description: The name of an authority that is made.
    type: str
    default: Consul CA
  ca_days:
    description: Days for which an authority that is made is good.
    type: int
    default: 3650
  request:
    description:
      - The agent's request, PEM, and its certificate if it has one, in any order.
      - If not set, there is only looked after the authority.
    type: str
  dns_names:
    description: The names that the agent may have.
    type: list
    elements: str
    default: []
  ip_addresses:
    description: The addresses that the agent may have.
    type: list
    elements: str
    default: []
  days:
    description: Days for which a new certificate is good; never longer than the authority.
    type: int
    default: 730
  renew_days:
    description:
      - A certificate that ends within this many days is replaced, unless it ends with its authority.
      - It is warned of an authority that ends within this many days.
    type: int
    default: 60
  force:
    description: Replace a certificate that is still good, too.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - The reasons are in RV(reasons).
  idempotent:
    support: partial
    details:
      - Not with O(force).
requirements:
  - cryptography on the host that runs the module; ansible-core has brought it to the controller
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Sign the agent's request
  kuutamo.near.consul_certificate:
    directory: "{{ inventory_dir }}/consul-tls"
    request: "{{ agent_request.stdout }}"
    dns_names: [server.dc1.consul, localhost]
    ip_addresses: [127.0.0.1, 10.0.0.11]
  delegate_to: localhost
  register: signed
"""

RETURN = r"""
ca:
  description: The authorities that an agent has to trust, PEM; null when there is none yet, in check mode.
  returned: success
  type: str
ca_fingerprint:
  description: SHA-256 of the authority that signs, in hexadecimal digits; null when there is none yet, in check mode.
  returned: success
  type: str
ca_not_after:
  description: When the authority that signs ends, ISO 8601.
  returned: success
  type: str
certificate:
  description: The agent's certificate, PEM; null without O(request), and for a new one in check mode.
  returned: success
  type: str
not_after:
  description: When it ends, ISO 8601.
  returned: success
  type: str
serial:
  description: Its serial number in hexadecimal digits.
  returned: success
  type: str
reasons:
  description: Why there is a new certificate; empty when the present one is still good.
  returned: success
  type: list
  elements: str
  sample: [it ends on 2026-12-01]
reason:
  description: Why it failed, V(authority) when the authority or request is at fault, V(no_library) without cryptography.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.kuutamo.near.plugins.module_utils import _consul_ca


def main() -> None:
    """Run the module."""
    spec = {
        "directory": {"type": "path", "required": True},
        "create_ca": {"type": "bool", "default": False},
        "ca_name": {"type": "str", "default": "Consul CA"},
        "ca_days": {"type": "int", "default": 3650},
        "request": {"type": "str"},
        "dns_names": {"type": "list", "elements": "str", "default": []},
        "ip_addresses": {"type": "list", "elements": "str", "default": []},
        "days": {"type": "int", "default": 730},
        "renew_days": {"type": "int", "default": 60},
        "force": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    if _consul_ca.LIBRARY_FAULT is not None:
        module.fail_json(msg=missing_required_lib("cryptography"), reason="no_library", exception=_consul_ca.LIBRARY_FAULT)
    given = module.params
    try:
        authority, made = _consul_ca.authority(
            given["directory"], given["create_ca"], given["ca_name"], given["ca_days"], module.check_mode
        )
        wanted = _consul_ca.Wanted(
            tuple(given["dns_names"]), tuple(given["ip_addresses"]), given["days"], given["renew_days"], given["force"]
        )
        paper = None
        if given["request"] is not None:
            paper = _consul_ca.certificate(authority, given["request"], wanted, module.check_mode)
    except _consul_ca.AuthorityError as error:
        module.fail_json(msg=str(error), reason="authority")
    if authority and authority.ends_within(given["renew_days"]):
        module.warn(
            f"the certificate authority in {given['directory']} ends on {authority.not_after}, and no certificate outlives"
            " it; let a new one follow, as the README of the role kuutamo.near.consul tells under Certificates"
        )
    module.exit_json(
        changed=made or (paper is not None and bool(paper.reasons)),
        ca=authority.bundle if authority else None,
        ca_fingerprint=authority.fingerprint if authority else None,
        ca_not_after=authority.not_after if authority else None,
        certificate=paper.pem if paper else None,
        not_after=paper.not_after if paper else None,
        serial=paper.serial if paper else None,
        reasons=list(paper.reasons) if paper else [],
    )


if __name__ == "__main__":
    main()
