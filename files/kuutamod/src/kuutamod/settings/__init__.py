# SPDX-License-Identifier: Apache-2.0
"""All settings of kuutamod: flag before environment variable before default, checked as a whole."""

from __future__ import annotations

from .daemon import Settings, load
from .faults import ConfigFaults, Fault, Subject

__all__ = ["ConfigFaults", "Fault", "Settings", "Subject", "load"]
