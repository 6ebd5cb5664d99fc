# SPDX-License-Identifier: Apache-2.0
"""The quick copy does what ``dataclasses.replace`` does, for every record of the rules."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from kuutamod.core import actions, events, lease, model, protocol, readiness, takeover
from kuutamod.core.change import replace
from unit.core.rig import Rig

RECORDS = sorted(
    {
        kind
        for module in (actions, events, lease, model, protocol, readiness, takeover)
        for _unused, kind in inspect.getmembers(module, inspect.isclass)
        if dataclasses.is_dataclass(kind)
    },
    key=lambda kind: kind.__qualname__,
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda kind: kind.__name__)
def test_records_are_such_that_copying_attributes_is_enough(record: type) -> None:
    assert not hasattr(record, "__post_init__")
    assert not hasattr(record, "__slots__")
    assert all(field.init for field in dataclasses.fields(record))


def test_same_result_as_the_standard_library() -> None:
    rig = Rig()
    rig.validating()
    for changes in ({}, {"lease": None}, {"term_seen": 99, "stop_requested": "x"}):
        assert replace(rig.state, **changes) == dataclasses.replace(rig.state, **changes)
    assert rig.state.lease is not None
    assert rig.state.term_seen != 99
