# SPDX-License-Identifier: Apache-2.0
"""Reading a kuutamod's exporter: metrics, state, neard's pid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import requests

EXPORTER_DEADLINE = 2.0  # seconds for one answer
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?$")
_LABEL = re.compile(r'(?P<name>\w+)="(?P<value>(?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\n": "\n", r"\"": '"', r"\\": "\\"}

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Metrics:
    """One scrape. `text` is what came over the wire, for those who compare the text itself."""

    text: str
    samples: Mapping[tuple[str, Labels], float]

    @classmethod
    def parse(cls, text: str) -> Metrics:
        """From Prometheus' text format. Raises ValueError for a line that is none."""
        samples: dict[tuple[str, Labels], float] = {}
        for line in text.splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            match = _SAMPLE.match(line.strip())
            if match is None:
                raise ValueError(f"not a sample in Prometheus' text format: {line!r}")
            labels = frozenset(
                (label["name"], _unescape(label["value"])) for label in _LABEL.finditer(match["labels"] or "")
            )
            samples[match["name"], labels] = float(match["value"])
        return cls(text, MappingProxyType(samples))

    def value(self, name: str, **labels: str) -> float:
        """The sample with exactly these labels. Raises KeyError."""
        return self.samples[name, frozenset(labels.items())]

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """All samples of `name` that have `label`, by its value."""
        return {
            dict(key[1])[label]: value for key, value in self.samples.items() if key[0] == name and label in dict(key[1])
        }

    def reasons(self) -> set[str]:
        """The codes of everything that keeps the node from taking the lock."""
        return {code for code, value in self.by_label("kuutamod_ineligible_reason", "reason").items() if value == 1}

    def state(self) -> str:
        """The state the node is in. Raises ValueError when it is not in exactly one."""
        on = [state for state, value in self.by_label("kuutamod_state", "type").items() if value == 1]
        if len(on) != 1:
            raise ValueError(f"kuutamod_state is 1 for {on or 'no state'}, expected exactly one")
        return on[0]


def _unescape(text: str) -> str:
    return re.sub(r"\\.", lambda match: _ESCAPES.get(match[0], match[0]), text)


class Exporter:
    """The HTTP endpoints of one kuutamod. Every call may raise requests.RequestException."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> str:
        """The body of `GET /PATH`. Raises requests.HTTPError for an error status."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{self.url}/{path}", timeout=EXPORTER_DEADLINE)
        answer.raise_for_status()
        return answer.text

    def metrics(self) -> Metrics:
        """`GET /metrics`."""
        return Metrics.parse(self.get("metrics"))

    def healthy(self) -> bool:
        """Whether `GET /health` says OK."""
        return self.get("health").strip() == "OK"

    def neard_pid(self) -> int | None:
        """`GET /neard-pid`, None when no neard runs."""
        text = self.get("neard-pid").strip()
        return int(text) if text else None
