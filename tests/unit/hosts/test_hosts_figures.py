# SPDX-License-Identifier: Apache-2.0
"""The table of `kuutamo-fleet figures`, and what it reads from Ansible and systemd."""

from __future__ import annotations

import json

from kuutamo_fleet.figures import Figures, changed_tasks, exposure_level

RECAP = """
PLAY RECAP *********************************************************************
node0                      : ok=143  changed=2    unreachable=0    failed=0    skipped=49   rescued=0    ignored=0
node1                      : ok=129  changed=0    unreachable=0    failed=0    skipped=43   rescued=0    ignored=0
node2                      : ok=129  changed=1    unreachable=0    failed=0    skipped=43   rescued=0    ignored=0
"""


def test_all_changes_of_a_run_are_counted() -> None:
    assert changed_tasks(RECAP) == 3


def test_the_exposure_is_the_last_word_of_systemd() -> None:
    told = "✓ PrivateNetwork=  0.5\n→ Overall exposure level for kuutamod.service: 1.5 OK 🙂\n"
    assert exposure_level(told) == 1.5
    assert exposure_level("Unit kuutamod.service not found.") is None


def test_the_table_has_the_median_and_the_longest() -> None:
    figures = Figures(
        hosts=3,
        deploy=133.4,
        deploy_again=48.2,
        changed_again=0,
        handover=[9.0, 7.0, 30.0],
        handover_without_signer=[0.3, 0.2, 1.5],
        upgrade=100.0,
        upgrade_without_signer=0.4,
        upgrade_missed_duties=1,
        upgrade_duties=250,
        overlaps=0,
        signed_twice=0,
        exposure={"kuutamod.service": 1.5, "consul.service": 1.4},
    )
    table = figures.table()
    assert "| deploy again | 48 s, 0 changed |" in table
    assert "| handover playbook, end to end, median of 3 | 9.0 s |" in table
    assert "| without a signer meanwhile, median | 0.30 s |" in table
    assert "| duties missed meanwhile | 1 of 250 |" in table
    assert "| systemd's exposure of consul.service | 1.4 |" in table
    assert json.loads(json.dumps(figures.to_json()))["handover"] == [9.0, 7.0, 30.0]
