# SPDX-License-Identifier: Apache-2.0
"""The wheel is the one that a build backend makes, the same bytes every time; only what the lock names gets beside it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unit.plugins.rig import Answer, run

SOURCE = Path(__file__).parents[3] / "files/kuutamod"
OTHER = "requests==2.34.2 --hash=sha256:" + "0" * 64


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """kuutamod's source, with a lock of one small requirement."""
    tree = tmp_path / "kuutamod"
    shutil.copytree(SOURCE, tree, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    return tree


@pytest.fixture
def wheels(tmp_path: Path, tree: Path) -> Path:
    """What the tree's lock asks for."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = wheels / "thing-1.0-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    digest = hashlib.sha256(b"a wheel").hexdigest()
    (tree / "requirements.lock").write_text(f"thing==1.0 \\\n    --hash=sha256:{digest}\n    # via kuutamod\n")
    return wheels


@pytest.fixture
def make(tmp_path: Path, tree: Path, wheels: Path) -> Callable[..., Answer]:
    """Run the module on the tree."""

    def making(**options: Any) -> Answer:
        defaults = {"source_dir": str(tree), "wheels_dir": str(wheels), "cache_dir": str(tmp_path / "cache")}
        return run("kuutamod_wheelhouse", **{**defaults, **options})

    return making


def wheel_of(answer: Answer) -> Path:
    """kuutamod's own wheel."""
    return next(Path(answer["folder"]).glob("kuutamod-*.whl"))


def test_a_folder_that_misses_a_requirement_is_made_anew(make: Callable[..., Answer]) -> None:
    wheel = Path(make()["folder"]) / "thing-1.0-py3-none-any.whl"
    wheel.unlink()
    assert (make(check=True).told, make().told) == ((False, True), (False, True))
    assert wheel.read_bytes() == b"a wheel"
    wheel.write_bytes(b"the half of it")
    assert (make().told, make().told) == ((False, True), (False, False))


def test_it_is_made_once(make: Callable[..., Answer], tree: Path) -> None:
    before = sorted(tree.rglob("*"))
    assert (tree / "requirements.lock").exists()
    planned = make(check=True)
    assert (planned.told, planned["files"]) == ((False, True), [])
    first, second = make(), make()
    assert (first.told, second.told) == ((False, True), (False, False))
    assert first["files"] == ["kuutamod-0.1.0-py3-none-any.whl", "requirements.txt", "thing-1.0-py3-none-any.whl"]
    assert planned["folder"] == first["folder"] == second["folder"]
    assert sorted(tree.rglob("*")) == before, "the source's folder has changed"
    assert first["settings"]["near_boot_nodes"] == "KUUTAMO_NEARD_BOOTNODES"


def test_the_same_source_gives_the_same_bytes_and_another_another(
    make: Callable[..., Answer], tree: Path, tmp_path: Path
) -> None:
    one = make()
    for path in tree.rglob("*.py"):
        path.touch()
    again = make(cache_dir=str(tmp_path / "elsewhere"))
    assert wheel_of(one).read_bytes() == wheel_of(again).read_bytes()
    assert one["content"] == again["content"]
    with (tree / "src/kuutamod/clock.py").open("a") as file:
        file.write("# changed\n")
    other = make()
    assert (other.told, other["content"] != one["content"]) == ((False, True), True)
    (tree / "requirements.lock").write_text((tree / "requirements.lock").read_text() + "# another remark\n")
    assert make()["content"] not in (one["content"], other["content"]), "the lock is a part of the release"


def test_the_wheel_is_what_pip_builds_and_installs(make: Callable[..., Answer], tree: Path, tmp_path: Path) -> None:
    ours = wheel_of(make())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    target = tmp_path / "target"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", target, ours], check=True)
    program = (
        "from importlib.metadata import distribution as d; e=d('kuutamod'); print(e.version, sorted(e.requires), sorted("
    )
    program += "(s.name, s.value) for s in e.entry_points)); import kuutamod.cli.kuutamoctl"
    said = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(target)}, capture_output=True, text=True, check=True
    )
    scripts = [("kuutamoctl", "kuutamod.cli.kuutamoctl:main"), ("kuutamod", "kuutamod.cli.kuutamod:main")]
    requires = ["prometheus-client>=0.20", "python-consul2<0.2,>=0.1.5"]
    assert said.stdout.split(" ", 1)[0] == "0.1.0"
    assert str(scripts) in said.stdout
    assert said.stdout.replace(">=0.1.5,<0.2", "<0.2,>=0.1.5").count(str(requires)) == 1
    names = {name for name in zipfile.ZipFile(ours).namelist() if not name.startswith("kuutamod-0.1.0.dist-info/")}
    source = tree / "src"
    assert names == {
        path.relative_to(source).as_posix() for path in source.rglob("*") if path.suffix == ".py" or path.name == "py.typed"
    }


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda tree, _w: (tree / "pyproject.toml").unlink(), "there is no such file; name the folder with kuutamod's"),
        (lambda tree, _w: (tree / "pyproject.toml").write_text("[project"), "it is not TOML"),
        (lambda tree, _w: shutil.rmtree(tree / "src/kuutamod"), "there are no Python files"),
        (lambda tree, _w: (tree / "requirements.lock").write_text("thing>=1\n"), "'thing>=1' is not pinned with =="),
        (lambda tree, _w: (tree / "requirements.lock").write_text(OTHER), "no wheel for every Python 3 with a hash of"),
        (lambda _t, wheels: next(wheels.iterdir()).write_bytes(b"another wheel"), "for thing==1.0; fill it with"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_made(
    make: Callable[..., Answer], tree: Path, wheels: Path, tmp_path: Path, spoil: Callable[[Path, Path], object], said: str
) -> None:
    spoil(tree, wheels)
    answer = make()
    assert answer.failed
    assert said in answer["msg"]
    assert not list((tmp_path / "cache").glob("wheelhouse-*"))


def test_a_setting_that_the_wheel_would_lack_is_refused(make: Callable[..., Answer], tree: Path) -> None:
    project = tree / "pyproject.toml"
    project.write_text(project.read_text().replace("[project]\n", '[project]\nkeywords = ["near"]\n'))
    assert "[project] has keywords" in make()["msg"]


def test_a_given_wheel_is_taken_if_it_fits(make: Callable[..., Answer], tmp_path: Path) -> None:
    made = wheel_of(make())
    given = tmp_path / made.name
    shutil.copy(made, given)
    assert wheel_of(make(wheel=str(given))).read_bytes() == made.read_bytes()
    strange = tmp_path / "kuutamod-9.0-py3-none-any.whl"
    shutil.copy(made, strange)
    assert "it is not kuutamod-0.1.0-py3-none-any.whl" in make(wheel=str(strange))["msg"]
