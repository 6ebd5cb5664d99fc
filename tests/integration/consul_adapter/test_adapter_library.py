# SPDX-License-Identifier: Apache-2.0
"""The client libraries: the chosen one, and py-consul as a drop-in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import consul
import pytest

pytestmark = [
    pytest.mark.integration,
    # python-consul2 warns of parts of Consul that are not used here.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.base"),
]

OTHER_LIBRARY = "PY_CONSUL_DIR"
"""The variable that names a directory with py-consul in it (``pip install --no-deps --target DIR py-consul``)."""


def test_the_library_under_test_is_the_expected_one() -> None:
    expected = os.environ.get("KUUTAMO_TEST_CONSUL_LIB")
    assert expected is None or Path(consul.__file__).is_relative_to(expected)
    assert "consul.aio" not in sys.modules


@pytest.mark.skipif(OTHER_LIBRARY not in os.environ, reason=f"{OTHER_LIBRARY} names no directory with py-consul")
@pytest.mark.skipif("KUUTAMO_TEST_CONSUL_LIB" in os.environ, reason="this is that run")
def test_everything_with_py_consul() -> None:
    directory = Path(os.environ[OTHER_LIBRARY]).resolve()
    assert (directory / "consul").is_dir(), f"{OTHER_LIBRARY}={directory} has no package `consul`"
    path = os.pathsep.join(filter(None, (str(directory), os.environ.get("PYTHONPATH"))))
    unit = Path(__file__).parents[2] / "unit" / "consul"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "not test_cluster",
            str(Path(__file__).parent),
            str(unit),
        ],
        env={**os.environ, "PYTHONPATH": path, "KUUTAMO_TEST_CONSUL_LIB": str(directory)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
