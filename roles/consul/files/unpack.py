# SPDX-License-Identifier: Apache-2.0
"""Takes the program out of a release's zip into a cache on the controller, after its checksum.

    python3 unpack.py ARCHIVE SHA256 CACHE

Prints where the program is and its own checksum, as JSON. Hosts need no unzip, and an archive is unpacked once.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

CHUNK = 1 << 20


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, target: Path) -> None:
    """The member `consul` of the zip, whole or not at all. Raises ValueError."""
    try:
        with zipfile.ZipFile(archive) as content, content.open("consul") as member:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, new = tempfile.mkstemp(dir=target.parent)
            with os.fdopen(handle, "wb") as file:
                while piece := member.read(CHUNK):
                    file.write(piece)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{archive} is no release of Consul: {error}") from None
    Path(new).chmod(0o755)
    Path(new).replace(target)


def main(archive: Path, expected: str, cache: Path) -> str:
    """Returns what is printed. Raises ValueError and OSError with a message for the operator."""
    actual = sha256(archive)
    if actual != expected.lower():
        raise ValueError(f"{archive} has the SHA-256 {actual}, not {expected.lower()}; nothing was installed")
    program = cache / actual / "consul"
    if not program.exists():
        unpack(archive, program)
    return json.dumps({"program": str(program), "sha256": sha256(program)})


if __name__ == "__main__":
    try:
        print(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
    except (ValueError, OSError) as fault:
        sys.exit(str(fault))
