# SPDX-License-Identifier: Apache-2.0
"""Consul: each URL by itself, what the token may do, and what is there of the fleet. Nothing is written."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..consul import probe
from ..consul.faults import ConsulError
from ..consul.once import ask_once
from ..consul.overview import Overview, Unread, read_overview
from ..consul.settings import ConsulSettings
from ..core.lease import CONSUL_TTL_RANGE, LEADER_LOSS, LeaseLaw
from ..core.protocol import FleetConfig, LockRecord, MemberRecord, lock_key
from ..neard.memory import MemoryFault, MemoryFile
from ..settings import Settings
from .finding import Finding, Level, Topic, fault, ok, warning

DEADLINE = 5.0
"""Seconds for all questions to one URL together."""

OLDEST = (1, 8, 0)
"""The oldest Consul on which the protocol was measured."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True)
class Seen:
    """One URL. ``agent`` None: it can't be asked. ``sessions``: may they be made, None: not known. ``why`` explains it."""

    url: str
    agent: probe.Agent | None
    sessions: bool | None
    why: str = ""


def look(consul: ConsulSettings, url: str, account_id: str) -> Seen:
    """Ask one URL. Blocks, for DEADLINE seconds at most."""
    one = replace(consul, urls=(url,))
    try:
        agent = ask_once(one, DEADLINE / 2, partial(probe.agent, account_id=account_id))
    except ConsulError as error:
        return Seen(url, None, None, error.why)
    try:
        return Seen(url, agent, ask_once(one, DEADLINE / 2, probe.may_make_sessions))
    except ConsulError as error:
        return Seen(url, agent, None, error.why)


def urls(seen: Sequence[Seen], law: LeaseLaw) -> Iterable[Finding]:
    """What was seen at the URLs. One of several that does not answer is no more than a warning."""
    level = Level.WARNING if any(each.agent is not None for each in seen) else Level.FAULT
    for each in seen:
        if each.agent is None:
            what = each.why if each.url in each.why else f"{each.url}: {each.why}"
            yield Finding(level, Topic.CONSUL, what, "start Consul there, or correct --consul-url")
        else:
            yield from _agent(each.url, each.agent, law)


def _agent(url: str, agent: probe.Agent, law: LeaseLaw) -> Iterable[Finding]:
    kind = "server" if agent.server else "client agent"
    who = f"Consul {agent.version}, {kind} {agent.node}" if agent.version else "Consul of unknown version"
    text = f"{url} answers in {agent.seconds * 1000:.0f} ms: {who}, leader {agent.leader}"
    if agent.seconds > law.request_deadline:
        remedy = "use a nearer Consul, or raise --request-deadline and with it the other numbers of the lease"
        yield warning(Topic.CONSUL, f"{text}; that is longer than --request-deadline {law.request_deadline:g}", remedy)
    else:
        yield ok(Topic.CONSUL, text)
    if agent.unseen:
        grant = 'grant agent "NODE" { policy = "read" }; kuutamod itself does not need it'
        yield warning(Topic.CONSUL, f"{url}: version and settings are not seen: {agent.unseen}", grant)
    numbers = tuple(int(number) for number in re.findall(r"\d+", agent.version)[:3])
    if numbers and numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield warning(Topic.CONSUL, f"{url}: Consul {agent.version} is older than {oldest}, which was tested", "upgrade it")
    yield from _agent_settings(url, agent, law)


def _agent_settings(url: str, agent: probe.Agent, law: LeaseLaw) -> Iterable[Finding]:
    """What an agent says of itself that spoils the lease. Names as of Consul 1.8; where they have gone nothing is said."""
    said = agent.settings or {}
    if not agent.server and said.get("LeaveOnTerm") is True:
        text = f"{url}: the agent leaves the cluster when it is stopped, which ends the session and so the lease at once"
        yield warning(Topic.CONSUL, text, "set leave_on_terminate = false in the agent's configuration")
    election = duration(said.get("ConsulRaftElectionTimeout"))
    if agent.server and election is not None and election > 1.0:
        text = (
            f"{url}: the loss of a Consul leader takes this server longer than the {LEADER_LOSS:g} s that the lease allows "
            "for, so it stops the validator"
        )
        yield warning(Topic.CONSUL, text, "set performance { raft_multiplier = 1 } on all Consul servers")
    least = duration(said.get("SessionTTLMin")) or CONSUL_TTL_RANGE[0]
    if agent.server and law.session_ttl < least:
        text = f"{url}: its session_ttl_min is {least:g} s, more than --session-ttl {law.session_ttl:g}"
        yield fault(Topic.CONSUL, text, "lower session_ttl_min on the Consul servers, or raise --session-ttl")


def duration(text: object) -> float | None:
    """Seconds of a duration as Go writes it, such as ``1m30s``; None: it is not one."""
    parts = _DURATION.findall(text) if isinstance(text, str) else []
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None


def rights(found: Settings, seen: Sequence[Seen]) -> Iterable[Finding]:
    """The rights of the token, asked at a URL that answered. Blocks, for DEADLINE seconds at most."""
    for each in seen:
        if each.sessions is False:
            node = each.agent.node if each.agent is not None and each.agent.node else "NODE"
            text = f"{each.url}: the token may not make sessions on the Consul node of that agent"
            yield fault(Topic.RIGHTS, text, f'grant session "{node}" {{ policy = "write" }}')
        elif each.sessions is None and each.agent is not None:
            yield warning(Topic.RIGHTS, f"{each.url}: whether sessions may be made is not known: {each.why}", "look again")
    url = _answering(seen)
    one = replace(found.consul, urls=(url,))
    ask = partial(probe.key_rights, account_id=found.account_id, node_id=found.node_id)
    try:
        info = ask_once(one, DEADLINE / 2, probe.token)
        needed = ask_once(one, DEADLINE / 2, ask)
    except ConsulError as error:
        yield fault(Topic.RIGHTS, error.why, "check KUUTAMO_CONSUL_TOKEN or the file of --consul-token-file")
        return
    yield _about(info, fixed=found.consul.token is not None)
    denied = [right for right in needed if not right.granted]
    if denied:
        text = f"the token may not {', '.join(right.purpose for right in denied)}"
        yield fault(Topic.RIGHTS, text, f"grant {' and '.join(dict.fromkeys(right.rule for right in denied))}")
    elif info.enforced:
        sessions = ("make sessions",) if any(each.sessions for each in seen) else ()
        yield ok(Topic.RIGHTS, f"the token may {', '.join((*sessions, *(right.purpose for right in needed)))}")


def _answering(seen: Sequence[Seen]) -> str:
    """The first URL that answered; one did, or nothing more is asked."""
    return next(each.url for each in seen if each.agent is not None)


def _about(info: probe.TokenInfo, fixed: bool) -> Finding:
    if not info.enforced:
        text = "Consul has no ACLs: whoever reaches it can take the lock, or delete it"
        return warning(Topic.RIGHTS, text, 'set acl { enabled = true, default_policy = "deny" } and give each node a token')
    named = f"token {info.description!r}" if info.description else "the token"
    text = f"{named} with the policies {', '.join(info.policies) or '(none)'}"
    if info.expires and fixed:
        remedy = "use --consul-token-file, in which it can be replaced while kuutamod runs"
        return warning(Topic.RIGHTS, f"{text}; it expires at {info.expires}, and then the validator is stopped", remedy)
    return ok(Topic.RIGHTS, f"{text}; it expires at {info.expires}" if info.expires else text)


def fleet(found: Settings, seen: Sequence[Seen]) -> Iterable[Finding]:
    """What Consul has of the fleet, against what this node is. Blocks, for DEADLINE seconds at most."""
    url = _answering(seen)
    try:
        overview = read_overview(replace(found.consul, urls=(url,)), found.account_id, 1, DEADLINE)
    except ConsulError as error:
        yield fault(Topic.FLEET, f"it can't be read: {error.why}", "look again")
        return
    for part, what in (
        (overview.lock, "the lock"),
        (overview.members, "the nodes' records"),
        (overview.config, "its config"),
    ):
        if isinstance(part, Unread):
            yield fault(Topic.FLEET, f"{what} can't be read: {part.why}", "see what is said of the token")
    yield from _fingerprints(found, overview)
    if not isinstance(overview.lock, Unread):
        yield from _lock(found, overview)
    if not isinstance(overview.members, Unread):
        yield from _members(found, overview)


def _fingerprints(found: Settings, overview: Overview) -> Iterable[Finding]:
    """The same validator key everywhere?"""
    mine, config = found.keys.validator.public_key, overview.config
    if not mine:
        return
    recorded = config.fingerprint if isinstance(config, FleetConfig) else ""
    others = {f"{record.node_id} has {record.fingerprint}" for record in _records(overview) if record.fingerprint != mine}
    if recorded and recorded != mine:
        text = f"this node's validator key is {mine}, the fleet's recorded one is {recorded}"
        yield fault(Topic.FLEET, text, "give this node the fleet's key; it refuses to validate with another")
    elif others:
        text = f"this node's validator key is {mine}, but {', '.join(sorted(others))}"
        yield fault(Topic.FLEET, text, "give all nodes of the fleet the same validator key")
    elif recorded:
        yield ok(Topic.FLEET, "this node's validator key is the fleet's recorded one")
    else:
        yield ok(Topic.FLEET, "no validator key is recorded for the fleet, and no node has another one than this")


def _records(overview: Overview) -> Iterable[MemberRecord | LockRecord]:
    if not isinstance(overview.lock, Unread) and overview.lock.record is not None:
        yield overview.lock.record
    if not isinstance(overview.members, Unread):
        yield from (member.record for member in overview.members if member.session is not None)


def _lock(found: Settings, overview: Overview) -> Iterable[Finding]:
    lock = overview.lock
    assert not isinstance(lock, Unread)
    record, key = lock.record, lock_key(found.account_id)
    if lock.missing:
        yield ok(Topic.FLEET, f"there is no key {key} yet; the first node makes it")
        return
    if record is None:
        text = f"key {key} holds no record of a kuutamod"
        remedy = "never run beside another supervisor on one account; else kuutamod takes the key after the guard time"
        yield warning(Topic.FLEET, text, remedy)
        return
    held = "is held by" if lock.session else "was last written by"
    yield ok(Topic.FLEET, f"the lock {held} {record.node_id} in term {record.term}")
    try:
        known = MemoryFile(found.neard_home).load().term
    except MemoryFault:
        return
    config = overview.config if isinstance(overview.config, FleetConfig) else FleetConfig()
    confirmed = config.confirmed_record == record.digest and (config.confirmed_seen or 0) >= known
    if record.term < known and not confirmed:
        text = (
            f"the lock's term {record.term} is lower than {known}, which this host has seen: Consul's data went backwards"
        )
        yield fault(Topic.FLEET, text, "make sure that nothing signs anywhere, then `kuutamoctl confirm`")


def _members(found: Settings, overview: Overview) -> Iterable[Finding]:
    assert not isinstance(overview.members, Unread)
    live = [member.record for member in overview.members if member.session is not None]
    names = ", ".join(record.node_id for record in live) or "none"
    yield ok(Topic.FLEET, f"nodes that are up: {names}")
    here = (socket.gethostname(), str(found.neard_home))
    for record in live:
        if record.node_id == found.node_id and (record.hostname, record.home) != here:
            text = f"node id {found.node_id} is used by a node on host {record.hostname} with home {record.home}"
            yield fault(Topic.FLEET, text, "give each node a --node-id of its own")
        elif record.node_id != found.node_id and record.guard_time not in (0.0, found.policy.law.guard_time):
            text = (
                f"{record.node_id} has --guard-time {record.guard_time:g}, this node {found.policy.law.guard_time:g}; "
                "takeovers wait for the longer one"
            )
            yield warning(Topic.FLEET, text, "give all nodes of the fleet the same numbers of the lease")
    if isinstance(overview.config, FleetConfig) and found.node_id in overview.config.no_takeover:
        text = f"{found.node_id} is drained: it takes no lock by itself"
        yield warning(Topic.FLEET, text, f"`kuutamoctl undrain {found.node_id}` when it may again")
