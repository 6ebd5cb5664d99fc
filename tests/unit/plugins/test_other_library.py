# SPDX-License-Identifier: Apache-2.0
"""The modules with py-consul, the other library that they say they work with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration.consul_adapter.test_adapter_library import OTHER_LIBRARY

HERE = Path(__file__).parent
IS_EXPECTED = HERE.parents[1] / "integration" / "consul_adapter" / "test_adapter_library.py"
WITH_IT = [
    f"{IS_EXPECTED}::test_the_library_under_test_is_the_expected_one",
    *(str(HERE / f"test_validator_{name}.py") for name in ("info", "pause", "maintenance")),
    f"{HERE / 'test_validator_handover.py'}::test_a_handover_to_the_best_standby",
    f"{HERE / 'test_connection.py'}::test_a_token_without_the_right_is_refused",
    f"{HERE / 'test_connection.py'}::test_no_leader[validator_info]",
    f"{HERE / 'test_connection.py'}::test_tls_with_a_client_certificate",
]


@pytest.mark.skipif(OTHER_LIBRARY not in os.environ, reason=f"{OTHER_LIBRARY} names no directory with py-consul")
def test_the_modules_with_py_consul() -> None:
    directory = Path(os.environ[OTHER_LIBRARY]).resolve()
    path = os.pathsep.join(filter(None, (str(directory), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not dies_loses", *WITH_IT],
        env={**os.environ, "PYTHONPATH": path, "KUUTAMO_TEST_CONSUL_LIB": str(directory)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
