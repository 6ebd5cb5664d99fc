# SPDX-License-Identifier: Apache-2.0
"""The rules that the check names for a right that is missing."""

from __future__ import annotations

from pathlib import Path

from kuutamod.consul import probe

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def test_the_remedy_for_a_missing_right_is_the_documented_rule_and_none_is_wider() -> None:
    documented = OPERATIONS.read_text().replace("ACCOUNT", "fleet.near").splitlines()
    asked = probe._asked("fleet.near", "n1")
    assert all(rule in documented for _path, rule, *_rest in asked)
    rules = {purpose: rule for purpose, rule, _body in asked}
    assert rules["answer requests"] == 'key "kuutamod/fleet.near/requests/current" { policy = "write" }'
    assert not any('"kuutamod/fleet.near/" { policy = "write"' in rule for _path, rule, *_rest in asked)
