# SPDX-License-Identifier: Apache-2.0
"""Prepares the directory given as the home that ansible-test runs in, with the interpreter that ansible-test is in.

ansible-test makes environments for its checks. It fetches pip for them from a server of its own, unless its cache
has the script already: here it gets one that asks this environment's pip. And it hides the machine's settings for pip
(index, certificates), unless they are in a file of the home.
"""

import subprocess
import sys
from pathlib import Path

from ansible_test._internal.host_configs import VirtualPythonConfig
from ansible_test._internal.python_requirements import get_venv_packages

BOOTSTRAP = """\
import subprocess
import sys

options = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
pip = [{python!r}, "-m", "pip", "--python", sys.executable, "install", "--quiet"]
sys.exit(subprocess.run([*pip, *options]).returncode)
"""


def main(home: Path) -> None:
    """Write the bootstrap script and pip's settings."""
    version = get_venv_packages(VirtualPythonConfig(version="{}.{}".format(*sys.version_info)))["pip"]
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    script.write_text(BOOTSTRAP.format(python=sys.executable), encoding="utf-8")

    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, check=True, encoding="utf-8"
    ).stdout
    settings: dict[str, str] = {}
    for line in listed.splitlines():  # global.index-url='…', install.timeout='…', :env:.cert='…'; later ones win
        key, _equals, value = line.partition("=")
        settings[key.rpartition(".")[2]] = value.strip("'\"")
    file = home / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {' '.join(value.split(chr(92) + 'n'))}" for key, value in settings.items()]
    file.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
