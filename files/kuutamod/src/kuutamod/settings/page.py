# SPDX-License-Identifier: Apache-2.0
"""The page docs/settings.md, made from the settings themselves."""

from __future__ import annotations

from .fields import GROUPS, Setting

_HEAD = """\
<!-- Made by `python -m kuutamod.settings > docs/settings.md`; change the settings, not this page. -->
# Settings of kuutamod

A flag wins over its environment variable, the variable over the default. All settings are checked together before
anything is started: all faults are listed at once, and the exit code is 2. Times are seconds without a unit, such as `2`
or `0.5`. `localhost` stands for 127.0.0.1, relative paths start at the working directory, and links are followed when a
file is used, not when kuutamod starts. An empty environment variable counts as not set where there is no default.

kuutamoctl takes `--consul-url`, `--account-id` and the other settings of Consul from the same flags and variables;
`kuutamoctl check` takes all of them.

In neard's `config.json` kuutamod owns `network.addr` and nothing else; it reads `rpc.addr`, `store.path` and the
`tracked_*` fields. Comments in it are allowed and kept.
"""


def page() -> str:
    """The page's text."""
    return _HEAD + "".join(
        f"\n## {group.title}\n\n| flag | environment variable | default | unit or form | meaning |\n|---|---|---|---|---|\n"
        + "".join(_row(setting) for setting in group.settings)
        for group in GROUPS
    )


def _row(setting: Setting) -> str:
    flag = f"`{setting.flag}`" if setting.flag else "none"
    default = f"`{setting.default}`" if setting.default is not None else _quoted(setting.fallback)
    form = " or ".join(f"`{choice}`" for choice in setting.choices) or _quoted(setting.kind)
    return f"| {flag} | `{setting.variable}` | {default} | {form} | {setting.meaning} |\n"


def _quoted(text: str) -> str:
    return f"`{text}`" if any(char in text for char in "[$@:") else text
