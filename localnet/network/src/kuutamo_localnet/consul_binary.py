# SPDX-License-Identifier: Apache-2.0
"""Finding a real Consul: named by the user, installed, cached, HashiCorp's release, or Debian's package."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from .apt_source import AptError, fetch_package

Version = tuple[int, int, int]

OLDEST: Version = (1, 8, 0)  # the oldest series the lock protocol was measured on
RELEASE_SITE = "https://releases.hashicorp.com"
RELEASE_VERSION = "1.20.2"
DEBIAN_SUITE = "bullseye"  # the last Debian release that ships Consul (1.8.7)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CONNECT_DEADLINE = 3.0  # seconds; a machine without a way out should not wait longer
READ_DEADLINE = 30.0  # seconds between two pieces of a download
VERSION_DEADLINE = 20.0  # seconds for `consul version`
LOCK_DEADLINE = 400.0  # seconds to wait for another run that is filling the cache


class ConsulNotFoundError(Exception):
    """No usable Consul; the message lists every step, its failure and the remedy."""


class StepError(Exception):
    """One way of finding Consul failed; the message says why."""


@dataclass(frozen=True)
class ConsulBinary:
    """A Consul program that ran and told its version. `origin` says where it was found."""

    path: Path
    version: Version
    origin: str


def cache_directory() -> Path:
    """`$KUUTAMO_CACHE_DIR`, else `$XDG_CACHE_HOME/kuutamo`, else `~/.cache/kuutamo`. Not created."""
    if explicit := os.environ.get("KUUTAMO_CACHE_DIR"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kuutamo"


def examine(path: Path, origin: str) -> ConsulBinary:
    """Run `path version`. Raises StepError when it is no Consul, cannot run here or is too old."""
    try:
        done = subprocess.run(
            [path, "version"], capture_output=True, text=True, timeout=VERSION_DEADLINE, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StepError(f"{path} cannot be run: {error}") from None
    match = re.match(r"Consul v(\d+)\.(\d+)\.(\d+)", done.stdout)
    if match is None:
        raise StepError(f"{path} is not Consul: `version` answered {(done.stdout or done.stderr)[:80]!r}")
    version = (int(match[1]), int(match[2]), int(match[3]))
    if version < OLDEST:
        raise StepError(f"{path} is Consul {_text(version)}, older than {_text(OLDEST)}")
    return ConsulBinary(path, version, origin)


def find_consul() -> ConsulBinary:
    """The first usable Consul of: CONSUL_BIN, PATH, the cache, HashiCorp's release, Debian's package.

    A CONSUL_BIN that is set but unusable is an error, never passed over. May download (once, into the cache).
    Raises ConsulNotFoundError.
    """
    if explicit := os.environ.get("CONSUL_BIN"):
        try:
            return examine(Path(explicit), "CONSUL_BIN")
        except StepError as error:
            raise ConsulNotFoundError(f"CONSUL_BIN={explicit}: {error}. Set it to a Consul program or unset it.") from None
    failures: list[str] = []
    cache = cache_directory() / "consul"

    def attempt(what: str, step: Callable[[], ConsulBinary]) -> ConsulBinary | None:
        try:
            return step()
        except (StepError, AptError, OSError) as error:
            failures.append(f"{what}: {error}")
            return None

    found = attempt("PATH", _from_path) or attempt("cache", lambda: _from_cache(cache))
    if found is not None:
        return found
    try:
        with _locked(cache):
            # Another run may have filled the cache while this one waited for the lock.
            with contextlib.suppress(StepError):
                return _from_cache(cache)
            found = attempt("HashiCorp's release", lambda: _from_release(cache)) or attempt(
                "Debian's package", lambda: _from_debian(cache)
            )
    except OSError as error:
        failures.append(f"cache {cache}: {error}")
    if found is None:
        steps = "\n".join(f"  - {failure}" for failure in failures)
        raise ConsulNotFoundError(
            f"no usable Consul was found:\n{steps}\nInstall Consul, or set CONSUL_BIN to the path of a Consul program."
        )
    return found


def _from_path() -> ConsulBinary:
    path = shutil.which("consul")
    if path is None:
        raise StepError("no program `consul`")
    return examine(Path(path), "PATH")


def _from_cache(cache: Path) -> ConsulBinary:
    reasons: list[str] = []
    for path in sorted(cache.glob("[!.]*/consul"), reverse=True):  # hashicorp-* before debian-*
        try:
            return examine(path, f"cache, {path.parent.name}")
        except StepError as error:
            reasons.append(str(error))
    raise StepError("; ".join(reasons) or f"nothing in {cache}")


def _from_release(cache: Path) -> ConsulBinary:
    """HashiCorp's zip, compared with the SHA256SUMS of the same site.

    What that proves: the zip arrived whole and is the one the site lists; TLS vouches for the site. What it does not
    prove: that the site itself was not tampered with. No hash is pinned here and the signature is not checked, so who
    needs that installs Consul by other means and sets CONSUL_BIN.
    """
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise StepError(f"no build for {platform.machine()}")
    stem = f"consul_{RELEASE_VERSION}"
    name = f"{stem}_linux_{architecture}.zip"
    sums = _download(f"{RELEASE_SITE}/consul/{RELEASE_VERSION}/{stem}_SHA256SUMS").decode(errors="replace")
    expected = next((line.split()[0] for line in sums.splitlines() if line.split()[1:] == [name]), None)
    if expected is None:
        raise StepError(f"SHA256SUMS does not list {name}")
    archive = _download(f"{RELEASE_SITE}/consul/{RELEASE_VERSION}/{name}")
    actual = hashlib.sha256(archive).hexdigest()
    if actual != expected:
        raise StepError(f"{name} has SHA-256 {actual}, SHA256SUMS says {expected}")
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as content:
            program = content.read("consul")
    except (zipfile.BadZipFile, KeyError) as error:
        raise StepError(f"{name} holds no program `consul`: {error}") from None
    with _scratch(cache) as scratch:
        (scratch / "consul").write_bytes(program)
        return _keep(scratch / "consul", cache, f"hashicorp-{RELEASE_VERSION}")


def _download(url: str) -> bytes:
    try:
        answer = requests.get(url, timeout=(CONNECT_DEADLINE, READ_DEADLINE))
        answer.raise_for_status()
    except requests.RequestException as error:
        raise StepError(f"{url}: {type(error).__name__}: {error}") from None
    return answer.content


def _from_debian(cache: Path) -> ConsulBinary:
    with _scratch(cache) as scratch:
        root = fetch_package("consul", DEBIAN_SUITE, scratch)
        return _keep(root / "usr/bin/consul", cache, f"debian-{DEBIAN_SUITE}")


def _keep(program: Path, cache: Path, name: str) -> ConsulBinary:
    """Move a program that works into the cache, whole or not at all."""
    program.chmod(0o755)
    examine(program, name)
    staged = program.parent / "staged"
    staged.mkdir()
    program.rename(staged / "consul")
    target = cache / name
    shutil.rmtree(target, ignore_errors=True)  # only an unusable copy can be there
    staged.rename(target)
    return examine(target / "consul", f"downloaded, {name}")


@contextlib.contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    # In the cache itself, so that the rename stays within one file system.
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as directory:
        yield Path(directory)


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + LOCK_DEADLINE
    with (cache / ".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"another run has held {lock.name} for {LOCK_DEADLINE:g} s") from None
                time.sleep(0.1)
        yield


def _text(version: Version) -> str:
    return ".".join(map(str, version))
