# SPDX-License-Identifier: Apache-2.0
"""docs/settings.md is what the settings say it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kuutamod.settings.fields import SETTINGS

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_is_up_to_date() -> None:
    made = subprocess.run([sys.executable, "-m", "kuutamod.settings"], capture_output=True, text=True, check=True).stdout
    assert PAGE.read_text() == made, "run: python -m kuutamod.settings > docs/settings.md"


def test_the_page_has_every_setting() -> None:
    text = PAGE.read_text()
    for setting in SETTINGS:
        assert f"| `{setting.variable}` |" in text
