# SPDX-License-Identifier: Apache-2.0
"""Makes an apt repository of Consul as HashiCorp's is, signed with a key of its own, that lasts for one run.

    python3 make_repository.py ARCHIVE VERSION DIRECTORY

It has the program of the release ARCHIVE as VERSION, and a newer version whose number begins alike. Prints the
fingerprint of the key; its public part is DIRECTORY/key.asc, the repository DIRECTORY/apt. Needs gpg and dpkg-deb.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

SUITES = ("bookworm", "trixie")
NOBODY = "#!/bin/sh\necho this is not the version that was asked for\nexit 1\n"
# What HashiCorp's scripts do: they give Consul's user all of the configuration, and an upgrade restarts the agent.
SCRIPTS = {
    "preinst": "id -u consul >/dev/null 2>&1 || useradd --system --user-group --shell /bin/false consul\n",
    "postinst": "chown -R consul:consul /etc/consul.d\nsystemctl daemon-reload >/dev/null || true\n",
    "postrm": """if [ "$1" = upgrade ]; then
    systemctl daemon-reload >/dev/null || true
    systemctl restart consul >/dev/null || true
fi
""",
}


def run(*words: str | Path) -> str:
    """The answer of a program."""
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


def package(pool: Path, version: str, program: bytes, architecture: str) -> str:
    """Its entry in the list of packages."""
    tree = pool.parent / f"tree-{version}"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/consul").write_bytes(program)
    (tree / "usr/bin/consul").chmod(0o755)
    # The package's own configuration, which the role takes away.
    (tree / "etc/consul.d").mkdir(parents=True)
    (tree / "etc/consul.d/consul.hcl").write_text('data_dir = "/opt/consul"\n', encoding="utf-8")
    control = (
        f"Package: consul\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: nobody <nobody@example.org>\n"
        "Description: for one run\n"
    )
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(control, encoding="utf-8")
    for name, script in SCRIPTS.items():
        (tree / "DEBIAN" / name).write_text(f"#!/bin/sh\nset -e\n{script}", encoding="utf-8")
        (tree / "DEBIAN" / name).chmod(0o755)
    file = pool / f"consul_{version}_{architecture}.deb"
    run("dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, file)
    shutil.rmtree(tree)
    content = file.read_bytes()
    return f"{control}Filename: pool/{file.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"


def main(archive: str, version: str, directory: str) -> str:
    """The fingerprint of the key."""
    place, home = Path(directory), Path(directory) / "gpg"
    shutil.rmtree(place, ignore_errors=True)
    home.mkdir(parents=True, mode=0o700)
    gpg = ("gpg", "--batch", "--homedir", home)
    try:
        run(*gpg, "--passphrase", "", "--quick-generate-key", "nobody@example.org", "ed25519", "sign", "never")
        (place / "key.asc").write_text(run(*gpg, "--armor", "--export"), encoding="ascii")
        architecture = run("dpkg", "--print-architecture").strip()
        pool = place / "apt/pool"
        pool.mkdir(parents=True)
        with zipfile.ZipFile(archive) as content:
            program = content.read("consul")
        entries = [package(pool, f"{version}-1", program, architecture)]
        entries.append(package(pool, f"{version}0-1", NOBODY.encode(), architecture))
        for suite in SUITES:
            lists = place / "apt/dists" / suite
            packages = lists / f"main/binary-{architecture}/Packages"
            packages.parent.mkdir(parents=True)
            packages.write_text("\n".join(entries), encoding="utf-8")
            text = packages.read_bytes()
            name = packages.relative_to(lists)
            (lists / "Release").write_text(
                f"Suite: {suite}\nCodename: {suite}\nArchitectures: {architecture}\nComponents: main\n"
                f"Date: {run('date', '-Ru')}SHA256:\n {hashlib.sha256(text).hexdigest()} {len(text)} {name}\n",
                encoding="utf-8",
            )
            run(*gpg, "--clearsign", "--output", lists / "InRelease", lists / "Release")
        return re.findall(r"^fpr:+([0-9A-F]+):", run(*gpg, "--with-colons", "--list-keys"), re.MULTILINE)[0]
    finally:
        # The agent that gpg has started for this directory.
        run("gpgconf", "--homedir", home, "--kill", "all")


if __name__ == "__main__":
    print(main(*sys.argv[1:4]))
