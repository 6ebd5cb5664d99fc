# SPDX-License-Identifier: Apache-2.0
"""The HTTP routes and JSON-RPC methods of a node (nearcore: chain/jsonrpc)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from neard_standin.ledger import Kind, Validator
from neard_standin.metrics import Metrics
from neard_standin.procfs import boottime
from neard_standin.server import Request, Response
from neard_standin.state import NodeState
from neard_standin.views import block_hash, epoch_id, health_problem, network_info, status, wall_clock_of

_STAKE = str(5 * 10**30)  # yoctoNEAR
_GAS_LIMIT = 10**15
# Percent of duties below which a seat is lost (epoch_configs of mainnet).
_KICKOUT_PERCENT = 80
_WINDOW_OBJECTS_SINCE = (2, 7)


class RpcError(Exception):
    """A JSON-RPC error with the HTTP status that neard gives it since 2.4."""

    def __init__(self, http: int, name: str, cause: str, info: dict[str, Any] | None = None, code: int = -32000) -> None:
        super().__init__(cause)
        self.http = http
        self.body = {
            "name": name,
            "cause": {"name": cause, "info": info or {}},
            "code": code,
            "message": "Server error" if code == -32000 else cause,
            "data": cause,
        }


def _invalid(message: str, cause: str = "PARSE_ERROR", code: int = -32700) -> RpcError:
    return RpcError(400, "REQUEST_VALIDATION_ERROR", cause, {"error_message": message}, code)


class Rpc:
    """Answers the requests to one node."""

    def __init__(self, state: NodeState, metrics: Metrics) -> None:
        self._state = state
        self._metrics = metrics
        self._methods: dict[str, Callable[[Any], Any]] = {
            "status": lambda _unused: status(state),
            "health": self._health,
            "network_info": lambda _unused: network_info(state),
            "validators": self._validators,
            "block": self._block,
            "maintenance_windows": self._maintenance_windows,
            "protocol_config": self._protocol_config,
        }
        for name in ("maintenance_windows", "protocol_config"):
            self._methods[f"EXPERIMENTAL_{name}"] = self._methods[name]

    def answer(self, request: Request) -> Response:
        """The response to one HTTP request."""
        if request.path == "/":
            return self._post(request.body) if request.method == "POST" else Response(405)
        if request.method not in ("GET", "HEAD"):
            return Response(405)
        match request.path:
            case "/status":
                return _json(200, status(self._state))
            case "/health":
                return Response(503) if health_problem(self._state) else _json(200, None)
            case "/network_info":
                return _json(200, network_info(self._state))
            case "/metrics":
                return Response(200, self._metrics.render().encode(), "text/plain; version=0.0.4")
        return Response(404)

    def _post(self, body: bytes) -> Response:
        identifier = None
        try:
            try:
                call = json.loads(body)
            except ValueError as error:
                raise _invalid(str(error)) from error
            if not isinstance(call, dict) or not isinstance(call.get("method"), str):
                raise _invalid("an object with a method is expected")
            identifier = call.get("id")
            method = self._methods.get(call["method"])
            if method is None:
                raise _invalid(f"unknown method {call['method']}", "METHOD_NOT_FOUND", -32601)
            return _json(200, {"jsonrpc": "2.0", "result": method(call.get("params")), "id": identifier})
        except RpcError as error:
            return _json(error.http, {"jsonrpc": "2.0", "error": error.body, "id": identifier})

    def _health(self, _unused: Any) -> None:
        if problem := health_problem(self._state):
            raise RpcError(200, "HANDLER_ERROR", problem)

    def _block(self, params: Any) -> dict[str, Any]:
        state = self._state
        head = state.head(boottime())
        if not isinstance(params, dict) or not params.keys() & {"finality", "block_id"}:
            raise _invalid("block: params need finality or block_id")
        height = self._height_of(params["block_id"], head) if "block_id" in params else head
        author = state.chain.author(height) if 0 <= height <= head else None
        if author is None:
            skipped = 0 <= height <= head
            raise RpcError(422 if skipped else 200, "HANDLER_ERROR", "UNKNOWN_BLOCK", {"height": height})
        previous = next((below for below in range(height - 1, -1, -1) if state.chain.author(below)), None)
        header = {
            "height": height,
            "hash": block_hash(state, height),
            "prev_height": previous,
            "prev_hash": None if previous is None else block_hash(state, previous),
            "epoch_id": epoch_id(state, height),
            "timestamp": int(wall_clock_of(state, height) * 10**9),
            "timestamp_nanosec": str(int(wall_clock_of(state, height) * 10**9)),
            "latest_protocol_version": state.ledger.protocol_version,
            "chunk_mask": [True],
            "approvals": [],
        }
        chunk = {"shard_id": 0, "height_created": height, "height_included": height, "gas_limit": _GAS_LIMIT}
        return {"author": author.account_id, "header": header, "chunks": [chunk]}

    def _height_of(self, block_id: Any, head: int) -> int:
        if isinstance(block_id, int):
            return block_id
        oldest = max(0, head - 5 * self._state.ledger.epoch_length)
        found = (height for height in range(head, oldest - 1, -1) if block_hash(self._state, height) == block_id)
        return next(found, -1)

    def _epoch_of(self, params: Any, head: int) -> int:
        """The epoch which the params of `validators` select: the latest, or the one of a block."""
        ledger = self._state.ledger
        selector: Any = params
        if isinstance(params, list) and params:
            selector = params[0]
        if isinstance(params, dict):
            if "epoch_id" in params:
                epochs = range(ledger.epoch_of(head), -1, -1)
                known = {epoch_id(self._state, ledger.epoch_start(epoch)): epoch for epoch in epochs[:6]}
                selector = known.get(params["epoch_id"], -1)
                return self._known_epoch(selector)
            selector = params.get("block_id")
        if selector is None or selector == "latest":
            return ledger.epoch_of(head)
        height = self._height_of(selector, head)
        return self._known_epoch(ledger.epoch_of(height) if 0 <= height <= head else -1)

    @staticmethod
    def _known_epoch(epoch: int) -> int:
        if epoch < 0:
            raise RpcError(200, "HANDLER_ERROR", "UNKNOWN_EPOCH")
        return epoch

    def _seat(self, seat: Validator, epoch: int, head: int) -> dict[str, Any]:
        tallies = {kind: self._state.chain.tally(seat.account_id, kind, epoch, head) for kind in Kind}
        content: dict[str, Any] = {
            "account_id": seat.account_id,
            "public_key": seat.public_key,
            "is_slashed": False,
            "stake": _STAKE,
            "shards": [0],
            "shards_endorsed": [0],
        }
        for kind, tally in tallies.items():
            content[f"num_produced_{kind}s"] = tally.produced
            content[f"num_expected_{kind}s"] = tally.expected
            if kind is not Kind.BLOCK:
                content[f"num_produced_{kind}s_per_shard"] = [tally.produced]
                content[f"num_expected_{kind}s_per_shard"] = [tally.expected]
        return content

    def _kickout(self, seat: Validator, epoch: int, head: int) -> dict[str, Any] | None:
        """Why the seat would be lost after `epoch`. Told only: the stand-in's seats are never taken away."""
        reasons = {
            Kind.BLOCK: "NotEnoughBlocks",
            Kind.CHUNK: "NotEnoughChunks",
            Kind.ENDORSEMENT: "NotEnoughChunkEndorsements",
        }
        for kind, reason in reasons.items():
            tally = self._state.chain.tally(seat.account_id, kind, epoch, head)
            if tally.produced * 100 < tally.expected * _KICKOUT_PERCENT:
                counts = {"produced": tally.produced, "expected": tally.expected}
                return {"account_id": seat.account_id, "reason": {reason: counts}}
        return None

    def _validators(self, params: Any) -> dict[str, Any]:
        state = self._state
        head = state.head(boottime())
        epoch = self._epoch_of(params, head)
        seats = state.ledger.validators
        common = {"stake": _STAKE, "shards": [0]}
        kickouts = (self._kickout(seat, epoch - 1, head) for seat in seats) if epoch else ()
        return {
            "current_validators": [self._seat(seat, epoch, head) for seat in seats],
            "next_validators": [{"account_id": seat.account_id, "public_key": seat.public_key, **common} for seat in seats],
            "current_proposals": [],
            "prev_epoch_kickout": [kickout for kickout in kickouts if kickout],
            "current_fishermen": [],
            "next_fishermen": [],
            "epoch_start_height": state.ledger.epoch_start(epoch),
            "epoch_height": epoch,
        }

    def _maintenance_windows(self, params: Any) -> list[Any]:
        """Ranges of heights to the end of the epoch in which the account produces neither blocks nor chunks."""
        if not isinstance(params, dict) or not isinstance(params.get("account_id"), str):
            raise _invalid("maintenance_windows: params need account_id")
        state = self._state
        head = state.head(boottime())
        ledger = state.ledger
        end = ledger.epoch_start(ledger.epoch_of(head) + 1)
        windows: list[tuple[int, int]] = []
        for height in range(head, end):
            if set(ledger.duties_at(params["account_id"], height)) - {Kind.ENDORSEMENT}:
                continue
            if windows and windows[-1][1] == height:
                windows[-1] = (windows[-1][0], height + 1)
            else:
                windows.append((height, height + 1))
        if state.behaviour.release >= _WINDOW_OBJECTS_SINCE:
            return [{"start": first, "end": last} for first, last in windows]
        return [list(window) for window in windows]

    def _protocol_config(self, _unused: Any) -> dict[str, Any]:
        ledger = self._state.ledger
        return {
            "chain_id": self._state.genesis.chain_id,
            "epoch_length": ledger.epoch_length,
            "protocol_version": ledger.protocol_version,
            "block_producer_kickout_threshold": _KICKOUT_PERCENT,
            "chunk_producer_kickout_threshold": _KICKOUT_PERCENT,
            "chunk_validator_only_kickout_threshold": _KICKOUT_PERCENT,
            "online_min_threshold": [90, 100],
            "online_max_threshold": [99, 100],
            "max_kickout_stake_perc": 30,
        }


def _json(http: int, value: Any) -> Response:
    return Response(http, json.dumps(value).encode())
