# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md names exactly what the code shows: each metric, each reason, each page, each field of ``/status``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from kuutamod.core.desk import Answer, Desk
from kuutamod.core.model import NodeState
from kuutamod.core.protocol import Mark, Step, TermRecord
from kuutamod.server.guard_state import GuardState
from kuutamod.server.metrics import Metrics
from kuutamod.server.node_status import status
from kuutamod.server.pages import Pages
from kuutamod.server.reasons import REASON_CODES
from unit.server import snapshots

DOCUMENT = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
SERIES = re.compile(r"(?P<name>[a-z_]+)(?P<labels>\{[^}]*\})? (?P<value>\S+)")


def everything() -> str:
    """A scrape of a node that has taken the lock by a handover, and shows all that there is."""
    metrics = Metrics(lambda: 0)
    metrics.observed.call("heartbeat", "ok", 0.02)
    asked = replace(snapshots.REQUEST, marks=(*snapshots.REQUEST.marks, Mark(Step.UNLOADING, snapshots.WALL + 142.0)))
    said = Answer("r1", (Mark(Step.ACQUIRED, snapshots.WALL + 143.0),))
    states: list[NodeState] = [
        snapshots.ELIGIBLE,
        replace(snapshots.HOLDER, desk=Desk(asked, 51, 141.0, said)),
    ]
    for state in states:
        metrics.observed.state(state, 150.0)
    return metrics.render(snapshots.view(states[-1])).decode()


def exported() -> dict[str, tuple[str, frozenset[str]]]:
    """Family -> type and labels."""
    text = everything()
    types: dict[str, str] = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    labels: dict[str, set[str]] = {name: set() for name in types}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SERIES.fullmatch(line)
            assert match, line
            family = re.sub(r"_(bucket|count|sum)$", "", match["name"])
            labels[family] |= set(re.findall(r'(\w+)="', match["labels"] or "")) - {"le"}
    return {name: (kind, frozenset(labels[name])) for name, kind in types.items()}


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\| ([^|]+) \| ([^|]+) \|$", DOCUMENT, re.MULTILINE)
    names = [name for name, *_unused in rows]
    assert len(set(names)) == len(names), "a metric is listed twice"
    for name, _kind, _labels, unit, meaning in rows:
        assert unit.strip(), name
        assert meaning.strip(), name
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels, *_rest in rows}


def test_the_document_lists_exactly_what_is_exported() -> None:
    assert documented() == exported()


def test_the_names_follow_the_conventions() -> None:
    upstreams = {"kuutamod_state", "kuutamod_neard_restarts", "kuutamod_uptime"}
    for name, (kind, _unused) in exported().items():
        if name not in upstreams:
            assert name.startswith("kuutamod_")
            assert name.endswith("_total") == (kind == "counter"), name


def test_the_unit_is_in_the_name() -> None:
    units = dict(re.findall(r"^\| `(\w+)` \| \w+ \| [^|]*\| ([^|]+) \|", DOCUMENT, re.MULTILINE))
    for name, unit in units.items():
        assert name.endswith("_seconds") == unit.startswith("seconds"), (name, unit)


def test_the_document_names_every_reason() -> None:
    listed = re.findall(r"^- `([a-z-]+)`: ", DOCUMENT, re.MULTILINE)
    assert sorted(listed) == sorted(REASON_CODES)


def test_the_document_names_every_state_of_the_guard() -> None:
    (row,) = re.findall(r"^\| `kuutamod_guard_state` .*$", DOCUMENT, re.MULTILINE)
    for state in GuardState:
        assert f"{state.value} (" in row


def test_the_document_names_every_page() -> None:
    known = Pages(Metrics(lambda: 0)).answer("/", "", snapshots.view(snapshots.FRESH)).body.decode()
    listed = re.findall(r"^\| `GET (/[a-z-]+)` \|", DOCUMENT, re.MULTILINE)
    assert listed == re.findall(r"/[a-z-]+", known)


def fields_of(heading: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    part = DOCUMENT.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    return [name for cell in re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)]


def test_the_document_names_every_field_of_status() -> None:
    assert fields_of("`/status`") == list(status(snapshots.view(snapshots.FRESH)))


def test_the_document_names_every_field_of_a_term() -> None:
    assert fields_of("`/history`") == list(TermRecord(1, "a", 0.0).told())


def alerts() -> dict[str, str]:
    """The alert rules of the document: name -> expression."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    rules = re.findall(r"^ +- alert: (\w+)\n +expr: (.+)$", block, re.MULTILINE)
    assert len(rules) == block.count("alert:") == block.count("expr:"), "a rule is not read by this test"
    return dict(rules)


def test_the_alert_rules_name_metrics_that_exist() -> None:
    known = exported()
    for rule, expression in alerts().items():
        names = re.findall(r"kuutamod_\w+", expression)
        assert names, rule
        for name in names:
            family = re.sub(r"_(bucket|count|sum)$", "", name)
            assert family in known, (rule, name)
            assert family == name or known[family][0] == "histogram", (rule, name)


def test_the_alert_rules_name_label_values_that_exist() -> None:
    series = everything()
    for rule, expression in alerts().items():
        for name, label, value in re.findall(r'(kuutamod_\w+)\{(\w+)="([^"]*)"\}', expression):
            assert re.search(rf'^{name}\{{[^}}]*{label}="{re.escape(value)}"', series, re.MULTILINE), (rule, name, value)


def test_there_is_an_alert_for_each_trouble_that_needs_somebody() -> None:
    assert {
        "KuutamodNoHolder",
        "KuutamodNoEligibleStandby",
        "KuutamodCannotFence",
        "KuutamodFenceMarginLow",
        "KuutamodPauseLeftOn",
        "KuutamodRequestPending",
        "KuutamodNeardCrashLoop",
    } == set(alerts())
