# SPDX-License-Identifier: Apache-2.0
"""Which settings there are. Names and defaults of the first three groups are those of the Rust kuutamod 0.1.0."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.lease import LeaseLaw
from ..core.model import Policy

PREFIX = "KUUTAMO_"
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The variable by which systemd tells a service where its credentials are."""


@dataclass(frozen=True)
class Setting:
    """One setting. ``kind`` is the unit or form of its value, ``fallback`` what holds where there is no ``default``."""

    name: str
    kind: str
    meaning: str
    default: str | None = None
    fallback: str = "none"
    own_variable: str = ""
    choices: tuple[str, ...] = ()
    flagless: bool = False
    required: bool = False
    credential: str = ""

    @property
    def flag(self) -> str:
        """The option on the command line; empty where there is none."""
        return "" if self.flagless else f"--{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return self.own_variable or PREFIX + self.name.replace("-", "_").upper()

    @property
    def title(self) -> str:
        """How messages name it."""
        return self.variable if self.flagless else f"{self.flag} / {self.variable}"

    @property
    def form(self) -> str:
        """What a value looks like: its unit, or the values there are."""
        return "|".join(self.choices) or self.kind

    @property
    def default_text(self) -> str:
        """The default for people."""
        return self.fallback if self.default is None else self.default


@dataclass(frozen=True)
class Group:
    """Settings that belong together."""

    title: str
    settings: tuple[Setting, ...]


def _key(name: str, meaning: str) -> Setting:
    file = f"{name.replace('-', '_')}.json"
    fallback = f"${CREDENTIALS}/{file}"
    return Setting(name, "path", meaning, fallback=fallback, required=True, credential=file)


def _seconds(name: str, default: float, meaning: str) -> Setting:
    return Setting(name, "seconds", meaning, f"{default:g}")


_LAW = LeaseLaw()
_POLICY = Policy()

ACCOUNT_ID = Setting("account-id", "name", "the validator's account; the fleet of this account shares one lock", "default")

IDENTITY = Group(
    "Node",
    (
        Setting("node-id", "name", "this node's name, different on every node of the fleet", "node"),
        ACCOUNT_ID,
        Setting("exporter-address", "IP:PORT", "where metrics, health, status and role are served", "127.0.0.1:2233"),
    ),
)

CONSUL = Group(
    "Consul",
    (
        Setting(
            "consul-url",
            "http[s]://HOST[:PORT]",
            "Consul's HTTP API; several, separated by commas, are tried in turn",
            "http://localhost:8500",
        ),
        Setting("consul-token", "token", "ACL token; no flag, a command line is visible to everybody", flagless=True),
        Setting("consul-token-file", "path", "file with the ACL token, read again while running"),
        Setting("consul-ca-file", "path", "certificate authorities for https, PEM", fallback="the system's"),
        Setting("consul-cert-file", "path", "this client's certificate for https, PEM"),
        Setting(
            "consul-key-file", "path", "the key of this client's certificate, PEM", fallback="in the certificate's file"
        ),
    ),
)

NEARD = Group(
    "neard",
    (
        _key("validator-key", "the validator's key file; it never lies in neard's home itself"),
        _key("validator-node-key", "the node key file of neard as validator (restart promotion), the same on all nodes"),
        _key("voter-node-key", "the node key file of neard as voter, different on every node"),
        Setting("validator-network-addr", "IP:PORT", "neard's network address as validator", "0.0.0.0:24567"),
        Setting("voter-network-addr", "IP:PORT", "neard's network address as voter", "0.0.0.0:24568"),
        Setting("neard-home", "path", "neard's home with config.json and genesis.json", "."),
        Setting(
            "near-boot-nodes",
            "KEY@HOST:PORT,...",
            "boot nodes for neard run",
            fallback="those of config.json",
            own_variable="KUUTAMO_NEARD_BOOTNODES",
        ),
        Setting("neard-bin", "path or name", "the neard program; a name is looked up on PATH", "neard"),
    ),
)

PROMOTION = Group(
    "Promotion and health",
    (
        Setting(
            "promotion",
            "word",
            "how neard gets the key; auto: hot-swap where config.json tracks the account as ShadowValidator and neard can",
            _POLICY.promotion,
            choices=("restart", "hot-swap", "auto"),
        ),
        _seconds("hot-swap-timeout", _POLICY.hot_swap_timeout, "until a key that neard has not loaded makes it restart"),
        _seconds("neard-hang-timeout", _POLICY.hang_timeout, "without an answer of neard that make it hung"),
        _seconds("neard-freeze-timeout", _POLICY.freeze_timeout, "without a new block that make neard frozen"),
        Setting(
            "neard-freeze-blocks",
            "blocks",
            "how far the other nodes must be ahead for a frozen head to count",
            str(_POLICY.freeze_blocks),
        ),
        _seconds("neard-start-timeout", _POLICY.start_timeout, "for neard to serve its RPC after a start"),
        _seconds("neard-stop-grace", _POLICY.stop_grace, "between SIGTERM and SIGKILL where no lease presses"),
        _seconds(
            "hold-off",
            _POLICY.hold_off,
            "after its neard failed as validator, for which a node lets others go first; a next failure within it is "
            "retried locally",
        ),
        _seconds(
            "patience", _POLICY.patience, "for which a node that should rather not take the lock lets others go first"
        ),
    ),
)


def _count(name: str, unit: str, default: int, meaning: str) -> Setting:
    return Setting(name, unit, meaning, str(default))


ELIGIBILITY = Group(
    "Eligibility and ranking",
    (
        _count("priority", "number", _POLICY.priority, "of this node; the eligible standby with the highest goes first"),
        _count("min-peers", "peers", _POLICY.min_peers, "that neard must have; else the others go first"),
        _count("max-lag", "blocks", _POLICY.max_lag, "neard may be behind the fleet's best; else the others go first"),
        _seconds("max-head-age", _POLICY.max_head_age, "that neard's newest block may be old; else the others go first"),
        _seconds("settle-time", _POLICY.settle_time, "for which neard must have been synced; else the others go first"),
        _seconds("rank-step", _POLICY.rank_step, "that a standby leaves an open lock to each better one, four at most"),
        _seconds(
            "successor-patience",
            _POLICY.successor_patience,
            "for which a lock that is handed over by name is left to the successor",
        ),
    ),
)

LEASE = Group(
    "Lease (the law that ties these together is in docs/safety.md)",
    (
        _seconds("heartbeat-interval", _LAW.heartbeat_interval, "between two heartbeats of the holder"),
        _seconds("request-deadline", _LAW.request_deadline, "for one request to Consul"),
        _seconds("fence-deadline", _LAW.fence_deadline, "from the last proof of holding to SIGKILL"),
        _seconds("kill-budget", _LAW.kill_budget, "from SIGKILL until the process is gone"),
        _seconds("scheduling-slack", _LAW.scheduling_slack, "that a busy host may be late with both"),
        _seconds("guard-time", _LAW.guard_time, "without a heartbeat after which another node takes the lock"),
        _seconds("session-ttl", _LAW.session_ttl, "that Consul keeps a session that is not renewed"),
        _seconds("session-renewal", _LAW.session_renewal, "between two renewals of the session"),
    ),
)

OPERATION = Group(
    "Operation",
    (
        Setting("log-format", "word", "form of a line of log", "logfmt", choices=("logfmt", "json")),
        Setting("log-level", "word", "least important lines to log", "info", choices=("debug", "info", "warning", "error")),
        Setting(
            "cgroup",
            "word",
            "a cgroup of neard's own; auto: where systemd delegated one, on: wherever one can be made",
            "auto",
            choices=("auto", "on", "off"),
        ),
        Setting(
            "hook-dir",
            "absolute path",
            "directory of executables that are told of promotions, fences and so on; only root and kuutamod's user may "
            "write there",
        ),
        _seconds("hook-deadline", 10, "for all hooks of one event together; a pre-promote that takes longer is a veto"),
    ),
)

GROUPS = (IDENTITY, CONSUL, NEARD, PROMOTION, ELIGIBILITY, LEASE, OPERATION)
SETTINGS = tuple(setting for group in GROUPS for setting in group.settings)
