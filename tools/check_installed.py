# SPDX-License-Identifier: Apache-2.0
"""Asks Ansible what it finds of the installed collection: every module, role and playbook of the checkout, no more.

Arguments: the checkout, and the directory of the installed collections, which has to be ANSIBLE_COLLECTIONS_PATH.
"""

import json
import subprocess
import sys
from pathlib import Path

NAME = "kuutamo.near"
# What only those who work on the collection need.
NOT_SHIPPED = (".ci", ".git", "build", "extensions/molecule", "localnet", "requirements", "tests", "tools")


def main(checkout: Path, installed: Path) -> int:
    """Print what is amiss; 1 if anything is."""
    modules = {f"{NAME}.{file.stem}" for file in (checkout / "plugins/modules").glob("*.py")}
    roles = {f"{NAME}.{folder.name}" for folder in (checkout / "roles").glob("*/")}
    playbooks = [f"{NAME}.{file.stem}" for file in sorted((checkout / "playbooks").glob("*.yml"))]
    amiss = [*_differences("module", modules), *_differences("role", roles)]
    if playbooks:
        amiss += _fault(["ansible-playbook", "--syntax-check", *playbooks])
    place = installed / "ansible_collections" / NAME.replace(".", "/")
    amiss += [f"{name} is in the tarball" for name in NOT_SHIPPED if (place / name).exists()]
    print("\n".join(amiss))
    return 1 if amiss else 0


def _differences(kind: str, there: set[str]) -> list[str]:
    """Where what ansible-doc lists is not what there is, or has no documentation that can be read."""
    listed = subprocess.run(
        ["ansible-doc", "--type", kind, "--list", "--json", NAME], stdout=subprocess.PIPE, check=True, encoding="utf-8"
    )
    found = set(json.loads(listed.stdout))
    return [
        *(f"{kind} {name}: Ansible doesn't find it" for name in sorted(there - found)),
        *(f"{kind} {name}: not in the checkout" for name in sorted(found - there)),
        *(_fault(["ansible-doc", "--type", kind, *sorted(found)]) if found else []),
    ]


def _fault(command: list[str]) -> list[str]:
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    return [f"{' '.join(command)}: {run.stdout}{run.stderr}"] if run.returncode else []


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
