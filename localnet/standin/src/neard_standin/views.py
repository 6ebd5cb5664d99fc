# SPDX-License-Identifier: Apache-2.0
"""What a node tells about itself over HTTP: /status, /health, /network_info (nearcore: views.rs)."""

from __future__ import annotations

import time
from typing import Any

from neard_standin import base58
from neard_standin.log import utc
from neard_standin.procfs import boottime
from neard_standin.release import BUILT
from neard_standin.routing import route
from neard_standin.state import NodeState

_HEALTHY_DELAYS = 10  # /health allows a head as old as so many max_block_production_delay
_MAX_PEERS = 40


def block_hash(state: NodeState, height: int) -> str:
    """The made-up hash of the block of `height`."""
    return base58.hash_text(state.genesis.chain_id, "block", height)


def epoch_id(state: NodeState, height: int) -> str:
    """The made-up id of the epoch of `height`."""
    return base58.hash_text(state.genesis.chain_id, "epoch", state.ledger.epoch_of(height))


def wall_clock_of(state: NodeState, height: int) -> float:
    """When the slot of `height` began, in seconds since the epoch by the wall clock of now."""
    return time.time() - (boottime() - state.ledger.start_of(height))


def version(state: NodeState) -> dict[str, str]:
    """The version object of /status."""
    number = state.behaviour.version
    return {"version": number, "build": number, "commit": "standin", "rustc_version": "1.86.0"}


def status(state: NodeState) -> dict[str, Any]:
    """The body of /status."""
    now = boottime()
    head = state.head(now)
    signer = state.signer
    start = state.ledger.epoch_start(state.ledger.epoch_of(head))
    protocol = state.ledger.protocol_version
    content = {
        "version": version(state),
        "chain_id": state.genesis.chain_id,
        "protocol_version": protocol,
        "latest_protocol_version": BUILT.protocol or protocol,
        "rpc_addr": str(state.config.rpc_addr),
        "validators": [{"account_id": seat.account_id} for seat in state.ledger.validators],
        "sync_info": {
            "latest_block_hash": block_hash(state, head),
            "latest_block_height": head,
            "latest_state_root": base58.hash_text(state.genesis.chain_id, "state", head),
            "latest_block_time": utc(wall_clock_of(state, head), 9),
            "syncing": state.syncing(now),
            "earliest_block_hash": block_hash(state, 0),
            "earliest_block_height": 0,
            "earliest_block_time": utc(wall_clock_of(state, 0), 9),
            "epoch_id": epoch_id(state, head),
            "epoch_start_height": start,
        },
        "validator_account_id": signer.key.account_id if signer else None,
        "validator_public_key": signer.key.public_key if signer else None,
        "node_public_key": state.node_key.public_key,
        "node_key": signer.key.public_key if signer else None,
        "uptime_sec": int(now - state.started_at),
        "genesis_hash": block_hash(state, 0),
    }
    if state.config.rpc_addr is None:
        del content["rpc_addr"]
    return content


def health_problem(state: NodeState) -> str | None:
    """Why /health answers 503, as the cause that JSON-RPC names; None when the node is well."""
    now = boottime()
    if state.syncing(now):
        return "NODE_IS_SYNCING"
    if state.head_age(now) > _HEALTHY_DELAYS * state.config.max_block_production_delay:
        return "NO_NEW_BLOCKS"
    return None


def peer_count(state: NodeState) -> int:
    """How many peers the node has: the other validators, or none when it is cut off."""
    return 0 if state.behaviour.isolated else len(state.ledger.validators)


def network_info(state: NodeState) -> dict[str, Any]:
    """The body of /network_info: made-up peers, and the routes that the network has learned."""
    now = boottime()
    routes = {
        seat.account_id: base58.hash_text("peer", seat.account_id)
        if seat.virtual
        else route(state.chain.loads(seat.account_id), now, state.chain.alive)
        for seat in state.ledger.validators
    }
    peers = [
        {"id": "ed25519:" + base58.hash_text("peer", number), "addr": f"127.0.0.1:{24567 + number}", "account_id": None}
        for number in range(peer_count(state))
    ]
    return {
        "active_peers": peers,
        "num_active_peers": len(peers),
        "peer_max_count": _MAX_PEERS,
        "sent_bytes_per_sec": 0,
        "received_bytes_per_sec": 0,
        "known_producers": [
            {"account_id": account, "addr": None, "peer_id": peer if ":" in peer else f"ed25519:{peer}"}
            for account, peer in routes.items()
            if peer is not None
        ],
    }
