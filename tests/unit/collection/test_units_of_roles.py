# SPDX-License-Identifier: Apache-2.0
"""The units that run neard with the validator's key: what holds for one holds for the other."""

import pytest

from unit.collection.tracked import ROOT

UNITS = ("roles/kuutamod/templates/kuutamod.service.j2", "roles/neard/templates/neard-emergency.service.j2")


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("line", ["LimitCORE=0", "UMask=0077", "NoNewPrivileges=yes"])
def test_a_unit_with_the_key_keeps_it_to_itself(unit: str, line: str) -> None:
    assert line in (ROOT / unit).read_text(encoding="utf-8").splitlines()
