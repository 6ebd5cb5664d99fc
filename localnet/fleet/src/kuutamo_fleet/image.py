# SPDX-License-Identifier: Apache-2.0
"""Images of hosts: Debian with systemd and sshd, made from the machine's own Debian archive; no image registry."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from kuutamo_localnet.apt_source import AptError, machine_sources
from kuutamo_localnet.consul_binary import cache_directory

from .errors import FleetError
from .podman import Podman, pipe_of

SUITES = ("trixie", "bookworm")
REPOSITORY = "localhost/kuutamo-host"
RECIPE_LABEL = "near.kuutamo.recipe"
BOOTSTRAP_DEADLINE = 900.0  # seconds

# What a Debian server has after an ordinary installation and Ansible's own needs; the roles install the rest.
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "python3",
    "python3-apt",
    "python3-venv",
    "iproute2",
    "iputils-ping",
    "procps",
    "ca-certificates",
    "nftables",
    "openssh-server",
    "openssl",
    "sudo",
    "acl",
    "unzip",
    "gpg",
    "gpgv",
    "less",
)

# Podman makes the root mount private; systemd's credentials reach a service through a shared one only.
SHARED_MOUNTS_UNIT = """\
[Unit]
Description=Share the root mount, so that services see their credentials
DefaultDependencies=no
Before=sysinit.target systemd-tmpfiles-setup.service
ConditionVirtualization=container

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/mount --make-rshared /
"""
HOST_KEYS_UNIT = """\
[Unit]
Description=Make this host's own ssh keys
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
"""
# The simulated chain of a fleet is a directory which all hosts share, outside of what a hardened unit may write.
CHAIN_DROP_IN = """\
[Service]
ReadWritePaths=-/chain
"""
FILES = {
    "etc/systemd/system/kuutamo-shared-mounts.service": SHARED_MOUNTS_UNIT,
    "etc/systemd/system/kuutamo-ssh-keys.service": HOST_KEYS_UNIT,
    "etc/systemd/system/kuutamod.service.d/50-test-chain.conf": CHAIN_DROP_IN,
    "etc/systemd/system/neard.service.d/50-test-chain.conf": CHAIN_DROP_IN,
    "etc/systemd/system/neard-emergency.service.d/50-test-chain.conf": CHAIN_DROP_IN,
}
LINKS = {
    "etc/systemd/system/sysinit.target.wants/kuutamo-shared-mounts.service": "../kuutamo-shared-mounts.service",
    "etc/systemd/system/ssh.service.wants/kuutamo-ssh-keys.service": "../kuutamo-ssh-keys.service",
}
DIRECTORIES = ("var/log/journal", "root/.ssh", "chain")
EMPTY = ("etc/machine-id", "etc/hostname")
LEFT_OUT = ("etc/ssh/ssh_host_", "var/cache/apt/archives/", "var/lib/apt/lists/", "dev/", "proc/", "sys/", "run/", "tmp/")


def name_of(suite: str) -> str:
    """The image of a Debian suite."""
    return f"{REPOSITORY}:{suite}"


def recipe(suite: str) -> str:
    """A hash of everything that settles what an image consists of, apart from the versions in the archive."""
    parts = [suite, *PACKAGES, *(f"{path}={text}" for path, text in {**FILES, **LINKS}.items()), *DIRECTORIES, *EMPTY]
    return hashlib.sha256("\0".join((*parts, *LEFT_OUT)).encode()).hexdigest()[:16]


def ensure_image(podman: Podman, suite: str, say: Callable[[str], None]) -> bool:
    """Make the image of `suite` unless podman has it as it should be; True when it was made.

    Raises FleetError when the suite is unknown or the image cannot be made.
    """
    if suite not in SUITES:
        raise FleetError(f"suite {suite!r}: no such host image; there are {', '.join(SUITES)}")
    with _locked():
        if podman.image_label(name_of(suite), RECIPE_LABEL) == recipe(suite):
            return False
        say(f"making the image of a Debian {suite} host (about two minutes, once)")
        with (
            tempfile.TemporaryDirectory(prefix="kuutamo-image-") as scratch,
            _bootstrap(podman, suite, Path(scratch)) as root,
        ):
            _import(podman, suite, root)
    return True


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def bootstrap_command(*, root: bool, suite: str, target: Path, mirror: str) -> list[str]:
    """The command that installs `suite`: into the directory `target` by root, into the tar `target` by others."""
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    if root:
        return ["debootstrap", *options, suite, str(target), mirror]
    return ["mmdebstrap", "--mode=unshare", "--format=tar", *options, suite, str(target), mirror]


@contextlib.contextmanager
def _bootstrap(podman: Podman, suite: str, scratch: Path) -> Iterator[IO[bytes]]:
    """A tar stream of an installed system."""
    root = podman.machine.root
    target = scratch / ("root" if root else "root.tar")
    failures = []
    try:
        mirrors = [source.uri for source in machine_sources()]
    except AptError as error:
        raise FleetError(f"no Debian archive to install hosts from: {error}") from None
    for mirror in mirrors:
        argv = bootstrap_command(root=root, suite=suite, target=target, mirror=mirror)
        log = scratch / "bootstrap.log"
        with log.open("w") as output:
            done = subprocess.run(
                argv,
                env=podman.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=BOOTSTRAP_DEADLINE,
                check=False,
            )
        if done.returncode == 0:
            break
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith(("E:", "W:"))]
        failures.append(f"{mirror}: {' '.join(lines[-2:]) or f'{argv[0]} exit code {done.returncode}'}")
        shutil.rmtree(target, ignore_errors=True)
    else:
        raise FleetError(f"no Debian {suite} host could be installed: {'; '.join(failures)}")
    if not root:
        with target.open("rb") as stream:
            yield stream
        return
    with subprocess.Popen(["tar", "-C", str(target), "--numeric-owner", "-c", "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        yield tar.stdout
    if tar.returncode:
        raise FleetError(f"tar of {target} failed with exit code {tar.returncode}")


def _import(podman: Podman, suite: str, source: IO[bytes]) -> None:
    importer = podman.import_image(name_of(suite), {RECIPE_LABEL: recipe(suite)})
    with contextlib.suppress(BrokenPipeError), pipe_of(importer) as sink:
        finish(source, sink)
    assert importer.stderr is not None
    said = importer.stderr.read().decode(errors="replace").strip()
    if importer.wait():
        raise FleetError(f"podman import of the {suite} image failed: {said}")


def finish(source: IO[bytes], sink: IO[bytes]) -> None:
    """Copy a tar of an installed system, without what must not be shared by hosts and with what a test host adds."""
    added = {*FILES, *LINKS, *DIRECTORIES, *EMPTY}
    with tarfile.open(fileobj=source, mode="r|") as old, tarfile.open(fileobj=sink, mode="w|") as new:
        for member in old:
            name = member.name.removeprefix("./").strip("/")
            if name in added or any(name.startswith(prefix) for prefix in LEFT_OUT):
                continue
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
        for name in DIRECTORIES:
            _add(new, name, tarfile.DIRTYPE, 0o700 if name.startswith("root") else 0o755)
        for name, target in LINKS.items():
            _add(new, name, tarfile.SYMTYPE, 0o777, link=target)
        for name, text in {**FILES, **dict.fromkeys(EMPTY, "")}.items():
            _add(new, name, tarfile.REGTYPE, 0o644, content=text.encode())


def _add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, *, link: str = "", content: bytes = b"") -> None:
    member = tarfile.TarInfo(f"./{name}")
    member.type, member.mode, member.linkname, member.size = kind, mode, link, len(content)
    member.mtime = int(os.environ.get("SOURCE_DATE_EPOCH", "0")) or 1
    tar.addfile(member, io.BytesIO(content) if content else None)
