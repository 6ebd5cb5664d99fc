# SPDX-License-Identifier: Apache-2.0
"""Daemon and modules share one source: what the modules import of the daemon is there, as links and nothing else."""

from pathlib import Path

from share_daemon import ROOT, TARGET, wanted


def test_the_links_are_those_that_the_modules_need() -> None:
    files = {
        file.relative_to(ROOT): file for file in (ROOT / TARGET).rglob("*") if file.suffix != ".pyc" and not file.is_dir()
    }
    links = {name: file.resolve().relative_to(ROOT) for name, file in files.items() if file.is_symlink()}
    assert links == wanted(ROOT), "run `make links` and commit what it changes"
    assert set(files) - set(links) == set(), "a copy where a link should be"


def test_what_a_module_imports_is_followed_to_the_end(tmp_path: Path) -> None:
    source = tmp_path / "files/kuutamod/src/kuutamod"
    texts = {
        tmp_path / "plugins/modules/one.py": (
            "def later():\n    from ansible_collections.kuutamo.near.plugins.module_utils._kuutamod.cli import words\n"
        ),
        tmp_path / "plugins/module_utils/_two.py": "from ._kuutamod.core.model import Model\n",
        source / "__init__.py": "",
        source / "__main__.py": "from .cli import main\n",
        source / "cli/__init__.py": "from ..log import say\n",
        source / "cli/words.py": "",
        source / "cli/main.py": "",
        source / "core/__init__.py": "",
        source / "core/model.py": "from . import lease\n",
        source / "core/lease.py": "",
        source / "log.py": "",
    }
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    names = {link.relative_to(TARGET).as_posix() for link in wanted(tmp_path)}
    assert names == {
        "__init__.py",
        "cli/__init__.py",
        "cli/words.py",
        "core/__init__.py",
        "core/lease.py",
        "core/model.py",
        "log.py",
    }
