# SPDX-License-Identifier: Apache-2.0
"""consul_certificate: an authority in a directory, and what it signs; judged by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from unit.plugins.rig import Answer, run

NAMES: dict[str, Any] = {"dns_names": ["server.dc1.consul", "localhost"], "ip_addresses": ["127.0.0.1", "10.0.0.1"]}


def openssl(*arguments: str | Path, feed: str = "") -> str:
    done = subprocess.run(["openssl", *arguments], input=feed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "agent-key.pem"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    return path


@pytest.fixture
def request_text(key: Path) -> str:
    return openssl("req", "-new", "-key", key, "-subj", "/CN=host-a")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "consul-tls"


def sign(place: Path, text: str, **options: Any) -> Answer:
    return run("consul_certificate", **{"directory": str(place), "request": text, **NAMES, **options})


def test_a_new_fleet_gets_an_authority_once(place: Path) -> None:
    planned = run("consul_certificate", directory=str(place), create_ca=True, check=True)
    assert planned.told == (False, True) and planned["ca"] is None and not place.exists()
    made = run("consul_certificate", directory=str(place), create_ca=True)
    assert made.told == (False, True)
    assert (place / "ca-key.pem").stat().st_mode & 0o777 == 0o600 and place.stat().st_mode & 0o777 == 0o700
    again = run("consul_certificate", directory=str(place), create_ca=True)
    assert again.told == (False, False) and again["ca_fingerprint"] == made["ca_fingerprint"]


@pytest.mark.parametrize("killed_at", ["ca.pem", "ca-key.pem"])
def test_an_authority_that_was_cut_off_while_it_was_made(place: Path, request_text: str, killed_at: str) -> None:
    """The process dies before the rename that puts this file in place."""
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        if target.name == killed_at:
            raise KeyboardInterrupt
        return replace(self, target)

    with patch.object(Path, "replace", dies), pytest.raises(KeyboardInterrupt):
        run("consul_certificate", directory=str(place), create_ca=True)
    assert run("consul_certificate", directory=str(place), create_ca=True, check=True).failed is False
    made = run("consul_certificate", directory=str(place), create_ca=True)
    assert not made.failed, made.results
    assert {path.name for path in place.iterdir() if not path.name.startswith(".")} == {"ca.pem", "ca-key.pem"}
    assert (place / "ca-key.pem").stat().st_mode & 0o777 == 0o600
    assert sign(place, request_text)["ca_fingerprint"] == made["ca_fingerprint"]


def test_an_authority_near_its_end_signs_once_and_is_warned_of(place: Path, request_text: str) -> None:
    first = sign(place, request_text, create_ca=True, ca_days=40)
    assert first["not_after"] == first["ca_not_after"]
    again = sign(place, request_text + first["certificate"])
    assert again.told == (False, False) and again["certificate"] == first["certificate"]
    for answer in (first, again):
        assert "ends on" in answer.warnings and str(place) in answer.warnings and "let a new one follow" in answer.warnings
    # One that ends before its authority is still replaced.
    short = sign(place, request_text, days=10)
    assert sign(place, request_text + short["certificate"])["reasons"] != []
    assert sign(place, request_text + first["certificate"], renew_days=30).warnings == "[]"


def test_what_is_signed_stands_before_openssl(place: Path, request_text: str, key: Path, tmp_path: Path) -> None:
    signed = sign(place, request_text, create_ca=True, days=30)
    (tmp_path / "agent.pem").write_text(signed["certificate"])
    for purpose in ("sslserver", "sslclient"):
        openssl(
            "verify",
            "-purpose",
            purpose,
            "-verify_hostname",
            "server.dc1.consul",
            "-CAfile",
            place / "ca.pem",
            tmp_path / "agent.pem",
        )
    text = openssl("x509", "-noout", "-text", "-in", tmp_path / "agent.pem")
    assert "DNS:server.dc1.consul, DNS:localhost, IP Address:127.0.0.1, IP Address:10.0.0.1" in text and "CA:FALSE" in text
    assert openssl("x509", "-noout", "-serial", "-in", tmp_path / "agent.pem").strip() == f"serial={signed['serial']}"
    assert openssl("x509", "-noout", "-pubkey", "-in", tmp_path / "agent.pem") == openssl("pkey", "-pubout", "-in", key)


def test_a_good_certificate_stays(place: Path, request_text: str) -> None:
    first = sign(place, request_text, create_ca=True)
    again = sign(place, request_text + first["certificate"])
    assert again.told == (False, False) and again["certificate"] == first["certificate"] and again["reasons"] == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"renew_days": 1000}, "it ends on"),
        ({"force": True}, "it was asked for"),
        ({"ip_addresses": ["127.0.0.1", "10.0.0.2"]}, "names or addresses have changed"),
        ({"dns_names": ["client.dc1.consul", "localhost"]}, "names or addresses have changed"),
    ],
)
def test_one_that_can_not_stay_is_replaced(place: Path, request_text: str, options: dict[str, Any], reason: str) -> None:
    text = request_text + sign(place, request_text, create_ca=True)["certificate"]
    planned = sign(place, text, **options, check=True)
    assert planned.told == (False, True) and planned["certificate"] is None
    replaced = sign(place, text, **options)
    assert replaced.told == (False, True) and reason in replaced["reasons"][0]
    assert replaced["certificate"] not in text


def test_another_key_or_authority_needs_another_certificate(place: Path, request_text: str, tmp_path: Path) -> None:
    certificate = sign(place, request_text, create_ca=True)["certificate"]
    other = tmp_path / "other.pem"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", other)
    swapped = openssl("req", "-new", "-key", other, "-subj", "/CN=host-a")
    assert sign(place, swapped + certificate)["reasons"] == ["the host has another key"]
    elsewhere = sign(tmp_path / "elsewhere", request_text + certificate, create_ca=True)
    assert elsewhere["reasons"] == ["another authority has signed it"]


def test_authorities_can_follow_each_other(place: Path, request_text: str, tmp_path: Path) -> None:
    old = sign(place, request_text, create_ca=True)
    new = run("consul_certificate", directory=str(tmp_path / "new"), create_ca=True)
    (place / "ca.pem").write_text(old["ca"] + new["ca"])
    both = sign(place, request_text + old["certificate"])
    assert both.told == (False, False) and both["ca"] == old["ca"] + new["ca"]
    (place / "ca-key.pem").write_text((tmp_path / "new" / "ca-key.pem").read_text())
    followed = sign(place, request_text + old["certificate"])
    assert followed["ca_fingerprint"] == new["ca_fingerprint"] and followed["reasons"] == [
        "another authority has signed it"
    ]


def test_no_authority_is_made_where_one_should_be(place: Path, request_text: str) -> None:
    refused = sign(place, request_text)
    assert refused.failed and "restore it, or name its directory" in refused["msg"] and not place.exists()


def test_half_an_authority_is_no_reason_for_a_new_one(place: Path, request_text: str) -> None:
    sign(place, request_text, create_ca=True)
    (place / "ca-key.pem").unlink()
    refused = sign(place, request_text, create_ca=True)
    assert refused.failed and "has lost ca-key.pem" in refused["msg"]


def test_what_is_no_request_is_refused(place: Path) -> None:
    refused = sign(place, "hello", create_ca=True)
    assert refused.failed and "no certificate request" in refused["msg"]


def test_a_bad_address_is_named(place: Path, request_text: str) -> None:
    refused = sign(place, request_text, create_ca=True, ip_addresses=["10.0.0.999"])
    assert refused.failed and "10.0.0.999" in refused["msg"]
