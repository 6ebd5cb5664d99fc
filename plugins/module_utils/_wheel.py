# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A wheel of a pure Python package, built with the standard library alone: no network, no build backend, nothing left in
the tree, and the same bytes wherever it is built.

A build backend writes its own name and version into the wheel, so two controllers would make two different files of one
source; and an air-gapped controller may have none at all.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCK = "requirements.lock"
_PROJECT = "pyproject.toml"
_KNOWN = {"name", "version", "description", "requires-python", "license", "dependencies", "scripts"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest moment that a zip file can tell; every file has it, so that the bytes depend on the content alone."""
_FILE_MODE = 0o100644 << 16
_LEFT_OUT = ("__pycache__",)


class WheelFault(Exception):
    """The source can't be built, or a requirement can't be met; the message names the file and the remedy."""


@dataclass(frozen=True)
class Source:
    """A package's source. ``content``: the SHA-256 of all that goes into a release, the lock of its requirements too."""

    name: str
    version: str
    content: str
    files: tuple[tuple[str, bytes], ...]
    project: dict[str, Any]

    @property
    def wheel_name(self) -> str:
        """The file name of its wheel."""
        return f"{self.name}-{self.version}-py3-none-any.whl"


@dataclass(frozen=True)
class Requirement:
    """One line of the lock: a distribution, its version, and the SHA-256 of every file that will do."""

    name: str
    version: str
    hashes: frozenset[str]


def read_source(directory: Path) -> Source:
    """The source below ``directory``. :raises WheelFault: it is not there, or not understood."""
    whole = _read_project(directory / _PROJECT)
    project = whole["project"]
    strange = sorted(set(project) - _KNOWN)
    if strange:
        raise WheelFault(f"{directory / _PROJECT}: [project] has {', '.join(strange)}, which the wheel would lack")
    find = whole.get("tool", {}).get("setuptools", {}).get("packages", {}).get("find", {})
    root = directory / str(find.get("where", ["src"])[0])
    files = tuple(_files(root, _data_names(whole)))
    if not files:
        raise WheelFault(f"{root}: there are no Python files; the collection's folder files/kuutamod is not whole")
    digest = hashlib.sha256()
    whole_content = [*files, (_PROJECT, (directory / _PROJECT).read_bytes()), (LOCK, (directory / LOCK).read_bytes())]
    for name, data in whole_content:
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return Source(re.sub(r"[-_.]+", "_", project["name"]), project["version"], digest.hexdigest(), files, project)


def _read_project(path: Path) -> dict[str, Any]:
    try:
        whole = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WheelFault(f"{path}: there is no such file; name the folder with kuutamod's pyproject.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WheelFault(f"{path}: it is not TOML: {error}") from None
    project = whole.get("project")
    if not isinstance(project, dict) or not project.get("name") or not project.get("version"):
        raise WheelFault(f"{path}: [project] has no name or no version")
    return whole


def _data_names(whole: dict[str, Any]) -> frozenset[str]:
    data = whole.get("tool", {}).get("setuptools", {}).get("package-data", {})
    return frozenset(name for names in data.values() for name in names)


def _files(root: Path, data_names: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if not path.is_file() or not {*_LEFT_OUT}.isdisjoint(inside.parts) or inside.parts[0].endswith(".egg-info"):
            continue
        if path.suffix == ".py" or path.name in data_names:
            yield inside.as_posix(), path.read_bytes()


def build(source: Source) -> bytes:
    """The wheel's bytes."""
    info = f"{source.name}-{source.version}.dist-info"
    entries = [*source.files, *((f"{info}/{name}", text.encode()) for name, text in _info_files(source))]
    record = "".join(f"{name},sha256={_record_hash(data)},{len(data)}\n" for name, data in entries)
    entries.append((f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode()))
    whole = io.BytesIO()
    # Stored, not deflated: what deflate makes depends on the library.
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries:
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = _FILE_MODE
            member.create_system = 3
            archive.writestr(member, data)
    return whole.getvalue()


def _info_files(source: Source) -> Iterator[tuple[str, str]]:
    project = source.project
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {source.version}"]
    lines += [f"Summary: {project['description']}"] if "description" in project else []
    lines += [f"License: {project['license']}"] if "license" in project else []
    lines += [f"Requires-Python: {project['requires-python']}"] if "requires-python" in project else []
    lines += [f"Requires-Dist: {each}" for each in project.get("dependencies", ())]
    yield "METADATA", "\n".join(lines) + "\n"
    yield "WHEEL", "Wheel-Version: 1.0\nGenerator: kuutamo.near\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    scripts = "".join(f"{name} = {target}\n" for name, target in sorted(project.get("scripts", {}).items()))
    yield "entry_points.txt", f"[console_scripts]\n{scripts}"
    packages = sorted({name.partition("/")[0] for name, _data in source.files})
    yield "top_level.txt", "".join(f"{name}\n" for name in packages)


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def read_lock(path: Path) -> tuple[Requirement, ...]:
    """Every requirement of a lock that `pip-compile --generate-hashes` wrote. :raises WheelFault: it is not one."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WheelFault(f"{path}: there is no such file") from None
    found = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        name, pin, version = words[0].partition("==")
        hashes = frozenset(word.removeprefix("--hash=sha256:") for word in words[1:])
        if not pin or not hashes or any(word.startswith("--") for word in hashes):
            raise WheelFault(f"{path}: {words[0]!r} is not pinned with == and --hash=sha256:; make the lock anew")
        found.append(Requirement(name, version, hashes))
    return tuple(found)


def pick(requirements: tuple[Requirement, ...], directory: Path) -> tuple[dict[str, Path], list[str]]:
    """The pure wheel of each requirement in ``directory`` by its name, and the requirements that have none there."""
    wheels = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.glob("*-none-any.whl"))}
    found: dict[str, Path] = {}
    missing = []
    for each in requirements:
        fit = [path for path, digest in wheels.items() if digest in each.hashes]
        if fit:
            found[each.name] = fit[0]
        else:
            missing.append(f"{each.name}=={each.version}")
    return found, missing


def demands(requirements: tuple[Requirement, ...], source: Source, wheel: bytes) -> str:
    """The text of a requirements file that names every file of the wheelhouse by its hash, kuutamod's own too."""
    lines = []
    for each in requirements:
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in sorted(each.hashes))
        lines.append(f"{each.name}=={each.version} {hashes}")
    lines.append(f"{source.project['name']}=={source.version} --hash=sha256:{hashlib.sha256(wheel).hexdigest()}")
    return "\n".join(lines) + "\n"
