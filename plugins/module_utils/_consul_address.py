# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where Consul is, as the options say it and, where they don't, the variables of Consul's own tools."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from ansible.module_utils.common.parameters import AnsibleFallbackNotFound
from ansible.module_utils.parsing.convert_bool import boolean

VARIABLE = "CONSUL_HTTP_ADDR"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_CREDENTIALS = re.compile(r"[^/]*@")

faults: list[str] = []
"""What is wrong with the variables that were asked for an option's value: to fill in an option can't end the module."""


@dataclass(frozen=True)
class _Address:
    """What the variable says; None: nothing of it."""

    scheme: str | None
    host: str
    port: int | None


def host_of(text: str) -> str:
    """A host as URLs have it; ValueError when it is none."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        return f"[{ipaddress.IPv6Address(bare)}]"
    if bare != text or not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is neither an IP address nor a host name")
    return text


def port_of(number: int) -> int:
    """A port; ValueError when it is none."""
    if not 1 <= number <= 65535:
        raise ValueError(f"{number} is not a port from 1 to 65535")
    return number


def _parsed(text: str) -> _Address:
    """The parts of ``[http[s]://]HOST[:PORT]``; ValueError when it has another form."""
    parts = urlsplit(text if "://" in text else f"//{text}")
    if parts.scheme not in ("", "http", "https") or "@" in parts.netloc:
        raise ValueError
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError
    host = host_of(f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "")
    port = parts.port
    if port is None and parts.scheme:  # as in every URL, and in kuutamod's own setting
        port = 443 if parts.scheme == "https" else 80
    return _Address(parts.scheme or None, host, None if port is None else port_of(port))


def _address() -> _Address:
    """What the variable says; Consul's own tools allow it without a scheme."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        nothing()
    try:
        return _parsed(text)
    except ValueError:
        shown = _CREDENTIALS.sub("***@", text)
        form = "write [http[s]://]HOST[:PORT], such as 127.0.0.1:8500 or https://127.0.0.1:8501"
        faults[:] = [f"{VARIABLE}: {shown!r} is no address that can be used here; {form}, or set host, port and scheme"]
        nothing()


def _host() -> str:
    return _address().host


def _port() -> int:
    return _address().port or nothing()


def _scheme() -> str:
    if os.environ.get(VARIABLE) and (scheme := _address().scheme):
        return scheme
    return "https" if boolean(os.environ.get("CONSUL_HTTP_SSL", "false"), strict=False) else nothing()


def nothing() -> NoReturn:
    """The environment does not say it."""
    raise AnsibleFallbackNotFound


def variable(name: str) -> tuple[Callable[[], str], list[str]]:
    """An option's value where it is not given: that of a variable, unless it is empty."""
    return (lambda: os.environ.get(name) or nothing()), []


SPEC: dict[str, dict[str, Any]] = {
    "host": {"type": "str", "default": "127.0.0.1", "fallback": (_host, [])},
    "port": {"type": "int", "default": 8500, "fallback": (_port, [])},
    "scheme": {"type": "str", "default": "http", "choices": ["http", "https"], "fallback": (_scheme, [])},
}
