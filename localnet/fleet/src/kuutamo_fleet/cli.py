# SPDX-License-Identifier: Apache-2.0
"""The command line `kuutamo-fleet`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from kuutamo_localnet.consul_binary import ConsulNotFoundError

from .archives import make_archives
from .demo import Demo
from .errors import FleetError
from .faults import fill_disk, free_disk, heal, partition
from .figures import Measurement
from .fleet import down, open_fleet, settle, up
from .hosts import Hosts, State
from .image import SUITES, ensure_image
from .operate import Operator
from .plan import DEFAULT_ACCOUNT, DEFAULT_HOSTS, DEFAULT_NAME, Wish
from .podman import Podman
from .site import DIRECTORY_VARIABLE, Site, default_directory
from .strikes import STRIKES, choose, strike
from .verdict import find


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit code: 2 for a wrong command line, 1 for what went wrong later."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except (FleetError, ConsulNotFoundError, OSError, ValueError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"kuutamo-fleet: {error}\n")
        return 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kuutamo-fleet",
        description="Fleets of Debian hosts that boot systemd in containers, with an inventory for Ansible.",
        allow_abbrev=False,
    )
    text = f"where fleets keep their files (default: ${DIRECTORY_VARIABLE}, else build/fleet)"
    parser.add_argument("--dir", type=Path, default=default_directory(), metavar="DIR", help=text)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, *, host: bool = False
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=run)
        if host:
            added.add_argument("host", metavar="HOST", help="a host's name")
        if name not in ("image", "archives"):
            added.add_argument("--name", default=DEFAULT_NAME, help="the fleet (default: %(default)s)")
        return added

    image = command("image", _image, "make the images of hosts that are missing or outdated")
    image.add_argument("suite", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)} (default: all)")
    _add_up(command("up", _up, "bring up a fleet, or add hosts to it; what runs already stays as it is"))
    command("archives", _archives, "make the release archives of Consul and of the stand-in neard")
    command("down", _down, "remove a fleet and all its files")
    command("status", _status, "the hosts and what they are doing")
    execute = command("exec", _exec, "run a program on a host", host=True)
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND", help="the program and its arguments")
    command("freeze", _freeze, "stop a whole host in time, as a hypervisor does", host=True)
    command("thaw", _thaw, "let a frozen host go on", host=True)
    command("stop-host", _stop, "shut a host down in order", host=True)
    command("kill-host", _kill, "cut a host's power", host=True)
    command("start-host", _start, "start a stopped host", host=True)
    cut = command("partition", _partition, "cut a host off from its peers; ssh from here still works", host=True)
    cut.add_argument("--from", nargs="+", default=[], dest="peers", metavar="HOST", help="from these alone (default: all)")
    command("heal", _heal, "undo a partition", host=True)
    command("fill-disk", _fill, "fill a host's disk to the last byte (needs `up --disks`)", host=True)
    command("free-disk", _free, "take away what filled a host's disk", host=True)
    show = command("demo", _demo, "a fleet of three, deployed, handed over, taken over; it stays up")
    show.add_argument("--neard-archive", type=Path, metavar="FILE", help="a neard release (tar) in place of the stand-in")
    measure = command("figures", _figures, "measure deploys, handovers and an upgrade on a fleet made for it")
    text = "so many handovers (default: %(default)s)"
    measure.add_argument("--handovers", type=int, default=10, metavar="N", help=text)
    measure.add_argument("--out", type=Path, metavar="FILE", help="where to write them as JSON")
    measure.set_defaults(name="figures")
    hit = command(
        "strike", _strike, "strike the host that validates, see who takes over, and judge it; one after the other"
    )
    text = f"of {', '.join(item.name for item in STRIKES)} (default: all)"
    hit.add_argument("strikes", nargs="*", metavar="STRIKE", help=text)
    referee = command("referee", _referee, "who signed when on the hosts' chain; exit 1 when it was not safe")
    referee.add_argument("--json", action="store_true", help="as JSON")
    text = "look at gaps and name missed duties after this moment alone (`clock` of an earlier answer, seconds since boot)"
    referee.add_argument("--since", type=float, default=0.0, metavar="CLOCK", help=text)
    text = "exit 1 also after a longer time without a signer"
    referee.add_argument("--longest-gap", type=float, metavar="SECONDS", help=text)
    return parser


def _add_up(parser: argparse.ArgumentParser) -> None:
    text = f"so many hosts, node0, node1 and so on (default: {DEFAULT_HOSTS})"
    parser.add_argument("--hosts", type=int, dest="count", metavar="N", help=text)
    text = "a host of this name, of a suite of its own when given; may be repeated"
    parser.add_argument("--host", action="extend", nargs="+", default=[], dest="hosts", metavar="NAME[:SUITE]", help=text)
    parser.add_argument("--suite", help=f"Debian of the hosts: {', '.join(SUITES)} (default: {SUITES[0]})")
    text = "hosts that are validators only, with a Consul client agent"
    parser.add_argument("--clients", nargs="+", default=[], metavar="NAME[:SUITE]", help=text)
    text = "hosts that are Consul servers only"
    parser.add_argument("--servers", nargs="+", default=[], metavar="NAME[:SUITE]", help=text)
    parser.add_argument("--account", help=f"the validator account (default: {DEFAULT_ACCOUNT})")
    parser.add_argument("--internal", action="store_true", default=None, help="a network without any way out")
    text = "a neard release (tar) in place of the stand-in; it makes a chain of its own"
    parser.add_argument("--neard-archive", type=Path, metavar="FILE", help=text)
    parser.add_argument(
        "--disks", action="store_true", default=None, help="disks of their own for data, which can be filled up"
    )


def _image(options: argparse.Namespace) -> int:
    podman = Podman.prepare(options.dir)
    for suite in options.suite or SUITES:
        _say(f"image of {suite}: {'made' if ensure_image(podman, suite, _say) else 'already there'}")
    return 0


def _archives(options: argparse.Namespace) -> int:
    for archive in make_archives(Site(options.dir, "").archives).values():
        _say(f"{archive.sha256}  {archive.path}")
    return 0


def _up(options: argparse.Namespace) -> int:
    wish = Wish(
        name=options.name,
        count=options.count,
        hosts=tuple(options.hosts),
        suite=options.suite,
        clients=tuple(options.clients),
        servers=tuple(options.servers),
        account=options.account,
        internal=options.internal,
        disks=options.disks,
        neard_archive=None if options.neard_archive is None else str(options.neard_archive.resolve()),
    )
    up(options.dir, wish, _say)
    return 0


def _down(options: argparse.Namespace) -> int:
    down(options.dir, options.name, _say)
    return 0


def _open(options: argparse.Namespace) -> Hosts:
    return open_fleet(options.dir, options.name)


def _status(options: argparse.Namespace) -> int:
    hosts = _open(options)
    reach = hosts.reach()
    for name, state in hosts.states().items():
        host = hosts.plan.host(name)
        _say(f"{name:<16} {state:<8} {reach[name].address:<16} {host.suite:<9} {' '.join(host.groups)}")
    return 0


def _exec(options: argparse.Namespace) -> int:
    hosts = _open(options)
    container = hosts.container(options.host, State.RUNNING)
    if not options.argv:
        raise FleetError(f"exec {options.host}: which program? For a shell: exec {options.host} bash")
    terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    argv = ["podman", "exec", "--interactive", *terminal, container, *options.argv]
    return subprocess.run(argv, env=hosts.podman.environment, check=False).returncode


def _freeze(options: argparse.Namespace) -> int:
    _open(options).freeze(options.host)
    _say(f"{options.host}: frozen")
    return 0


def _thaw(options: argparse.Namespace) -> int:
    _open(options).thaw(options.host)
    _say(f"{options.host}: goes on")
    return 0


def _stop(options: argparse.Namespace) -> int:
    _open(options).stop(options.host)
    _say(f"{options.host}: stopped")
    return 0


def _kill(options: argparse.Namespace) -> int:
    _open(options).kill(options.host)
    _say(f"{options.host}: killed")
    return 0


def _start(options: argparse.Namespace) -> int:
    hosts = _open(options)
    hosts.start(options.host)
    settle(hosts)
    _say(f"{options.host}: started")
    return 0


def _partition(options: argparse.Namespace) -> int:
    partition(_open(options), options.host, options.peers)
    _say(f"{options.host}: cut off from {', '.join(options.peers) or 'all other hosts'}")
    return 0


def _heal(options: argparse.Namespace) -> int:
    heal(_open(options), options.host)
    _say(f"{options.host}: reaches all hosts again")
    return 0


def _fill(options: argparse.Namespace) -> int:
    size = fill_disk(_open(options), options.host)
    _say(f"{options.host}: the disk is full, {size >> 10} kB are in use")
    return 0


def _free(options: argparse.Namespace) -> int:
    free_disk(_open(options), options.host)
    _say(f"{options.host}: disk freed")
    return 0


def _strike(options: argparse.Namespace) -> int:
    chosen = choose(options.strikes)
    operator = Operator(_open(options), Path.cwd(), _say)
    for item in chosen:
        _say(strike(operator, item))
    return 0


def _project() -> Path:
    project = Path.cwd()
    if not (project / "galaxy.yml").exists():
        raise FleetError(f"{project} is no checkout of the collection: run this where galaxy.yml is")
    return project


def _figures(options: argparse.Namespace) -> int:
    if options.handovers < 1:
        raise FleetError(f"--handovers {options.handovers}: at least 1")
    found = Measurement(_project(), options.dir, Wish(options.name), _say).run(options.handovers)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found.to_json(), indent=2) + "\n")
    _say("\n" + found.table())
    return 0


def _demo(options: argparse.Namespace) -> int:
    archive = None if options.neard_archive is None else str(options.neard_archive.resolve())
    Demo(_project(), options.dir, Wish(options.name, neard_archive=archive), _say).run()
    return 0


def _referee(options: argparse.Namespace) -> int:
    finding = find(open_fleet(options.dir, options.name).site.chain, options.since, options.longest_gap)
    _say(json.dumps(finding.to_json(), indent=2) if options.json else finding.story())
    return 0 if finding.good else 1


if __name__ == "__main__":
    sys.exit(main())
