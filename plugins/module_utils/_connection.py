# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a module reaches Consul: the options that all modules share, checked as a whole before anything is asked.

Everything behind it is the daemon's own code (``_kuutamod``), so daemon, kuutamoctl and modules speak one protocol.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib
from ansible.module_utils.common.parameters import AnsibleFallbackNotFound
from ansible.module_utils.parsing.convert_bool import boolean

LIBRARY = "python-consul2"
LIBRARY_FAULT: str | None = None
try:
    from ._kuutamod.consul import library
    from ._kuutamod.consul.faults import ConsulError, Fault
    from ._kuutamod.consul.settings import ConsulSettings
    from ._kuutamod.fleet.follow import in_words
    from ._kuutamod.fleet.order import DEADLINE, Connection
except (ImportError, SyntaxError):  # no library, or a Python that is too old
    LIBRARY_FAULT = traceback.format_exc()
    DEADLINE = 10.0
    ConsulSettings = object  # type: ignore[assignment, misc]

OLDEST_PYTHON = (3, 11)


def _address() -> SplitResult:
    """What CONSUL_HTTP_ADDR says; Consul's own tools allow it without a scheme."""
    text = os.environ.get("CONSUL_HTTP_ADDR", "")
    if not text:
        raise AnsibleFallbackNotFound
    return urlsplit(text if "://" in text else f"//{text}")


def _host() -> str:
    return _address().hostname or _nothing()


def _port() -> int:
    return _address().port or _nothing()


def _scheme() -> str:
    try:
        scheme = _address().scheme
    except AnsibleFallbackNotFound:
        scheme = ""
    if scheme:
        return scheme
    return "https" if boolean(os.environ.get("CONSUL_HTTP_SSL", "false"), strict=False) else _nothing()


def _token_file() -> str:
    """The file, unless the environment has a token itself: an explicit file wins over that, an inherited one does not."""
    if os.environ.get("CONSUL_HTTP_TOKEN"):
        raise AnsibleFallbackNotFound
    return os.environ.get("CONSUL_HTTP_TOKEN_FILE") or _nothing()


def _nothing() -> NoReturn:
    raise AnsibleFallbackNotFound


def _from(read: Callable[[], Any]) -> tuple[Callable[[], Any], list[str]]:
    return read, []


SPEC: dict[str, dict[str, Any]] = {
    "account_id": {"type": "str", "required": True, "fallback": (env_fallback, ["KUUTAMO_ACCOUNT_ID"])},
    "host": {"type": "str", "default": "127.0.0.1", "fallback": _from(_host)},
    "port": {"type": "int", "default": 8500, "fallback": _from(_port)},
    "scheme": {"type": "str", "default": "http", "choices": ["http", "https"], "fallback": _from(_scheme)},
    "validate_certs": {"type": "bool", "default": True, "fallback": (env_fallback, ["CONSUL_HTTP_SSL_VERIFY"])},
    "ca_path": {"type": "path", "fallback": (env_fallback, ["CONSUL_CACERT"])},
    "client_cert": {"type": "path", "fallback": (env_fallback, ["CONSUL_CLIENT_CERT"])},
    "client_key": {"type": "path", "no_log": False, "fallback": (env_fallback, ["CONSUL_CLIENT_KEY"])},
    "token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["CONSUL_HTTP_TOKEN"])},
    "token_file": {"type": "path", "no_log": False, "fallback": _from(_token_file)},
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
    return {**SPEC, **options}


def connection(module: AnsibleModule) -> Connection:
    """The module's connection; ends the module with one clear message when an option or the library is wrong."""
    _check_library(module)
    given = module.params
    token = given["token"]
    if token is not None and len(token) < SHORTEST_TOKEN:
        refuse(module, "options", "token: too short to be a secret id; a policy's or role's name is not one")
    if not 0.1 <= given["consul_timeout"] <= MOST_SECONDS:
        refuse(
            module,
            "options",
            f"consul_timeout: {given['consul_timeout']:g} is not between 0.1 and {MOST_SECONDS:g} seconds",
        )
    if not given["account_id"].strip():
        refuse(module, "options", "account_id: it is empty; it is the validator's account, such as validator.pool.near")
    files = {name: _file(module, name) for name in ("token_file", "ca_path", "client_cert", "client_key")}
    host = f"[{given['host']}]" if ":" in given["host"] else given["host"]
    if not given["validate_certs"] and given["scheme"] == "https":
        module.warn("validate_certs is false: whoever answers gets the token and is believed")
    try:
        kind = ConsulSettings if given["validate_certs"] else _Unverified
        consul = kind(
            urls=(f"{given['scheme']}://{host}:{given['port']}",),
            token=token,
            token_file=files["token_file"],
            ca_file=files["ca_path"],
            cert_file=files["client_cert"],
            key_file=files["client_key"],
        )
    except ValueError as error:
        refuse(module, "options", str(error))
    return Connection(given["account_id"], consul, given["consul_timeout"])


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
        Fault.NO_LEADER: "; no quorum: at least half of Consul's servers don't take part",
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
    if text is None:
        return None
    try:
        Path(text).open("rb").close()
    except OSError as error:
        refuse(module, "options", f"{name}: {text} can't be read on the host that runs the module: {error.strerror}")
    return Path(text)
