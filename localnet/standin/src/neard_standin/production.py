# SPDX-License-Identifier: Apache-2.0
"""Signing: what a node does at each height it has a duty at, and the checks neard makes of its own key."""

from __future__ import annotations

from neard_standin.journal import Event
from neard_standin.keys import KeyFile
from neard_standin.ledger import Kind
from neard_standin.log import panic
from neard_standin.procfs import boottime
from neard_standin.state import NodeState, Signer

_PUBLIC_CHAINS = ("mainnet", "testnet")
_KEY_CHECK_RELEASE = (2, 12)


def refuse_all_shards(state: NodeState, key: KeyFile | None) -> None:
    """Panic as neard does when an active validator of a public chain tracks all shards (nearcore #11828)."""
    active = key is not None and state.ledger.validator(key.account_id) is not None
    if active and state.config.all_shards and state.genesis.chain_id in _PUBLIC_CHAINS:
        panic("The client is a validator, validator must not track all shards; set tracked_shards_config to NoShards")


def load_signer(state: NodeState, key: KeyFile | None) -> None:
    """Make `key` the live signer, or none, and tell the journal."""
    if state.signer is not None:
        old, state.signer = state.signer.key, None
        state.record(Event.KEY_UNLOADED, old)
    if key is not None:
        state.refresh_term()
        # The interval begins before the look at the others: one seen alive here was alive within the interval.
        now = boottime()
        others = state.chain.live_holders(key.public_key, apart_from=state.process)
        state.record(Event.KEY_LOADED, key, at=now, others_alive=others)
        # Later than the record, so that nothing is ever signed outside of a recorded interval.
        state.signer = Signer(key, boottime())


class Producer:
    """Signs what is due."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._last_height = 0
        self._checked_epoch = -1

    def tick(self) -> None:
        """Sign what is due in the present slot, once; slots that have passed are lost."""
        state, now = self._state, boottime()
        height = state.ledger.height_at(now)
        if height <= self._last_height or state.stopping or state.behaviour.head_frozen or state.syncing(now):
            return
        self._check_key(height)
        signer = state.signer
        # Whoever gets its key in the middle of a slot starts with the next: the slot may be signed by a predecessor.
        if signer is None or signer.since > state.ledger.start_of(height):
            return
        self._last_height = height
        if signer.key.public_key != state.ledger.on_chain_key(signer.key.account_id):
            return
        for kind in state.ledger.duties_at(signer.key.account_id, height):
            state.record(Event.SIGNATURE, signer.key, height=height, kind=kind)
            state.blocks_produced += kind is Kind.BLOCK
            state.chunks_produced += kind is Kind.CHUNK

    def _check_key(self, height: int) -> None:
        """Panic at the first block of an epoch when our account validates with another key (nearcore #15417)."""
        state = self._state
        epoch = state.ledger.epoch_of(height)
        if epoch == self._checked_epoch:
            return
        first_look, self._checked_epoch = self._checked_epoch < 0, epoch
        if first_look or state.signer is None or state.behaviour.release < _KEY_CHECK_RELEASE:
            return
        key = state.signer.key
        on_chain = state.ledger.on_chain_key(key.account_id)
        if on_chain not in (None, key.public_key):
            panic(f"validator key mismatch for {key.account_id}: on chain {on_chain}, loaded {key.public_key}")
