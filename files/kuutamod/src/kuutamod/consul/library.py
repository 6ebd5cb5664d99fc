# SPDX-License-Identifier: Apache-2.0
"""Which Consul client library is installed: three share the name ``consul``, and this package works with two of them."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

KNOWN = ("python-consul2", "py-consul")
UNMAINTAINED = "python-consul"
_NEEDED = ("Consul", "ConsulException", "NotFound", "Timeout", "ACLPermissionDenied", "ACLDisabled")


def fault() -> str:
    """What is wrong with the library that is installed, and the remedy; empty when nothing is.

    Raises ImportError when there is none at all.
    """
    import consul  # noqa: PLC0415  # so that this file can be imported without it

    remedy = f"install {' or '.join(KNOWN)} in its place for {sys.executable}, or use the Python of kuutamod's environment"
    where = Path(getattr(consul, "__file__", None) or "unknown")
    if UNMAINTAINED in _installed(where):
        return f"{where.parent} is of {UNMAINTAINED}, which nobody maintains any more: {remedy}"
    base = getattr(consul, "base", consul)
    transactions = hasattr(base, "Txn") or hasattr(getattr(consul, "Consul", None), "Txn")
    if not transactions or not all(hasattr(consul, name) for name in _NEEDED):
        return f"{where.parent} is no Consul client, or one that is too old: {remedy}"
    return ""


def _installed(module: Path) -> set[str]:
    """The distributions that have their ``consul`` where this module is."""
    found = set()
    for name in (*KNOWN, UNMAINTAINED):
        for one in metadata.distributions(name=name):
            if Path(str(one.locate_file("consul/__init__.py"))) == module:
                found.add(name)
    return found
