# SPDX-License-Identifier: Apache-2.0
"""kuutamoctl: what an operator asks and orders; each command is a module of ``kuutamod.cli.commands``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..consul.faults import ConsulError
from ..settings import ConfigFaults
from .arguments import parse
from .command import BROKEN_PIPE, FAULTY_OPTIONS, INTERRUPTED, Context, complain, failure
from .commands import active_validator, check, confirm, drain, handover, history, key, pause, restart, status

COMMANDS = (
    active_validator.COMMAND,
    status.COMMAND,
    history.COMMAND,
    handover.COMMAND,
    restart.COMMAND,
    drain.DRAIN,
    drain.UNDRAIN,
    pause.PAUSE,
    pause.RESUME,
    check.COMMAND,
    confirm.COMMAND,
    key.COMMAND,
)

_ABOUT = "Asks about the fleet of one validator account, and gives it orders, through Consul."
_EPILOG = (
    "Options may stand before the command, too. `kuutamoctl COMMAND --help` lists those of a command, and its exit codes; "
    "those of all commands: 0 done, 2 faulty options, 3 Consul can't be asked or refuses."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        command, options = parse(sys.argv[1:] if argv is None else argv, COMMANDS, _ABOUT, _EPILOG)
        return command.run(Context(vars(options), os.environ), options)
    except ConfigFaults as found:
        for fault in found.faults:
            complain(str(fault))
        return FAULTY_OPTIONS
    except ConsulError as error:
        text, code = failure(error)
        complain(text)
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; nothing is left to be written when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
