# SPDX-License-Identifier: Apache-2.0
"""The Prometheus text of /metrics: the names of neard that a supervisor uses."""

from __future__ import annotations

from collections.abc import Iterator

from neard_standin.ledger import Kind
from neard_standin.procfs import boottime
from neard_standin.release import BUILT
from neard_standin.state import NodeState
from neard_standin.views import peer_count, version, wall_clock_of

_BLOCK_SYNC = 7  # near_sync_status while catching up


def _sample(name: str, shown: object, /, **labels: object) -> str:
    escaped = (
        '{}="{}"'.format(label, str(text).replace("\\", "\\\\").replace('"', '\\"')) for label, text in labels.items()
    )
    return f"{name}{{{','.join(escaped)}}} {shown}" if labels else f"{name} {shown}"


def _live(state: NodeState) -> Iterator[str]:
    now = boottime()
    head = state.head(now)
    yield _sample("near_block_height_head", head)
    yield _sample("near_header_head_height", head)
    yield _sample("near_final_block_height", max(0, head - 2))
    yield _sample("near_head_lag_seconds", f"{state.head_age(now):.3f}")
    yield _sample("near_sync_status", _BLOCK_SYNC if state.syncing(now) else 0)
    yield _sample("near_block_produced_total", state.blocks_produced)
    yield _sample("near_chunk_produced_total", state.chunks_produced)
    yield _sample("near_config_correct", int(state.config_correct))
    yield _sample("near_config_reloads_total", state.reloads)
    yield _sample("near_config_reload_timestamp_seconds", int(state.reload_time))
    for field, current in state.mutable_fields:
        labels = {"field_name": field.name, "timestamp": field.timestamp, "value": field.value}
        yield _sample("near_config_mutable_field", int(current), **labels)
    yield _sample("near_boot_time_seconds", int(wall_clock_of(state, 0) + state.started_at - state.ledger.start_of(0)))
    yield _sample("near_node_protocol_version", BUILT.protocol or state.ledger.protocol_version)
    yield _sample("near_current_protocol_version", state.ledger.protocol_version)
    for level, count in state.log.written.items():
        yield _sample("near_log_msg_total", count, level=level.lower())
    about = version(state)
    labels = {"release": about["version"], "build": about["build"], "rustc_version": about["rustc_version"]}
    yield _sample("near_build_info", 1, **labels)


def _periodic(state: NodeState) -> Iterator[str]:
    now = boottime()
    head = state.head(now)
    ledger = state.ledger
    epoch = ledger.epoch_of(head)
    account = state.signer.key.account_id if state.signer else None
    # The key is not compared with the chain's, and a syncing node never counts as a validator.
    elected = account is not None and ledger.validator(account) is not None and not state.syncing(now)
    yield _sample("near_peer_connections_total", peer_count(state))
    yield _sample("near_is_validator", int(elected))
    yield _sample("near_is_block_producer", int(elected))
    yield _sample("near_is_chunk_producer_for_shard", int(elected), shard_id=0)
    yield _sample("near_epoch_height", epoch)
    for seat in ledger.validators:
        name = seat.account_id
        for metric, kind in (("blocks", Kind.BLOCK), ("chunks", Kind.CHUNK)):
            tally = state.chain.tally(name, kind, epoch, head)
            yield _sample(f"near_validators_{metric}_produced", tally.produced, account_id=name)
            yield _sample(f"near_validators_{metric}_expected", tally.expected, account_id=name)
        tally = state.chain.tally(name, Kind.ENDORSEMENT, epoch, head)
        prefix = "near_validators_chunk_endorsements"
        yield _sample(f"{prefix}_produced_by_shard", tally.produced, account_id=name, shard_id=0)
        yield _sample(f"{prefix}_expected_by_shard", tally.expected, account_id=name, shard_id=0)


class Metrics:
    """Renders /metrics; most gauges change only once per log_summary_period, as neard's do."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._gauges: tuple[str, ...] = ()

    def refresh_gauges(self) -> None:
        """Take the periodic gauges anew."""
        self._gauges = tuple(_periodic(self._state))

    def render(self) -> str:
        """The text of /metrics at this moment."""
        return "\n".join((*_live(self._state), *self._gauges)) + "\n"
