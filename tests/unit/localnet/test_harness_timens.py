# SPDX-License-Identifier: Apache-2.0
"""Hosts whose boot clocks differ: what a program sees there, and what it starts on the machine's own clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kuutamo_localnet import timens
from kuutamo_localnet.timens import HostClock, neard_on_own_clock, shifted
from neard_standin.procfs import boottime

DAY = 86400
CLOSE = 60.0  # seconds that a busy machine may need to start a program
CLOCK = "import os, time; print(os.getpid(), time.clock_gettime(time.CLOCK_BOOTTIME))"
needs_time_namespaces = pytest.mark.skipif(
    not timens.available(), reason="no time namespaces here (needs root and Linux 6.3)"
)


def test_a_host_keeps_its_clock_until_it_is_booted_again() -> None:
    clock = HostClock(lambda boot: [DAY, 0, 5 * DAY][boot])
    assert clock.prefix() == clock.prefix() == ["unshare", "--time", "--boottime", "86400"]
    clock.reboot()
    assert clock.prefix() == []
    clock.reboot()
    assert clock.prefix() == shifted(5 * DAY)


@pytest.mark.root
@needs_time_namespaces
def test_a_program_on_such_a_host_sees_another_boot_clock_under_the_same_pid() -> None:
    with subprocess.Popen([*shifted(DAY), sys.executable, "-c", CLOCK], stdout=subprocess.PIPE, text=True) as process:
        said, _unused = process.communicate(timeout=CLOSE)
    pid, clock = said.split()
    assert int(pid) == process.pid
    assert 0 <= float(clock) - DAY - (boottime() - CLOSE) <= CLOSE


@pytest.mark.root
@needs_time_namespaces
def test_neard_stays_on_the_machines_own_clock(tmp_path: Path) -> None:
    neard = tmp_path / "real neard"
    neard.write_text(f"#!{sys.executable}\nimport sys\nprint(*sys.argv[1:])\n{CLOCK}\n")
    neard.chmod(0o755)
    program = neard_on_own_clock(tmp_path / "bin" / "neard", neard)
    begun = boottime()
    done = subprocess.run(
        [*shifted(DAY), str(program), "--home", "a b", "run"], capture_output=True, text=True, timeout=CLOSE, check=True
    )
    arguments, clock = done.stdout.splitlines()
    assert arguments == "--home a b run"
    assert begun <= float(clock.split()[1]) <= boottime()
