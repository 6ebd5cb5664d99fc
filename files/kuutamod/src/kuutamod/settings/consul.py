# SPDX-License-Identifier: Apache-2.0
"""The settings of the connection to Consul, for kuutamod and kuutamoctl alike."""

from __future__ import annotations

import ipaddress
import re

from ..consul.settings import ConsulSettings, check_token, parse_url
from .reading import Reader

_DEFAULT_PORT = re.compile(r"https?://(\[[^\]]*\]|[^:/]*)/?")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_CREDENTIALS = re.compile(r"[^/]*@")
_REMEDY = "write http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:8500; several with commas"
_NEVER = "http://127.0.0.1:8500"


def read_consul(read: Reader) -> ConsulSettings:
    """The connection to Consul; what is wrong is noted in ``read``, and then the answer is of no use."""
    urls = _urls(read)
    token, token_file = read.text("consul-token"), read.file("consul-token-file")
    if token is not None:
        try:
            check_token(token, "the token")
        except ValueError as error:
            read.reject("consul-token", str(error), "set it to the token's secret id")
    if token is not None and token_file is not None:
        problem = f"{read.values['consul-token'].setting.variable} is set too"
        read.reject("consul-token-file", problem, "keep one of the two; the file can be changed while kuutamod runs")
    ca_file, cert_file, key_file = (read.file(f"consul-{part}-file") for part in ("ca", "cert", "key"))
    if key_file is not None and cert_file is None and read.sound("consul-cert-file"):
        read.reject("consul-key-file", "a key needs its certificate", "give --consul-cert-file too, or leave both out")
    if (ca_file or cert_file) and not any(url.startswith("https://") for url in urls) and read.sound("consul-url"):
        read.warnings.append("certificates for Consul are set but no --consul-url begins with https://, so they go unused")
    if not read.sound("consul-url", "consul-token", "consul-token-file", "consul-cert-file", "consul-key-file"):
        return ConsulSettings((_NEVER,))
    return ConsulSettings(urls, token, token_file, ca_file, cert_file, key_file)


def _urls(read: Reader) -> tuple[str, ...]:
    text = read.text("consul-url")
    if text is None:
        return (_NEVER,)
    urls = [_url(read, part.strip()) for part in text.split(",")]
    return tuple(dict.fromkeys(urls))


def _url(read: Reader, text: str) -> str:
    """One URL in full, with a loopback address for localhost; a name's look-up can hang where an address can't."""

    def reject(problem: str) -> str:
        whole = read.values["consul-url"].text or ""
        read.reject("consul-url", problem, _REMEDY, _CREDENTIALS.sub("***@", whole))
        return _NEVER

    if not text:
        return reject("there is an empty URL in the list")
    if "@" in text:
        return reject("a URL must not have credentials in it, Consul takes a token (KUUTAMO_CONSUL_TOKEN)")
    try:
        address = parse_url(text)
    except ValueError as error:
        return reject(str(error))
    if address.port < 1:
        return reject(f"{text}: there is no port {address.port}")
    if _DEFAULT_PORT.fullmatch(text):
        read.warnings.append(f"--consul-url {text} names no port, so it is {address.port}; Consul's own is 8500")
    if address.host == "localhost" and address.scheme == "http":
        return f"http://127.0.0.1:{address.port}"
    if address.host != "localhost" and not _is_ip(address.host):
        if not _HOST_NAME.fullmatch(address.host):
            return reject(f"{address.host!r} is neither an IP address nor a host name")
        read.warnings.append(
            f"--consul-url {text} names a host: a slow name server can delay requests to Consul; an IP address is better"
        )
    return address.url


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
