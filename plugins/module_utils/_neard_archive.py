# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Getting the one program ``neard`` out of what it is shipped in, and seeing whether it is made for this machine.

An archive is told by its content, not by its name. Only the program is taken out of it; nothing else in it is written.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PROGRAM = "neard"
_MAGIC = {
    b"\x1f\x8b": "tar.gz",
    b"\xfd7zXZ\0": "tar.xz",
    b"BZh": "tar.bz2",
    b"PK\x03\x04": "zip",
    b"\x7fELF": "program",
    b"#!": "program",
}
_SINGLE: dict[bytes, Callable[[Path, str], IO[bytes]]] = {
    b"\x1f\x8b": gzip.open,  # type: ignore[dict-item]
    b"\xfd7zXZ\0": lzma.open,  # type: ignore[dict-item]
    b"BZh": bz2.open,  # type: ignore[dict-item]
}
_ELF_HEADER = 20
_ELF_64_LITTLE = b"\x02\x01"
MACHINES = {"x86_64": 62, "aarch64": 183}
"""The numbers (e_machine) by which a program for Linux says what machine it is made for."""


class ArchiveFault(Exception):
    """The file can't be what it should be; the message says what it is instead."""


def sha256_of(path: Path) -> str:
    """The file's hash, 64 hexadecimal digits. :raises OSError: it can't be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack_single(source: Path, to: Path) -> None:
    """Write what the file is, without its xz, gzip or bzip2, to the new file ``to``. :raises ArchiveFault: it is broken."""
    with source.open("rb") as file:
        head = file.read(8)
    opened = next((known for magic, known in _SINGLE.items() if head.startswith(magic)), None)
    try:
        with opened(source, "rb") if opened else source.open("rb") as found, to.open("xb") as file:
            shutil.copyfileobj(found, file, 1 << 20)
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveFault(f"it can't be unpacked: {error}") from None


def extract(source: Path, to: Path) -> None:
    """Write the program in ``source`` to the new file ``to``. :raises ArchiveFault: there isn't just one."""
    try:
        with _program(source) as program, to.open("xb") as file:
            shutil.copyfileobj(program, file, 1 << 20)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, lzma.LZMAError, zlib.error, RuntimeError) as error:
        raise ArchiveFault(f"it can't be unpacked: {error}") from None


def refuse_other_machine(program: Path, machine: str) -> None:
    """Is it a program for a machine such as ``x86_64``? A script runs on any. :raises ArchiveFault: it can't run here."""
    with program.open("rb") as file:
        head = file.read(_ELF_HEADER)
    if head.startswith(b"#!"):
        return
    if not head.startswith(b"\x7fELF") or len(head) < _ELF_HEADER:
        raise ArchiveFault("it is no program for Linux")
    made_for = struct.unpack("<H", head[18:20])[0]
    if head[4:6] != _ELF_64_LITTLE or made_for != MACHINES.get(machine):
        known = {number: name for name, number in MACHINES.items()}
        raise ArchiveFault(
            f"it is made for {known.get(made_for, f'another machine (ELF {made_for})')}, this host is {machine}"
        )


@contextmanager
def _program(source: Path) -> Iterator[IO[bytes]]:
    with source.open("rb") as file:
        head = file.read(8)
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if kind is None:
        raise ArchiveFault("it is neither tar.gz, tar.xz, tar.bz2 or zip nor a program")
    # A stand-in may be a script with a zip behind its first line; that is a program.
    if kind == "program":
        with source.open("rb") as file:
            yield file
    elif kind == "zip":
        with zipfile.ZipFile(source) as archive:
            name = _only([info.filename for info in archive.infolist() if not info.is_dir() and _fits(info.filename)])
            with archive.open(name) as zipped:
                yield zipped
    else:
        with tarfile.open(source, "r:*") as archive:
            found = {member.name: member for member in archive if member.isreg() and _fits(member.name)}
            taken = archive.extractfile(found[_only(list(found))])
            if taken is None:  # only for what is no regular file
                raise ArchiveFault(f"its file {PROGRAM} can't be read")
            yield taken


def _fits(name: str) -> bool:
    return name.rsplit("/", 1)[-1] == PROGRAM


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise ArchiveFault(
            f"it has {len(names) or 'no'} files named {PROGRAM} in it" + (f": {', '.join(names)}" if names else "")
        )
    return names[0]
