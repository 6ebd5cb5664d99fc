# SPDX-License-Identifier: Apache-2.0
"""Release archives for hosts without a way out: a real Consul, and the stand-in neard in three releases.

The same content gives the same bytes, so that a checksum in an inventory stays true.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import neard_standin
from kuutamo_localnet.consul_binary import ARCHITECTURES, find_consul
from neard_standin.release import RELEASE_FILE, Release

from .chain import MOUNT_POINT

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can tell
_CHUNK = 1 << 20
_MAIN = "import sys\n\nfrom neard_standin.cli import main\n\nsys.exit(main())\n"
# Isolated: nothing of the environment or the user's directories gets into a signer.
_SHEBANG = b"#!/usr/bin/python3 -I\n"

CURRENT = Release("2.11.0", 83, MOUNT_POINT)
NEWER = Release("2.12.1", 84, MOUNT_POINT)
# Follows protocol versions up to one that the chain has left behind: no step to it is possible.
TOO_OLD = Release("2.8.0", 80, MOUNT_POINT)
RELEASES = {"neard": CURRENT, "neard_newer": NEWER, "neard_too_old": TOO_OLD}


@dataclass(frozen=True)
class Archive:
    """A release archive on the controller. `sha256` is in hexadecimal."""

    program: str
    version: str
    path: Path
    sha256: str


def make_archives(directory: Path) -> dict[str, Archive]:
    """All archives by what they are for, made where they are missing or differ.

    Raises ConsulNotFoundError without a usable Consul.
    """
    directory.mkdir(parents=True, exist_ok=True)
    made = {name: neard_archive(directory, release) for name, release in RELEASES.items()}
    return {"consul": _consul(directory), **made}


def neard_archive(directory: Path, release: Release) -> Archive:
    """A tar.gz with the executable `neard`, as a zip application that needs /usr/bin/python3 and nothing else."""
    path = directory / f"neard-{release.version}-{platform.machine()}.tar.gz"
    content = _tar_gz("neard", zip_application(release))
    if not path.exists() or path.read_bytes() != content:
        _put(path, content)
    return _with_checksum("neard", release.version, path)


def zip_application(release: Release) -> bytes:
    """The stand-in as one executable file that tells `release`."""
    package = Path(neard_standin.__file__).parent
    files = {f"{package.name}/{path.name}": path.read_bytes() for path in package.glob("*.py")}
    files[f"{package.name}/{RELEASE_FILE}"] = json.dumps(asdict(release)).encode()
    files["__main__.py"] = _MAIN.encode()
    sink = io.BytesIO()
    # Stored: it is read at each start, and the archive around it is compressed anyway.
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name])
    return _SHEBANG + sink.getvalue()


def _tar_gz(name: str, content: bytes) -> bytes:
    sink = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=sink, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


def _consul(directory: Path) -> Archive:
    found = find_consul()
    version = ".".join(map(str, found.version))
    path = directory / f"consul_{version}_linux_{ARCHITECTURES.get(platform.machine(), platform.machine())}.zip"
    program = found.path.read_bytes()
    if not _holds(path, program):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            member = zipfile.ZipInfo("consul", _EPOCH)
            member.external_attr, member.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(member, program)
        _put(path, sink.getvalue())
    return _with_checksum("consul", version, path)


def _holds(path: Path, program: bytes) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return zlib.crc32(program) == archive.getinfo("consul").CRC
    except (FileNotFoundError, KeyError, zipfile.BadZipFile):
        return False


def _with_checksum(program: str, version: str, path: Path) -> Archive:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    text = f"{digest.hexdigest()}  {path.name}\n"
    beside = path.with_name(f"{path.name}.sha256")
    if not beside.exists() or beside.read_text() != text:
        beside.write_text(text)
    return Archive(program, version, path, digest.hexdigest())


def _put(path: Path, content: bytes) -> None:
    # Whole or not at all: another run may be reading it.
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
