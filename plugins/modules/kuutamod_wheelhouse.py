#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that a host needs to install kuutamod without a network, in one folder on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kuutamod_wheelhouse
short_description: Everything that a host needs to install kuutamod without a network, in one folder on the controller
version_added: 0.1.0
description:
  - Builds a wheel of kuutamod from its source, with the standard library alone. The same source gives the same bytes on
    every controller, and nothing is left in the source's folder.
  - Puts it into a folder together with the wheels of its requirements, each checked against the hashes of
    C(requirements.lock), and a C(requirements.txt) with the hash of every file.
  - Only wheels that any Python 3 can use are taken, so one folder serves hosts of different Debian releases.
  - The folders are kept by content under O(cache_dir), so that a second run does nothing and asks no network.
  - Run it on the controller, which needs Python 3.11 or later.
options:
  source_dir:
    description: The folder with kuutamod's C(pyproject.toml), C(requirements.lock) and source.
    type: path
    required: true
  wheel:
    description: A wheel of kuutamod that was built elsewhere, to be taken instead of a new one.
    type: path
  wheels_dir:
    description:
      - A folder that has the wheels of all requirements already. Then no network is asked.
      - >-
        Fill it with C(pip download --require-hashes --only-binary :all: --no-deps --implementation py --abi none
        --platform any --python-version 3.11 -r requirements.lock).
      - Without it they are fetched with pip, which follows its own settings for indexes and proxies.
    type: path
  cache_dir:
    description: Where the folders are kept.
    type: path
    required: true
attributes:
  check_mode:
    description: Can run in check mode and tell what would change without changing it.
    support: full
    details: The folder is not made, RV(files) is empty unless it is there already.
  diff_mode:
    description: Returns what has changed.
    support: none
    details: A folder is there or it is not; C(changed) tells.
author:
  - The kuutamo.near engineers (@kuutamo)
"""

EXAMPLES = r"""
- name: Make the wheelhouse
  kuutamo.near.kuutamod_wheelhouse:
    source_dir: /usr/share/ansible/collections/ansible_collections/kuutamo/near/files/kuutamod
    cache_dir: ~/.cache/kuutamo
  delegate_to: localhost
  register: wheelhouse
"""

RETURN = r"""
folder:
  description: The folder.
  returned: success
  type: str
  sample: /home/ops/.cache/kuutamo/wheelhouse-5f0c1d2e3a4b
version:
  description: The version of kuutamod in it.
  returned: success
  type: str
  sample: 0.1.0
content:
  description: SHA-256 of all that goes into a release; another content is another release.
  returned: success
  type: str
files:
  description: The names of the files in it.
  returned: success
  type: list
  elements: str
settings:
  description: The settings that this kuutamod has, and the environment variable of each.
  returned: success
  type: dict
  sample: {"fence_deadline": "KUUTAMO_FENCE_DEADLINE"}
"""

import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ansible_collections.kuutamo.near.plugins.module_utils import _wheel
except ImportError:
    _IMPORT_FAULT: str | None = traceback.format_exc()
else:
    _IMPORT_FAULT = None

_DOWNLOAD = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--implementation", "py", "--abi", "none")
_FOR_ALL = (
    "--platform",
    "any",
    "--python-version",
    "3.11",
    "--disable-pip-version-check",
    "--no-input",
    "--timeout",
    "60",
    "--quiet",
)


class Wheelhouse:
    """The folder of one content."""

    def __init__(
        self, module: AnsibleModule, cache: Path, source: _wheel.Source, wheel: bytes, wheel_name: str, lock: Path
    ) -> None:
        self._module = module
        self._cache = cache
        self._source = source
        self._wheel = wheel
        self._wheel_name = wheel_name
        self._lock = lock
        self.content = hashlib.sha256(source.content.encode() + hashlib.sha256(wheel).digest()).hexdigest()
        self.path = cache / f"wheelhouse-{self.content[:12]}"
        self._wheels = cache / f"wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"

    @property
    def exists(self) -> bool:
        """Is it there, and as it was made, with every wheel that the lock asks for?"""
        if not ((self.path / "requirements.txt").is_file() and (self.path / self._wheel_name).is_file()):
            return False
        _found, missing = _wheel.pick(_wheel.read_lock(self._lock), self.path)
        return not missing

    def make(self, given: Path | None) -> None:
        """Make it. ``given``: where the requirements' wheels are. :raises WheelFault: one of them is missing."""
        self._cache.mkdir(parents=True, exist_ok=True)
        requirements = _wheel.read_lock(self._lock)
        wheels, missing = _wheel.pick(requirements, given or self._wheels)
        if missing and given is not None:
            raise _wheel.WheelFault(
                f"{given}: no wheel for every Python 3 with a hash of {self._lock} for {', '.join(missing)}; fill it with "
                f"`pip download {' '.join(_DOWNLOAD + _FOR_ALL[:4])} -d {given} -r {self._lock}`"
            )
        if missing:
            self._fetch()
            wheels, missing = _wheel.pick(requirements, self._wheels)
        if missing:
            raise _wheel.WheelFault(f"{self._wheels}: pip left out {', '.join(missing)}")
        with self._folder(self.path) as new:
            for path in wheels.values():
                shutil.copy(path, new / path.name)
            (new / self._wheel_name).write_bytes(self._wheel)
            (new / "requirements.txt").write_text(_wheel.demands(requirements, self._source, self._wheel), encoding="utf-8")

    def _fetch(self) -> None:
        with self._folder(self._wheels) as new:
            argv = [sys.executable, "-m", "pip", "download", *_DOWNLOAD, *_FOR_ALL, "-d", str(new), "-r", str(self._lock)]
            code, out, err = self._module.run_command(argv)
            if code:
                said = " ".join((err or out).split())[-600:]
                raise _wheel.WheelFault(f"pip can't fetch the requirements of {self._lock}: {said}; {_REMEDY}")

    @contextlib.contextmanager
    def _folder(self, path: Path) -> Iterator[Path]:
        """A new folder that gets its name when it is whole; another run may have made it meanwhile."""
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=self._cache))
        try:
            new.chmod(0o755)
            yield new
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                new.rename(path)
        finally:
            shutil.rmtree(new, ignore_errors=True)


_REMEDY = "give pip an index that it can reach, or fill a folder on another machine and name it in wheels_dir"


def _settings(module: AnsibleModule, package: Path) -> dict[str, str]:
    """What kuutamod itself says that its settings are, by a folder or a wheel that has the package."""
    program = (
        "import json; from kuutamod.settings.fields import SETTINGS; "
        "print(json.dumps({each.name.replace('-', '_'): each.variable for each in SETTINGS}))"
    )
    argv = [sys.executable, "-B", "-c", program]
    code, out, err = module.run_command(argv, environ_update={"PYTHONPATH": str(package)})
    if code:
        raise _wheel.WheelFault(f"{package}: kuutamod can't be asked for its settings: {err.strip()[-300:]}")
    found: dict[str, str] = json.loads(out)
    return found


def _run(module: AnsibleModule) -> dict[str, object]:
    source_dir = Path(module.params["source_dir"])
    source = _wheel.read_source(source_dir)
    given = Path(module.params["wheel"]) if module.params["wheel"] else None
    if given is not None:
        name, wheel = given.name, given.read_bytes()
        if name.split("-")[:2] != [source.name, source.version]:
            raise _wheel.WheelFault(f"{given}: it is not {source.wheel_name}, which belongs to the lock in {source_dir}")
    else:
        name, wheel = source.wheel_name, _wheel.build(source)
    house = Wheelhouse(module, Path(module.params["cache_dir"]), source, wheel, name, source_dir / _wheel.LOCK)
    changed = not house.exists
    if changed and not module.check_mode:
        wheels_dir = module.params["wheels_dir"]
        house.make(Path(wheels_dir) if wheels_dir else None)
    files = sorted(path.name for path in house.path.glob("*")) if house.exists else []
    return {
        "changed": changed,
        "folder": str(house.path),
        "version": source.version,
        "content": house.content,
        "files": files,
        "settings": _settings(module, given or source_dir / "src"),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source_dir": {"type": "path", "required": True},
            "wheel": {"type": "path"},
            "wheels_dir": {"type": "path"},
            "cache_dir": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    if _IMPORT_FAULT is not None:
        why = missing_required_lib("Python 3.11", reason="to read pyproject.toml")
        module.fail_json(msg=why, exception=_IMPORT_FAULT)
    try:
        module.exit_json(**_run(module))
    except (_wheel.WheelFault, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
