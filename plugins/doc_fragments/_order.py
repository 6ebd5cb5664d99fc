# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules that give the fleet an order have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Who asks and why; and when a handover begins."""

    DOCUMENTATION = r"""
options:
  reason:
    description:
      - Why, for status, logs and history. At most 200 characters.
    type: str
    default: ''
  by:
    description:
      - Who asks, for status, logs and history.
      - If not set, the environment variable E(KUUTAMO_OPERATOR) of the host that runs the module is used, else the user
        (the one behind C(sudo)) and the name of that host.
    type: str
"""

    HANDOVER = r"""
options:
  at:
    description:
      - When to begin, V(now), V(window) or a block height.
      - V(window) is a run of O(min_window) or more heights without a block or chunk of this validator, as the holder's
        neard tells. It says nothing of endorsements. Give it a longer O(timeout).
    type: str
    default: now
  min_window:
    description:
      - The shortest window in blocks, for O(at=window).
    type: int
    default: 5
  timeout:
    description:
      - Seconds within which the handover has to begin, 1 to 86400. What has not begun by then is void, whether this module
        still runs or not.
      - What has begun runs its course, and the module waits for its end, two minutes more at most (15 with
        O(allow_restart)).
    type: float
    default: 60.0
  allow_restart:
    description:
      - Accept a candidate that has to restart its neard to get the key, which costs its start time.
    type: bool
    default: false
"""
