# SPDX-License-Identifier: Apache-2.0
"""What each failure of a request to Consul means. The texts are those of a real Consul."""

from __future__ import annotations

import json

import consul
import pytest
import requests

from kuutamod.consul.faults import ConsulError, Fault, Refusal, classify
from kuutamod.deadline import Overrun

KEY = "kuutamod-leader/fleet.near"


def conflict(*whats: str) -> consul.ConsulException:
    body = {"Results": None, "Errors": [{"OpIndex": number, "What": what} for number, what in enumerate(whats)]}
    return consul.ConsulException(f"409 {json.dumps(body)}")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (Overrun("no answer within 1 s"), Fault.TIMEOUT),
        (requests.ReadTimeout("read timed out"), Fault.TIMEOUT),
        (requests.ConnectTimeout("connect timed out"), Fault.TIMEOUT),
        (requests.ConnectionError("refused"), Fault.UNREACHABLE),
        (requests.exceptions.SSLError("self-signed"), Fault.UNREACHABLE),
        (requests.TooManyRedirects("exceeded 0 redirects"), Fault.UNUSABLE),
        (consul.ACLPermissionDenied("Permission denied"), Fault.FORBIDDEN),
        (consul.ACLDisabled("ACL support disabled"), Fault.FORBIDDEN),
        (consul.ConsulException("500 rpc error making call: ACL not found"), Fault.FORBIDDEN),
        (consul.ConsulException("500 No cluster leader"), Fault.NO_LEADER),
        (consul.ConsulException("500 rpc error making call: node is not the leader"), Fault.NO_LEADER),
        (consul.ConsulException("500 rpc error making call: EOF"), Fault.SERVER),
        (consul.ConsulException('500 rpc error making call: invalid session "x"'), Fault.SESSION_GONE),
        (consul.ConsulException("429 Your IP is issuing too many concurrent connections"), Fault.THROTTLED),
        (consul.ConsulException("400 Bad request"), Fault.UNUSABLE),
        (consul.ConsulException("Failed to decode JSON: <html>"), Fault.UNUSABLE),
        (consul.ConsulException("409 not json"), Fault.UNUSABLE),
        (consul.NotFound("Session id 'x' not found"), Fault.SESSION_GONE),
        (consul.NotFound("<html>no such page</html>"), Fault.UNUSABLE),
        (json.JSONDecodeError("Expecting value", "<html>", 0), Fault.UNUSABLE),
        (KeyError("X-Consul-Index"), Fault.UNUSABLE),
        (conflict("Permission denied", "Permission denied"), Fault.FORBIDDEN),
        (conflict("failed index check for key, current modify index 11 != 12"), Fault.CONFLICT),
    ],
)
def test_kind(error: Exception, fault: Fault) -> None:
    assert classify(error).fault is fault


@pytest.mark.parametrize(
    ("what", "refusal", "lost"),
    [
        (f'failed session check for key "{KEY}", current session "a" != "b"', Refusal.NOT_OURS, True),
        (f'failed to unlock key "{KEY}", lock isn\'t held, or is held by another session', Refusal.NOT_OURS, True),
        ('invalid session "b"', Refusal.SESSION_GONE, True),
        (f'failed to lock key "{KEY}", lock is already held', Refusal.HELD, True),
        (f'failed to check session, key "{KEY}" doesn\'t exist', Refusal.MISSING, True),
        (f'failed to check index, key "{KEY}" doesn\'t exist', Refusal.MISSING, True),
        (f'failed index check for key "{KEY}", current modify index 11 != 12', Refusal.MOVED, False),
        ('failed index check for key "kuutamod-leader/exists.near", current modify index 1 != 2', Refusal.MOVED, False),
        (f'key "{KEY}" exists', Refusal.EXISTS, False),
        (f'failed to lock key "{KEY}" due to lock delay', Refusal.LOCK_DELAY, False),
        ("words of a later Consul", Refusal.OTHER, False),
    ],
)
def test_refused_transaction(what: str, refusal: Refusal, lost: bool) -> None:
    error = classify(conflict(what))
    assert error.refusals == (refusal,)
    assert error.not_applied
    assert error.lost is lost


def test_denied_transaction_says_nothing_about_the_lock() -> None:
    error = classify(conflict("Permission denied", f'failed session check for key "{KEY}", current session "a" != "b"'))
    assert error.fault is Fault.FORBIDDEN
    assert not error.lost


def test_unknown_words_are_shown() -> None:
    assert "words of a later Consul" in classify(conflict("words of a later Consul")).why


def test_connection_errors_are_told_in_the_systems_words() -> None:
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get("http://127.0.0.1:1/", timeout=5)
    assert classify(caught.value).why == "Connection refused"


def test_long_texts_are_cut() -> None:
    assert len(classify(consul.ConsulException("500 " + "x" * 5000)).why) <= 200


def test_our_own_error_passes_unchanged() -> None:
    error = ConsulError(Fault.UNUSABLE, "why")
    assert classify(error) is error
