# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a module reaches Consul: the options that all modules share, checked as a whole before anything is asked.

Everything behind it is the daemon's own code (``_kuutamod``), so daemon, kuutamoctl and modules speak one protocol.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from . import _consul_address
from ._consul_address import variable

LIBRARY = "python-consul2"
LIBRARY_FAULT: str | None = None
try:
    from ._kuutamod.consul import library
    from ._kuutamod.consul.faults import ConsulError, Fault
    from ._kuutamod.consul.settings import ConsulSettings, check_token
    from ._kuutamod.fleet.follow import in_words
    from ._kuutamod.fleet.order import DEADLINE, Connection
except (ImportError, SyntaxError):  # no library, or a Python that is too old
    LIBRARY_FAULT = traceback.format_exc()
    DEADLINE = 10.0
    ConsulSettings = object  # type: ignore[assignment, misc]

OLDEST_PYTHON = (3, 11)


SPEC: dict[str, dict[str, Any]] = {
    "account_id": {"type": "str", "required": True, "fallback": variable("KUUTAMO_ACCOUNT_ID")},
    **_consul_address.SPEC,
    "validate_certs": {"type": "bool", "default": True, "fallback": variable("CONSUL_HTTP_SSL_VERIFY")},
    "ca_path": {"type": "path", "fallback": variable("CONSUL_CACERT")},
    "client_cert": {"type": "path", "fallback": variable("CONSUL_CLIENT_CERT")},
    "client_key": {"type": "path", "no_log": False, "fallback": variable("CONSUL_CLIENT_KEY")},
    # The environment's token is for who gives neither of the two, see ``_inherit_token``.
    "token": {"type": "str", "no_log": True},
    "token_file": {"type": "path", "no_log": False},
    "consul_timeout": {"type": "float", "default": DEADLINE},
}
SHORTEST_TOKEN = 8
"""Ansible hides a secret by replacing its letters everywhere; one of a few letters would spoil every message."""
MOST_SECONDS = 600.0


@dataclass(frozen=True)
class _Unverified(ConsulSettings):
    """Settings with which nobody checks who answers, as an operator asked. No setting of the daemon can become this."""

    @property
    def verify(self) -> bool | str:
        """Checked against nothing."""
        return False


def spec(**options: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The options of a module: those of the connection, and its own."""
    _consul_address.faults.clear()
    return {**SPEC, **options}


def connection(module: AnsibleModule) -> Connection:
    """The module's connection; ends the module with one clear message when an option or the library is wrong."""
    _check_library(module)
    given = module.params
    for fault in _consul_address.faults:
        refuse(module, "options", fault)
    _check_token(module, _inherit_token(module))
    if not 0.1 <= given["consul_timeout"] <= MOST_SECONDS:
        refuse(
            module,
            "options",
            f"consul_timeout: {given['consul_timeout']:g} is not between 0.1 and {MOST_SECONDS:g} seconds",
        )
    if not given["account_id"].strip():
        refuse(module, "options", "account_id: it is empty; it is the validator's account, such as validator.pool.near")
    files = {name: _file(module, name) for name in ("ca_path", "client_cert", "client_key")}
    if files["client_key"] is not None and files["client_cert"] is None:
        refuse(module, "options", f"client_key: {given['client_key']} is set without client_cert; set both")
    if not given["validate_certs"] and given["scheme"] == "https":
        module.warn("validate_certs is false: whoever answers gets the token and is believed")
    try:
        kind = ConsulSettings if given["validate_certs"] else _Unverified
        consul = kind(
            urls=(_url(module),),
            token=given["token"],
            token_file=None if given["token_file"] is None else Path(given["token_file"]),
            ca_file=files["ca_path"],
            cert_file=files["client_cert"],
            key_file=files["client_key"],
        )
    except ValueError as error:
        refuse(module, "options", str(error))
    return Connection(given["account_id"], consul, given["consul_timeout"])


def _url(module: AnsibleModule) -> str:
    """Where Consul answers; ends the module when an option is none of that."""
    given = module.params
    try:
        host = _consul_address.host_of(given["host"])
    except ValueError:
        why = f"host: {given['host']!r} is neither an IP address nor a host name; scheme and port are options of their own"
        refuse(module, "options", why)
    try:
        port = _consul_address.port_of(given["port"])
    except ValueError as error:
        refuse(module, "options", f"port: {error}")
    return f"{given['scheme']}://{host}:{port}"


def _inherit_token(module: AnsibleModule) -> str:
    """Take the environment's token, or else its file, if the options give neither; what names it in a message.

    An option that is given wins over both, so this is done when all of them are known.
    """
    given = module.params
    if given["token"] is not None and given["token_file"] is not None:
        refuse(module, "options", f"token_file: {given['token_file']}: token is set too; set one of them")
    if given["token"] is not None or given["token_file"] is not None:
        return "token" if given["token"] is not None else "token_file"
    if token := os.environ.get("CONSUL_HTTP_TOKEN"):
        given["token"] = token
        return "CONSUL_HTTP_TOKEN"
    if file := os.environ.get("CONSUL_HTTP_TOKEN_FILE"):
        given["token_file"] = str(Path(os.path.expandvars(file)).expanduser())
    return "CONSUL_HTTP_TOKEN_FILE"


def _check_token(module: AnsibleModule, name: str) -> None:
    """Have the token hidden in all that is told, wherever it comes from; ends the module when it can be none."""
    given = module.params
    token, what = given["token"], "the Consul token"
    if given["token_file"] is not None:
        file = _readable(module, name, given["token_file"])
        try:
            token, what = file.read_text(encoding="ascii").strip(), f"the Consul token in {file}"
        except (OSError, ValueError) as error:
            refuse(module, "options", f"{name}: {file} holds no token: {error}")
    if token is None:
        return
    try:
        check_token(token, what)
    except ValueError as error:
        refuse(module, "options", f"{name}: {error}")
    if len(token) < SHORTEST_TOKEN:
        refuse(module, "options", f"{name}: too short to be a secret id; a policy's or role's name is not one")
    module.no_log_values.add(token)


def _check_library(module: AnsibleModule) -> None:
    """End the module unless its Python and the Consul client library are ones that it works with."""
    if sys.version_info < OLDEST_PYTHON:
        wanted, found = ".".join(map(str, OLDEST_PYTHON)), ".".join(map(str, sys.version_info[:3]))
        why = f"Python {wanted} or later is needed on the host that runs the module; {sys.executable} is {found}"
        refuse(module, "no_library", f"{why}. Set ansible_python_interpreter, such as to that of kuutamod's environment")
    if LIBRARY_FAULT is not None:
        refuse(module, "no_library", missing_required_lib(LIBRARY), exception=LIBRARY_FAULT)
    if why := library.fault():
        refuse(module, "no_library", why)


def refuse(module: AnsibleModule, reason: str, text: str, /, **results: Any) -> NoReturn:
    """End the module: nothing was asked for, or it did not end well. ``reason`` is a word for programs."""
    module.fail_json(msg=text, **{"changed": False, "reason": reason, **results})
    raise AssertionError  # fail_json ends the process


def fail(module: AnsibleModule, error: ConsulError, before: str = "", /, **results: Any) -> NoReturn:
    """End the module: Consul can't be asked, or refuses. ``before``: what is to be said before why."""
    remedy = {
        Fault.NO_LEADER: "; either an election, then try again in some seconds, or no quorum: at least half of Consul's "
        "servers don't take part",
        Fault.FORBIDDEN: "; set token or token_file" if not _has_token(module) else "",
    }.get(error.fault, "")
    refuse(module, word(error.fault), f"{before}{in_words(error)}{remedy}", **results)


def word(fault: Fault) -> str:
    """A failure to ask Consul as a word for programs."""
    words = {Fault.NO_LEADER: "no_leader", Fault.FORBIDDEN: "forbidden", Fault.CONFLICT: "conflict"}
    return words.get(fault, "unreachable")


def _has_token(module: AnsibleModule) -> bool:
    return bool(module.params["token"] or module.params["token_file"])


def _file(module: AnsibleModule, name: str) -> Path | None:
    """The file that an option names; ends the module when it can't be read."""
    text = module.params[name]
    return None if text is None else _readable(module, name, text)


def _readable(module: AnsibleModule, name: str, text: str) -> Path:
    """A file; ends the module when it can't be read. ``name``: the option, or the variable in its place."""
    try:
        Path(text).open("rb").close()
    except OSError as error:
        refuse(module, "options", f"{name}: {text} can't be read on the host that runs the module: {error.strerror}")
    return Path(text)
