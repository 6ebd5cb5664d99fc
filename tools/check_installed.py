# SPDX-License-Identifier: Apache-2.0
"""Asks Ansible what it finds of the installed collection: every module, role and playbook of the checkout, no more.

Arguments: the checkout and the directory of the installed collections, which is ANSIBLE_COLLECTIONS_PATH.
"""

import json
import subprocess
import sys
from pathlib import Path

NAME = "kuutamo.near"


def main(checkout: Path, installed: Path) -> int:
    """Print what is amiss; 1 if anything is."""
    amiss = [
        *_differences("module", _names(checkout / "plugins/modules", "*.py"), _listed("module")),
        *_differences("role", _names(checkout / "roles", "*/meta/argument_specs.yml", up=2), _listed("role")),
    ]
    for playbook in sorted((checkout / "playbooks").glob("*.yml")):
        name = f"{NAME}.{playbook.stem}"
        run = subprocess.run(["ansible-playbook", name, "--syntax-check"], capture_output=True, encoding="utf-8", check=False)
        if run.returncode:
            amiss.append(f"playbook {name}: {run.stdout}{run.stderr}")
    for wrong in ("tests", "localnet", "build", "requirements", ".git"):
        if (installed / "ansible_collections/kuutamo/near" / wrong).exists():
            amiss.append(f"{wrong}/ is in the tarball")
    print("\n".join(amiss))
    return 1 if amiss else 0


def _names(folder: Path, pattern: str, up: int = 0) -> set[str]:
    files = folder.glob(pattern)
    return {f"{NAME}.{(file.parents[up - 1].name if up else file.stem)}" for file in files}


def _listed(kind: str) -> set[str]:
    """What ansible-doc lists, each with its documentation, which has to be readable."""
    listing = subprocess.run(
        ["ansible-doc", "--type", kind, "--list", "--json", NAME], capture_output=True, check=True, encoding="utf-8"
    ).stdout
    names = set(json.loads(listing))
    for name in names:
        subprocess.run(["ansible-doc", "--type", kind, "--json", name], capture_output=True, check=True)
    return names


def _differences(kind: str, there: set[str], found: set[str]) -> list[str]:
    return [f"{kind} {name}: Ansible doesn't find it" for name in sorted(there - found)] + [
        f"{kind} {name}: not in the checkout" for name in sorted(found - there)
    ]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
