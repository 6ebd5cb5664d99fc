# SPDX-License-Identifier: Apache-2.0
"""Writes a key through this host's agent ten times a second, and tells the longest time without a good write.

    echo TOKEN | python3 watch.py SECONDS

Ends early when the file /run/consul-watch.stop appears. Prints one JSON object.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
import urllib.request
from pathlib import Path

URL = "https://127.0.0.1:8501/v1/kv/molecule/watch-"
STOP = Path("/run/consul-watch.stop")


def main(seconds: float, token: str) -> dict[str, float]:
    """How many writes went well, and the longest gap in seconds."""
    context = ssl.create_default_context(cafile="/etc/ssl/kuutamo/consul-ca.pem")
    name = Path("/etc/hostname").read_text(encoding="ascii").strip()
    last = time.monotonic()
    end, good, longest = last + seconds, 0, 0.0
    while time.monotonic() < end and not STOP.exists():
        request = urllib.request.Request(  # noqa: S310
            f"{URL}{name}", data=str(good).encode(), method="PUT", headers={"X-Consul-Token": token}
        )
        try:
            with urllib.request.urlopen(request, timeout=1.0, context=context) as answer:  # noqa: S310
                answer.read()
        except OSError:
            pass
        else:
            now = time.monotonic()
            longest, last, good = max(longest, now - last), now, good + 1
        time.sleep(0.1)
    return {"good": good, "longest": round(max(longest, time.monotonic() - last), 2)}


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]), sys.stdin.readline().strip())))
