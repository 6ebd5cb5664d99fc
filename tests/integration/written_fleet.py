# SPDX-License-Identifier: Apache-2.0
"""A fleet that exists only in a real Consul: sessions, lock and records as kuutamods write them, without any kuutamod."""

from __future__ import annotations

import time

from kuutamo_localnet.consul_client import ConsulClient
from kuutamod.core.protocol import LockRecord, MemberRecord, TermRecord, history_key, lock_key, member_key


class WrittenFleet:
    """The fleet of one account; every node has a session of its own."""

    def __init__(self, client: ConsulClient, account: str) -> None:
        self.client, self.account = client, account
        self.sessions: dict[str, str] = {}

    def join(self, node: str, **record: object) -> None:
        """The node appears, or says something else of itself."""
        if node not in self.sessions:
            # Nothing renews it: without a TTL it lasts until the test ends it.
            self.sessions[node] = self.client.session_create(node, NodeChecks=[], LockDelay="0s", Behavior="release")
        said = {"state": "Voting", "height": 1000, "peers": 7, "neard_version": "2.10.0", "protocol": 84, **record}
        member = MemberRecord(node, f"host-of-{node}", f"life-of-{node}", **said)  # type: ignore[arg-type]
        assert self.client.kv_put(member_key(self.account, node), member.to_json(), acquire=self.sessions[node])

    def hold(self, node: str, term: int) -> None:
        """The node takes the lock, which is free; the term's record is written with it."""
        lock = LockRecord(f"host-of-{node}", node, term, guard_time=9.0, phase="active", last_height=1000)
        assert self.client.kv_put(lock_key(self.account), lock.to_json(), acquire=self.sessions[node])
        self.record(
            TermRecord(term, node, time.time(), since=time.time(), cause="first", began="it was there first", gap=0.5)
        )
        self.join(node, state="Validating", phase="active", term_seen=term)

    def release(self, node: str, term: int, reason: str, **more: object) -> None:
        """The holder gives the lock up with the marker."""
        lock = LockRecord(f"host-of-{node}", node, term, guard_time=9.0, released=True, reason=reason, **more)  # type: ignore[arg-type]
        assert self.client.kv_put(lock_key(self.account), lock.to_json(), release=self.sessions[node])

    def record(self, record: TermRecord) -> None:
        """Write a term's record."""
        assert self.client.kv_put(history_key(self.account, record.term), record.to_json())

    def silence(self, node: str) -> None:
        """The node's session ends; its record stays, and a lock of its is free without the marker."""
        self.client.session_destroy(self.sessions.pop(node))

    def end(self) -> None:
        """End all sessions."""
        for node in [*self.sessions]:
            self.silence(node)
