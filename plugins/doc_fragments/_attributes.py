# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules of this collection can do, in the words of Ansible's own attributes."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes that all modules have, and those of modules that only look."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and tell what would change, without changing it.
  diff_mode:
    description: Tells in diff mode what has changed, or would in check mode.
  idempotent:
    description: Changes nothing when run again with the same options, as long as nobody else changes anything meanwhile.
  platform:
    description: Where the module can run.
    platforms: posix
    support: full
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - It never changes anything.
  diff_mode:
    support: N/A
    details:
      - It never changes anything.
  idempotent:
    support: full
    details:
      - It never changes anything.
"""

    ACTIONGROUP_KUUTAMO = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/kuutamo.near.kuutamo) in C(module_defaults) to set Consul's address, token and TLS files once.
    support: full
    membership:
      - kuutamo.near.kuutamo
"""
