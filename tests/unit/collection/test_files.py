# SPDX-License-Identifier: Apache-2.0
"""Every file names its licence, and none names the machine that it was written on."""

import os
import re
import sys
import tomllib
from pathlib import Path

from unit.collection.tracked import ROOT, text, tracked

LINE = re.compile(r"SPDX-License-Identifier: ([\w.-]+)")
GPL = "GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)"


def test_every_file_names_its_licence() -> None:
    said_elsewhere = tomllib.loads(text(Path("REUSE.toml")))["annotations"][0]["path"]
    globs = [
        re.compile("".join(".*" if part == "**" else re.escape(part) for part in re.split(r"(\*\*)", glob)))
        for glob in said_elsewhere
    ]
    wrong = []
    for name in tracked():
        if name.parts[0] == "LICENSES" or any(glob.fullmatch(name.as_posix()) for glob in globs):
            continue
        found = [match[1] for line in text(name).splitlines()[:3] if (match := LINE.search(line))]
        if found != ["GPL-3.0-or-later" if name.parts[0] == "plugins" else "Apache-2.0"]:
            wrong.append(f"{name}: {found or 'no SPDX line'}")
    assert wrong == []


def test_what_ansible_loads_has_the_licence_line_that_it_looks_for() -> None:
    assert [str(name) for name in tracked() if name.parts[0] == "plugins" and GPL not in text(name)] == []


def test_the_licences_are_there() -> None:
    assert "GNU GENERAL PUBLIC LICENSE" in text(Path("LICENSES/GPL-3.0-or-later.txt"))
    assert "Apache License" in text(Path("LICENSES/Apache-2.0.txt"))


def test_no_file_names_this_machine() -> None:
    """Where this checkout and this Python lie, and where pip gets its packages from, differs on every machine."""
    places = {str(ROOT), sys.base_prefix, sys.prefix, *os.environ.get("PIP_FIND_LINKS", "").split()}
    places = {place for place in places if len(Path(place).parts) > 2 and not place.startswith("/usr")}
    index = re.compile(r"^ *(--(extra-)?index-url|--find-links|--trusted-host)\b|\bfile:///\w", re.MULTILINE)
    wrong = [
        f"{name}: {place}"
        for name in tracked()
        for place in (
            *(place for place in places if place in text(name)),
            *(match[0] for match in index.finditer(text(name))),
        )
    ]
    assert wrong == []
