# SPDX-License-Identifier: Apache-2.0
"""``kuutamoctl check``: the preflight of this host's node."""

from __future__ import annotations

import argparse

from ...cli.check_view import as_json, exit_code, render
from ...cli.command import Command, Context, option
from ...cli.screen import has_colour, is_terminal, say, size
from ...preflight.inspect import inspect
from ...settings import ConfigFaults, Fault, Subject
from ...settings.fields import GROUPS


def run(context: Context, options: argparse.Namespace) -> int:
    """Look at everything and print what was found. Faults of the settings are findings like others."""
    given = dict(context.given)
    if options.home is not None:
        if "neard_home" in given:
            subjects = (Subject("--home", None, "flag"), Subject("--neard-home", None, "flag"))
            raise ConfigFaults((Fault(subjects, "they mean the same", "leave one out"),))
        given["neard_home"] = options.home
    found = inspect(given, context.env)
    code = exit_code(found.findings, options.strict)
    if options.json:
        say(as_json(found, code))
    else:
        width = size().columns if is_terminal(context.env) else None
        say(render(found, width, has_colour(context.env)))
    return code


COMMAND = Command(
    name="check",
    about="look at this host's node without starting anything: settings, keys, home, neard, ports, Consul, rights",
    exit_codes="Exit codes: 0 no fault, 1 warnings (with --strict only), 2 faults, or faulty options. It takes kuutamod's "
    "own options and variables.",
    run=run,
    options=(
        option("--home", metavar="DIR", help="neard's home; the same as --neard-home"),
        option("--strict", action="store_true", help="exit with 1 when there are warnings"),
        option("--json", action="store_true", help="print one JSON object"),
    ),
    groups=GROUPS,
)
