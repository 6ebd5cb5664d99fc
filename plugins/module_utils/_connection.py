# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a module reaches Consul: the options that all modules share, checked as a whole before anything is asked.

Everything behind it is the daemon's own code (``_kuutamod``), so daemon, kuutamoctl and modules speak one protocol.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib
from ansible.module_utils.common.parameters import AnsibleFallbackNotFound
from ansible.module_utils.parsing.convert_bool import boolean

try:
    from ._kuutamod.consul.faults import ConsulError, Fault
    from ._kuutamod.consul.settings import ConsulSettings
except ImportError:
    LIBRARY_FAULT: str | None = traceback.format_exc()
else:
    LIBRARY_FAULT = None


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
    "timeout": {"type": "float", "default": 10.0},
}
SHORTEST_TOKEN = 8
"""Ansible hides a secret by replacing its letters everywhere; one of a few letters would spoil every message."""


@dataclass(frozen=True)
class Connection:
    """Whom to ask about which account. ``timeout``: seconds for one answer."""

    account_id: str
    consul: ConsulSettings
    timeout: float


def connection(module: AnsibleModule) -> Connection:
    """The module's connection; ends the module with one clear message when an option or the library is wrong."""
    if LIBRARY_FAULT is not None:
        module.fail_json(msg=missing_required_lib("python-consul2"), reason="no_library", exception=LIBRARY_FAULT)
    given = module.params
    token = given["token"]
    if token is not None and len(token) < SHORTEST_TOKEN:
        module.fail_json(msg="token: too short to be a secret id; a policy's or role's name is not one", reason="options")
    host = f"[{given['host']}]" if ":" in given["host"] else given["host"]
    try:
        consul = ConsulSettings(
            urls=(f"{given['scheme']}://{host}:{given['port']}",),
            token=token,
            token_file=_path(given["token_file"]),
            ca_file=_path(given["ca_path"]),
            cert_file=_path(given["client_cert"]),
            key_file=_path(given["client_key"]),
        )
    except ValueError as error:
        module.fail_json(msg=str(error), reason="options")
    return Connection(given["account_id"], consul, given["timeout"])


def fail(module: AnsibleModule, error: ConsulError, **results: Any) -> NoReturn:
    """End the module: Consul can't be asked, or refuses. ``reason`` is a word for programs."""
    reason = {Fault.NO_LEADER: "no_leader", Fault.FORBIDDEN: "forbidden", Fault.CONFLICT: "conflict"}.get(error.fault)
    module.fail_json(msg=f"Consul: {error}", reason=reason or "unreachable", **results)
    raise AssertionError  # fail_json ends the process


def _path(text: str | None) -> Path | None:
    return Path(text) if text is not None else None
