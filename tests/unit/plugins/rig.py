# SPDX-License-Identifier: Apache-2.0
"""Running a module of the collection as Ansible does: its ``main`` with arguments, its one JSON object as the answer."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import yaml
from ansible.module_utils import _internal
from ansible.module_utils.common import warnings as ansible_warnings
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).parents[3]


@cache
def collections() -> Path:
    """A directory in which Ansible and Python find this checkout as the collection."""
    tree = Path(mkdtemp(prefix="kuutamo-collections-"))
    place = tree / "ansible_collections" / "kuutamo"
    place.mkdir(parents=True)
    (place / "near").symlink_to(ROOT)
    return tree


@dataclass(frozen=True)
class Answer:
    """How a module ended: whether it failed, and its results."""

    failed: bool
    results: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.results[name]

    @property
    def told(self) -> tuple[bool, bool]:
        """Failed, changed."""
        return self.failed, self.results.get("changed", False)

    @property
    def warnings(self) -> str:
        """All that it warned of."""
        return json.dumps(self.results.get("warnings", []))


def module(name: str) -> Any:
    """The module as Python sees it."""
    return _plugin(f"modules.{name}")


def shared(name: str) -> Any:
    """A file of the daemon as the modules have it."""
    return _plugin(f"module_utils._kuutamod.{name}")


def module_util(name: str) -> Any:
    """A file that the modules share."""
    return _plugin(f"module_utils.{name}")


def _plugin(name: str) -> Any:
    if str(collections()) not in sys.path:
        sys.path.insert(0, str(collections()))
    return importlib.import_module(f"ansible_collections.kuutamo.near.plugins.{name}")


def run(name: str, check: bool = False, diff: bool = False, **options: Any) -> Answer:
    """Run the module to its end, in this process."""
    arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": diff}
    out = io.StringIO()
    code: object = None
    with patch_module_args(arguments), as_on_a_host(), contextlib.redirect_stdout(out), _looks(name) as looks:
        try:
            module(name).main()
        except SystemExit as end:
            code = end.code
    text = out.getvalue()
    assert text, "the module printed nothing"
    results = json.loads(text.splitlines()[-1])
    assert code == (1 if results.get("failed") else 0)
    check_documented(name, results, looked=bool(looks))
    return Answer(bool(results.get("failed")), results)


@contextlib.contextmanager
def as_on_a_host() -> Iterator[None]:
    """A process of a module alone: nobody before it warned, and none of Ansible's controller is in it.

    Once a test in this process has used the controller, Ansible prints a module's warnings instead of returning them.
    """
    with patch.object(_internal, "is_controller", False), patch.dict(ansible_warnings._global_warnings, clear=True):
        yield


@contextlib.contextmanager
def _looks(name: str) -> Iterator[list[object]]:
    """What the module sees of the fleet, look by look."""
    seen: list[object] = []
    real = getattr(module(name), "look", None)
    if real is None:
        yield seen
        return

    def look(*arguments: Any) -> Any:
        seen.append(real(*arguments))
        return seen[-1]

    with patch.object(module(name), "look", look):
        yield seen


OF_ANSIBLE = {"changed", "failed", "msg", "invocation", "warnings", "deprecations", "diff", "exception"}


def documented(name: str) -> dict[str, Any]:
    """The module's RETURN."""
    found: dict[str, Any] = yaml.safe_load(module(name).RETURN)
    return found


@contextlib.contextmanager
def modes_of(path: Path) -> Iterator[set[str]]:
    """All the modes that a file has in this time, moment by moment, under a umask that lets everybody read."""
    seen: set[str] = set()

    def watched(real: Callable[..., None]) -> Callable[..., None]:
        def done(*arguments: Any, **named: Any) -> None:
            real(*arguments, **named)
            if path.exists():
                seen.add(f"{path.stat().st_mode & 0o7777:04o}")

        return done

    before = os.umask(0o022)
    try:
        with contextlib.ExitStack() as stack:
            for name in ("rename", "replace", "chmod", "fchmod"):
                stack.enter_context(patch.object(os, name, watched(getattr(os, name))))
            yield seen
    finally:
        os.umask(before)


AFTER_A_LOOK = "always, once the lock was read"


def check_documented(name: str, results: dict[str, Any], looked: bool = False) -> None:
    """Every key is one that the module promises, and all that it promises are there. ``looked``: it has read the lock."""
    promised = documented(name)
    always = {key for key, about in promised.items() if about["returned"] == AFTER_A_LOOK}
    assert not looked or always <= set(results), always - set(results)
    reason = f"V({results['reason']})" if results.get("failed") and "reason" in results else ""
    then = {key for key, about in promised.items() if reason and reason in about["returned"]}
    assert then <= set(results), then - set(results)
    assert set(results) - OF_ANSIBLE <= set(promised), set(results) - OF_ANSIBLE - set(promised)
    if results.get("failed"):
        assert results["msg"]
        if "reason" not in promised:
            return
        assert results["reason"]
        words = str(promised["reason"]["description"])
        assert f"V({results['reason']})" in words or "those of m(" in words.lower()
    else:
        assert set(promised) - {"reason"} <= set(results)
        for key, about in promised.items():
            if isinstance(about.get("contains"), dict) and results.get(key):
                values = results[key] if isinstance(results[key], list) else [results[key]]
                assert all(set(value) == set(about["contains"]) for value in values), key


def address(url: str) -> dict[str, Any]:
    """The options that name this URL."""
    parts = urlsplit(url)
    return {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}


def refused(told: Answer, reason: str, *words: str) -> None:
    """It failed, changed nothing, and says why in one message."""
    assert told.told == (True, False), told
    assert told["reason"] == reason
    assert "\n" not in told["msg"]
    for word in words:
        assert word in told["msg"]
