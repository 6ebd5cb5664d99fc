# SPDX-License-Identifier: Apache-2.0
"""Schedules that once broke a rule, kept as regression tests: one JSON file each in the folder ``scripts``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .faults import Fault

FOLDER = Path(__file__).with_name("scripts")


@dataclass(frozen=True)
class Kept:
    """A schedule on the fleet of ``seed``. ``broke``: the rule; ``mutant``: the wrong product that still breaks it."""

    name: str
    seed: int
    broke: str
    story: str
    mutant: str
    faults: tuple[Fault, ...]


def load(path: Path) -> Kept:
    """From its file. :raises ValueError: the file is not one of these; the text names it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = tuple(Fault.from_json(fault) for fault in data["faults"])
        return Kept(path.stem, int(data["seed"]), data["broke"], data["story"], data["mutant"], found)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a schedule: {error}; write it with `python -m simulation shrink --save`") from error


def every() -> list[Kept]:
    """All of them, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.json"))]


def save(kept: Kept) -> Path:
    """Into its file."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{kept.name}.json"
    data = {
        "seed": kept.seed,
        "broke": kept.broke,
        "story": kept.story,
        "mutant": kept.mutant,
        "faults": [fault.to_json() for fault in kept.faults],
    }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return path
