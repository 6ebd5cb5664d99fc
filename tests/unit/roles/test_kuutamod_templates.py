# SPDX-License-Identifier: Apache-2.0
"""What the role kuutamod writes on a host, where its templates need nothing of Ansible."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from unit.collection.tracked import ROOT

ROLE = ROOT / "roles/kuutamod"
CTL = {
    "kuutamod_account_id": "fleet.near",
    "kuutamod_consul_url": "https://127.0.0.1:8501",
    "kuutamod_consul_ca_file": "/ca.pem",
    "kuutamod_consul_cert_file": "",
    "kuutamod_consul_key_file": "",
    "kuutamod_consul_token_file": "",
    "kuutamod_user": "neard",
    "kuutamod_group": "neard",
    "__kuutamod_environment_file": "/etc/kuutamod/environment",
    "__kuutamod_load_credentials": ["LoadCredential=a:/b"],
}


def rendered(text: str, variables: dict[str, Any]) -> str:
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(text).render(variables)


def sandbox(**variables: Any) -> list[str]:
    """The lines of the sandbox, of the role's own variables."""
    ours = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    writable = yaml.safe_load(rendered(ours["__kuutamod_writable"], variables))
    return [rendered(line, {"__kuutamod_writable": writable}) for line in ours["__kuutamod_sandbox"]]


@pytest.mark.parametrize(
    ("data", "more", "paths"),
    [("", [], "/home"), ("/data", [], "/home /data"), ("/data", ["/a", "/b"], "/home /data /a /b")],
)
def test_neard_may_write_where_its_database_is(data: str, more: list[str], paths: str) -> None:
    found = sandbox(kuutamod_neard_home="/home", kuutamod_neard_data_dir=data, kuutamod_read_write_paths=more)
    assert found == ["ProtectSystem=strict", f"ReadWritePaths={paths}"]


def test_kuutamoctl_has_all_that_the_fleet_s_consul_asks_for(tmp_path: Path) -> None:
    program = tmp_path / "bin/kuutamoctl"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nenv | grep ^KUUTAMO_ | sort\n")
    program.chmod(0o755)
    given = {
        **CTL,
        "kuutamod_consul_cert_file": "/cert.pem",
        "kuutamod_consul_key_file": "/key.pem",
        "__kuutamod_current": str(tmp_path),
        "__kuutamod_sandbox": sandbox(
            kuutamod_neard_home="/home", kuutamod_neard_data_dir="", kuutamod_read_write_paths=[]
        ),
    }
    script = tmp_path / "kuutamoctl"
    script.write_text(rendered((ROLE / "templates/kuutamoctl.j2").read_text(encoding="utf-8"), given))

    def said(**environment: str) -> list[str]:
        done = subprocess.run(
            ["sh", script, "status"], env={"PATH": os.defpath, **environment}, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    fleet = [
        "KUUTAMO_ACCOUNT_ID=fleet.near",
        "KUUTAMO_CONSUL_CA_FILE=/ca.pem",
        "KUUTAMO_CONSUL_CERT_FILE=/cert.pem",
        "KUUTAMO_CONSUL_KEY_FILE=/key.pem",
        "KUUTAMO_CONSUL_URL=https://127.0.0.1:8501",
    ]
    assert said() == fleet
    assert "KUUTAMO_CONSUL_KEY_FILE=/mine.pem" in said(KUUTAMO_CONSUL_KEY_FILE="/mine.pem")
