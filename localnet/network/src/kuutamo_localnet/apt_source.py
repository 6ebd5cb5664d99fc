# SPDX-License-Identifier: Apache-2.0
"""Downloading one package of another Debian release with this machine's own apt configuration, system untouched.

The machine's own Debian archive, proxies, credentials and keys are used: only the release's name is replaced, and the
lists, the cache and the package status are private ones in a scratch directory.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

KEYRINGS = Path("/usr/share/keyrings")
APT_DEADLINE = 180.0  # seconds for one apt command; one release's package list is about 8 MB
# Names of suites of the main archive; its security, updates and backports suites hold other packages.
MAIN_SUITES = frozenset(
    {"bullseye", "bookworm", "trixie", "forky", "duke", "sid", "oldoldstable", "oldstable", "stable", "testing"}
    | {"unstable"}
)


class AptError(Exception):
    """The package could not be fetched; the message says which step failed and why."""


@dataclass(frozen=True)
class AptSource:
    """One archive of the machine's configuration. `signed_by` is the option's text, empty when there is none."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""

    def is_main_archive(self) -> bool:
        """Whether this looks like Debian's main archive or a mirror of it."""
        return "main" in self.components and bool(MAIN_SUITES.intersection(self.suites)) and "security" not in self.uri

    def likelihood(self) -> int:
        """How much this looks like Debian's own archive rather than someone else's with Debian's suite names."""
        return ("debian-archive" in self.signed_by) * 2 + self.uri.rstrip("/").endswith("/debian")

    def stanza(self, suite: str) -> str:
        """A deb822 source for `suite` of this archive, package index only."""
        lines = ["Types: deb", f"URIs: {self.uri}", f"Suites: {suite}", "Components: main", "Targets: Packages"]
        if self.signed_by:
            lines.append(f"Signed-By: {self.signed_by}")
        return "\n".join(lines) + "\n"


def parse_deb822(text: str) -> list[AptSource]:
    """The enabled binary sources of a `.sources` file, one for each URI."""
    sources: list[AptSource] = []
    for fields in _stanzas(text):
        enabled = fields.get("enabled", "yes").strip().lower() not in ("no", "false", "without", "off", "disable")
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
        for uri in fields.get("uris", "").split():
            sources.append(AptSource(uri, tuple(suites), tuple(components), fields.get("signed-by", "")))
    return sources


def _stanzas(text: str) -> Iterable[dict[str, str]]:
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif line[0] in " \t":
            # Kept as it stands: an embedded key block has meaningful lines.
            fields[name] += "\n" + line
        elif ":" in line:
            raw, _unused, value = line.partition(":")
            name = raw.strip().lower()
            fields[name] = value.strip()


def parse_one_line(text: str) -> list[AptSource]:
    """The binary sources of a `.list` file (`deb [options] URI suite components...`)."""
    sources: list[AptSource] = []
    for raw in text.splitlines():
        kind, _unused, rest = raw.partition("#")[0].strip().partition(" ")
        if kind != "deb":
            continue
        options, rest = "", rest.strip()
        if rest.startswith("["):
            options, _unused, rest = rest[1:].partition("]")
        signed_by = next((o.partition("=")[2] for o in options.split() if o.startswith("signed-by=")), "")
        uri, suite, *components = [*rest.split(), "", ""]
        sources.append(AptSource(uri, (suite,), tuple(filter(None, components)), signed_by.replace(",", " ")))
    return sources


def machine_sources() -> list[AptSource]:
    """The machine's main Debian archives, the likeliest first. Raises AptError when there is none."""
    answer = _run(["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"], Path("/"))
    values = dict(line.split("=", 1) for line in answer.splitlines())
    main, parts = (Path(values[key].strip("'")) for key in ("LIST", "PARTS"))
    files = [main, *(sorted(parts.iterdir()) if parts.is_dir() else [])]
    found: list[AptSource] = []
    for file in files:
        if file.suffix in (".sources", ".list") and file.is_file() and os.access(file, os.R_OK):
            parse = parse_deb822 if file.suffix == ".sources" else parse_one_line
            found += [source for source in parse(file.read_text(errors="replace")) if source.is_main_archive()]
    if not found:
        raise AptError(f"no source of Debian's main archive in {main} or {parts}")
    # Several suites of one archive are one source here.
    return sorted(dict.fromkeys(replace(s, suites=(), components=()) for s in found), key=lambda s: -s.likelihood())


def with_archive_keys(source: AptSource) -> AptSource:
    """`source` also trusting the installed keys of Debian's archives: an older release may be signed by those only."""
    if "BEGIN PGP" in source.signed_by:
        return source
    keyrings = [str(path) for path in sorted(KEYRINGS.glob("debian-archive-*.gpg")) if "removed" not in path.name]
    return replace(source, signed_by=" ".join(dict.fromkeys([*source.signed_by.split(), *keyrings])))


def fetch_package(package: str, suite: str, scratch: Path) -> Path:
    """Download `package` of Debian's `suite` into `scratch` and unpack it there; returns the unpacked root.

    Works for any user: nothing outside `scratch` is written and no hook of the machine's apt configuration runs.
    apt verifies the release's signature and the package's hash. Raises AptError.
    """
    reasons: list[str] = []
    for number, source in enumerate(machine_sources()):
        directory = scratch / str(number)
        try:
            return _fetch_from(with_archive_keys(source), package, suite, directory)
        except AptError as error:
            reasons.append(str(error))
    raise AptError("; ".join(reasons))


def _fetch_from(source: AptSource, package: str, suite: str, directory: Path) -> Path:
    for name in ("lists/partial", "cache/archives/partial", "parts", "preferences", "download"):
        (directory / name).mkdir(parents=True)
    (directory / "debian.sources").write_text(source.stanza(suite))
    (directory / "status").touch()
    config = directory / "apt.conf"
    config.write_text(_configuration(directory))
    download = directory / "download"
    _run(["apt-get", "-c", str(config), "-qq", "update"], download)
    _run(["apt-get", "-c", str(config), "-qq", "download", package], download)
    archives = sorted(download.glob("*.deb"))
    if len(archives) != 1:
        raise AptError(f"apt-get downloaded {len(archives)} packages instead of one")
    root = directory / "root"
    _run(["dpkg-deb", "-x", str(archives[0]), str(root)], download)
    return root


def _configuration(directory: Path) -> str:
    """Settings read after the machine's own (apt-get -c), so that proxies, retries and credentials stay."""
    settings = {
        "Dir::Etc::sourcelist": directory / "debian.sources",
        "Dir::Etc::sourceparts": directory / "parts",
        "Dir::Etc::preferences": directory / "none",
        "Dir::Etc::preferencesparts": directory / "preferences",
        "Dir::State::lists": directory / "lists",
        "Dir::State::status": directory / "status",
        "Dir::Cache": directory / "cache",
        # The unprivileged user of apt's methods cannot enter a cache directory of root.
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "15",
        "Acquire::https::Timeout": "15",
    }
    hooks = ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"]
    lines = [f"#clear {hook};" for hook in hooks] + [f'{name} "{value}";' for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _run(argv: list[str], cwd: Path) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    environment.pop("APT_CONFIG", None)
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=APT_DEADLINE,
            check=False,
        )
    except FileNotFoundError:
        raise AptError(f"{argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise AptError(f"{argv[0]} did not finish within {APT_DEADLINE:g} s") from None
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
        raise AptError(f"{argv[0]} failed: {' '.join(complaints).strip() or f'exit code {done.returncode}'}")
    return done.stdout
