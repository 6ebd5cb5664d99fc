# SPDX-License-Identifier: Apache-2.0
"""The same seed gives the same story, byte for byte: in every process, whatever its hash seed, on every Python version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kuutamod

SOURCE = Path(kuutamod.__file__).parent.parent
TESTS = Path(__file__).parent.parent
SEEDS = range(12)
CODE = """
import hashlib
from simulation.run import play, world_of
from simulation.story import full
for seed in range({first}, {last}):
    world = world_of(seed, keep=None)
    play(world)
    print(seed, len(world.story), hashlib.sha256(full(world).encode()).hexdigest())
"""


def told(python: str, hash_seed: str) -> str:
    """What a process of its own makes of the seeds."""
    code = CODE.format(first=SEEDS.start, last=SEEDS.stop)
    env = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}", "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([python, "-B", "-S", "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def story() -> str:
    return told(sys.executable, "0")


def other_pythons() -> list[str]:
    """Interpreters of other versions than this one's, as far as this machine has any."""
    found: dict[str, str] = {}
    root = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    places = [os.environ.get("PATH", ""), *(str(path) for path in sorted(Path(root).glob("versions/3.*/bin")))]
    for minor in range(11, 16):
        for place in places:
            path = shutil.which(f"python3.{minor}", path=place)
            if path and minor != sys.version_info.minor and _runs(path, minor):
                found.setdefault(f"3.{minor}", path)
    return list(found.values())


def _runs(path: str, minor: int) -> bool:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and re.match(rf"Python 3\.{minor}\.", done.stdout) is not None


def test_another_process_with_another_hash_seed_tells_the_same(story: str) -> None:
    assert len(story.splitlines()) == len(SEEDS)
    assert told(sys.executable, "4711") == story


@pytest.mark.parametrize("python", other_pythons() or [None])
def test_another_python_version_tells_the_same(story: str, python: str | None) -> None:
    if python is None:
        pytest.skip("this machine has one Python version")
    assert told(python, "1") == story
