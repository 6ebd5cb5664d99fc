#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs on a validator host, what is installed, and what waits for a restart."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: What runs on a validator host, what is installed, and what waits for a restart
version_added: 0.1.0
description:
  - Looks at the host itself, not at Consul. C(kuutamo.near.validator_info) is for the fleet.
  - It works on a host that has none of it yet, and needs nothing but Python's standard library.
  - Keys and tokens are never returned.
options:
  units:
    description: The systemd units to look at.
    type: list
    elements: str
    default: [consul.service, kuutamod.service]
  config_dir:
    description: Where kuutamod's role keeps C(wanted.json), the state that the next start of kuutamod will have.
    type: path
    default: /etc/kuutamod
  run_dir:
    description: Where kuutamod's unit leaves C(running.json), the state with which it was started.
    type: path
    default: /run/kuutamod
  kuutamod_dir:
    description: Where kuutamod's releases are.
    type: path
    default: /opt/kuutamod
  neard_dir:
    description: Where neard's releases are.
    type: path
    default: /opt/neard
  neard_user:
    description: The user as whom neard's programs are asked for their version; root is never used for it.
    type: str
    default: neard
  neard_versions:
    description: Whether to ask neard's programs for their version.
    type: bool
    default: true
  certificates:
    description: Certificates (PEM files) whose expiry to read. One that is not there is left out.
    type: list
    elements: path
    default: [/etc/consul.d/tls/agent.pem, /etc/consul.d/tls/ca.pem]
  token_files:
    description: Files with Consul tokens whose expiry to ask Consul for. One that is not there is left out.
    type: list
    elements: path
    default: []
  consul_url:
    description: The Consul agent of this host, asked about O(token_files) only.
    type: str
    default: https://127.0.0.1:8501
  ca_path:
    description: The certificate authority of O(consul_url), a PEM file.
    type: path
    default: /etc/ssl/kuutamo/consul-ca.pem
  asked_at:
    description: The asking host's clock, Unix seconds, to tell how far this host's clock is from it.
    type: float
  timeout:
    description: Seconds for one program or one answer.
    type: float
    default: 20.0
attributes:
  check_mode:
    description: Can run in check mode and return the same as otherwise.
    support: full
  diff_mode:
    description: Returns what has changed.
    support: none
    details: Nothing changes.
author:
  - The kuutamo.near engineers (@kuutamo)
seealso:
  - module: kuutamo.near.validator_info
"""

EXAMPLES = r"""
- name: Look at this host
  kuutamo.near.node_info:
  become: true
  register: node

- name: Say what waits for a restart
  ansible.builtin.debug:
    msg: "{{ inventory_hostname }}: {{ node.pending | join(', ') }}"
  when: node.pending | length > 0
"""

RETURN = r"""
at:
  description: The host's clock, Unix seconds.
  returned: success
  type: float
clock_offset:
  description:
    - Seconds that this host's clock is ahead of O(asked_at), with the time that the question took in it; null without that.
      Two hosts that are asked at once differ by as much as their clocks do.
  returned: success
  type: float
units:
  description: Each unit's state, by its name.
  returned: success
  type: dict
  sample: {consul.service: {load: loaded, active: active, sub: running, enabled: enabled, main_pid: 311, restarts: 0}}
wanted:
  description: What the next start of kuutamod will have; null where kuutamod's role has not been.
  returned: success
  type: dict
running:
  description: With what kuutamod was started; null when it does not run.
  returned: success
  type: dict
pending:
  description:
    - The fields in which RV(wanted) and RV(running) differ. Empty when no restart is pending.
    - V(neard_config) stands for what the role neard sets in neard's C(config.json) and removes from it.
  returned: success
  type: list
  elements: str
  sample: [neard]
consul_pending:
  description: The same for the Consul agent.
  returned: success
  type: list
  elements: str
kuutamod:
  description:
    - The activated release of kuutamod, the version of Python that it was built for (the same kuutamod is another release
      on a host with another Python), and all that are installed, in the order in which they were.
  returned: success
  type: dict
  sample: {current: 0.1.0-0123456789ab, python: '3.13', releases: [0.1.0-0123456789ab]}
neard:
  description: The activated release of neard, all that are installed, and what each says of itself.
  returned: success
  type: dict
  sample:
    current: 2.11.0-0123456789ab
    releases: [2.11.0-0123456789ab]
    versions: {2.11.0-0123456789ab: {release: 2.11.0, protocol: 83, min_protocol: 80, db: 47}}
certificates:
  description: Each certificate with its last moment in Unix seconds, or why it can't be read.
  returned: success
  type: list
  elements: dict
  sample: [{path: /etc/consul.d/tls/agent.pem, expires: 1800000000, fault: ''}]
tokens:
  description: Each token file with the token's last moment (null is never), or why it can't be told.
  returned: success
  type: list
  elements: dict
  sample: [{path: /etc/kuutamod/consul-token, expires: null, fault: ''}]
"""

import calendar
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kuutamo.near.plugins.module_utils import _units
from ansible_collections.kuutamo.near.plugins.module_utils._program import Account, ProgramFault, run

Json = dict[str, Any]
_UNIT = {
    "LoadState": "load",
    "ActiveState": "active",
    "SubState": "sub",
    "UnitFileState": "enabled",
    "MainPID": "main_pid",
    "NRestarts": "restarts",
}
_NUMBERS = ("main_pid", "restarts")
AGAIN = 1.0
"""Seconds after which a Consul that could not answer is asked once more."""
_SINCE = frozenset({"neard_config"})
"""What earlier releases of the collection did not write down: what was started then is not restarted for it."""


def unit_states(module: AnsibleModule, names: list[str], timeout: float) -> dict[str, Json]:
    """What systemd says of the units; of all of them nothing where it does not answer."""
    try:
        said = _units.show(module, names, list(_UNIT), timeout)
    except _units.SystemdFault:
        said = {name: dict.fromkeys(_UNIT, "") for name in names}
    return {name: _unit_state(fields) for name, fields in said.items()}


def _unit_state(fields: Mapping[str, str]) -> Json:
    state: Json = {_UNIT[field]: value for field, value in fields.items()}
    return {**state, **{number: int(state[number]) if state[number].isdigit() else 0 for number in _NUMBERS}}


def document(path: Path) -> Json | None:
    """A JSON object; None when there is none."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def differences(wanted: Json | None, running: Json | None) -> list[str]:
    """The fields in which the next start differs from the last one; of a field of ``_SINCE`` only what both have."""
    if wanted is None or running is None:
        return []
    unknown = _SINCE - running.keys()
    return sorted(name for name in {*wanted, *running} - unknown if wanted.get(name) != running.get(name))


def releases(base: Path) -> Json:
    """What is installed under ``base``; ``current`` is a link to the activated one."""
    try:
        entries = [entry for entry in (base / "releases").iterdir() if entry.is_dir() and entry.name[0] != "."]
        found = [entry.name for entry in sorted(entries, key=lambda entry: (entry.stat().st_mtime, entry.name))]
    except OSError:
        found = []
    try:
        current: str | None = (base / "current").readlink().name
    except OSError:
        current = None
    return {"current": current, "releases": found}


def python_of(base: Path) -> str | None:
    """The version of Python of the activated virtual environment, as 3.13; None when there is none."""
    try:
        found = re.search(r"^version(?:_info)? *= *(\d+\.\d+)", (base / "current/pyvenv.cfg").read_text(), re.MULTILINE)
    except OSError:
        return None
    return found.group(1) if found else None


def read_version(text: str) -> Json:
    """What ``neard --version`` prints: release, protocol, the least protocol it can follow, database."""

    def number(pattern: str) -> int | None:
        match = re.search(pattern, text)
        return int(match.group(1)) if match else None

    release = re.search(r"\(release ([^)]*)\)", text)
    return {
        "release": release.group(1) if release else "",
        "protocol": number(r"\((?:latest )?protocol (\d+)\)"),
        "min_protocol": number(r"\(min[ _]protocol (\d+)\)"),
        "db": number(r"\(db (\d+)\)"),
    }


def neard_version(module: AnsibleModule, program: Path, user: str, timeout: float) -> Json:
    """What a neard says of itself; an object with ``fault`` when it can't be asked."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    try:
        done = run(module, [program, "--version"], timeout, Account.of(user), environment)
    except ProgramFault as error:
        return {**read_version(""), "fault": f"{program} can't be asked for its version: {error}"}
    fault = "" if done.code == 0 else f"{program} --version ended with {done.code}: {done.complaint[-200:]}"
    return {**read_version(done.text), "fault": fault}


def certificate(module: AnsibleModule, path: Path, timeout: float) -> Json:
    """When a certificate expires."""
    command = ["openssl", "x509", "-in", str(path), "-noout", "-enddate"]
    try:
        done = run(module, command, timeout)
    except ProgramFault as fault:
        return {"path": str(path), "expires": None, "fault": str(fault)}
    if done.code != 0 or "=" not in done.text:
        return {
            "path": str(path),
            "expires": None,
            "fault": f"no certificate can be read there: {done.complaint[:200]}",
        }
    return {"path": str(path), "expires": ssl.cert_time_to_seconds(done.text.strip().partition("=")[2]), "fault": ""}


def _opened(opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout: float) -> Any:
    """Consul's answer. One that elects a leader or is busy says 5xx for a moment, and is asked once more."""
    try:
        return opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code < 500:
            raise
        error.close()
    time.sleep(AGAIN)
    return opener.open(request, timeout=timeout)


def token(path: Path, url: str, ca_path: Path, timeout: float) -> Json:
    """When a token expires, as Consul says; the token goes to ``url`` only, and nowhere else."""
    found: Json = {"path": str(path), "expires": None, "fault": ""}
    try:
        request = urllib.request.Request(f"{url}/v1/acl/token/self", headers={"X-Consul-Token": path.read_text().strip()})
        context = ssl.create_default_context(cafile=str(ca_path)) if url.startswith("https:") else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=context)] if context else [])
        )
        with _opened(opener, request, timeout) as answer:
            expires = json.load(answer).get("ExpirationTime")
    except urllib.error.HTTPError as error:
        unknown = error.code in (403, 404)
        return {**found, "fault": "Consul does not know this token" if unknown else f"Consul answers {error.code}"}
    except OSError as error:
        return {**found, "fault": f"Consul can't be asked: {error}"}
    except ValueError:
        # Its text may show the token.
        return {**found, "fault": "Consul can't be asked: no request can carry this token, or the answer is none of Consul"}
    if not expires:
        return found
    return {**found, "expires": calendar.timegm(time.strptime(expires[:19], "%Y-%m-%dT%H:%M:%S"))}


def consul_pending(units: Mapping[str, Json]) -> list[str]:
    """What has changed since the Consul agent was started; the consul role keeps the same two files."""
    if units.get("consul.service", {}).get("active") != "active":
        return []
    return differences(document(Path("/etc/consul.d/state/wanted.json")), document(Path("/run/consul/running.json")))


def look(module: AnsibleModule, given: Json) -> Json:
    """The host as one object."""
    timeout, at = given["timeout"], time.time()
    units = unit_states(module, given["units"], timeout)
    runs = units.get("kuutamod.service", {}).get("active") in ("active", "activating", "reloading")
    wanted = document(Path(given["config_dir"], "wanted.json"))
    running = document(Path(given["run_dir"], "running.json")) if runs else None
    neard = releases(Path(given["neard_dir"]))
    versions = {}
    if given["neard_versions"]:
        for release in neard["releases"]:
            program = Path(given["neard_dir"], "releases", release, "neard")
            versions[release] = neard_version(module, program, given["neard_user"], timeout)
    return {
        "at": at,
        "clock_offset": None if given["asked_at"] is None else at - given["asked_at"],
        "units": units,
        "wanted": wanted,
        "running": running,
        "pending": differences(wanted, running),
        "consul_pending": consul_pending(units),
        "kuutamod": {**releases(Path(given["kuutamod_dir"])), "python": python_of(Path(given["kuutamod_dir"]))},
        "neard": {**neard, "versions": versions},
        "certificates": [certificate(module, Path(path), timeout) for path in given["certificates"] if Path(path).exists()],
        "tokens": [
            token(Path(path), given["consul_url"], Path(given["ca_path"]), timeout)
            for path in given["token_files"]
            if Path(path).exists()
        ],
    }


SPEC: dict[str, Json] = {
    "units": {"type": "list", "elements": "str", "default": ["consul.service", "kuutamod.service"]},
    "config_dir": {"type": "path", "default": "/etc/kuutamod"},
    "run_dir": {"type": "path", "default": "/run/kuutamod"},
    "kuutamod_dir": {"type": "path", "default": "/opt/kuutamod"},
    "neard_dir": {"type": "path", "default": "/opt/neard"},
    "neard_user": {"type": "str", "default": "neard"},
    "neard_versions": {"type": "bool", "default": True},
    "certificates": {
        "type": "list",
        "elements": "path",
        "default": ["/etc/consul.d/tls/agent.pem", "/etc/consul.d/tls/ca.pem"],
    },
    "token_files": {"type": "list", "elements": "path", "default": [], "no_log": False},
    "consul_url": {"type": "str", "default": "https://127.0.0.1:8501"},
    "ca_path": {"type": "path", "default": "/etc/ssl/kuutamo/consul-ca.pem"},
    "asked_at": {"type": "float"},
    "timeout": {"type": "float", "default": 20.0},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        found = look(module, module.params)
    except (OSError, ProgramFault) as error:
        module.fail_json(msg=f"this host can't be looked at: {error}")
        raise AssertionError from error  # fail_json ends the process
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
