# SPDX-License-Identifier: Apache-2.0
"""``python -m kuutamod.settings``: the page docs/settings.md on standard output."""

from __future__ import annotations

import sys

from .page import page

sys.stdout.write(page())
