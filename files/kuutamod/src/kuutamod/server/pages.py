# SPDX-License-Identifier: Apache-2.0
"""The pages of the exporter, each a function of one view of the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from ..core.model import NodeState, label, phase
from ..core.readiness import ineligible
from . import role
from .encode import Json, body, line
from .metrics import CONTENT_TYPE, Metrics
from .node_status import status
from .view import View

PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True)
class Reply:
    """What goes back."""

    status: HTTPStatus
    kind: str
    body: bytes


@dataclass(frozen=True)
class Wish:
    """How the answer is wanted: the query of the address, and the header ``Accept``."""

    query: str = ""
    accept: str = ""

    @property
    def form(self) -> str:
        """``json`` or ``text``, or whatever else was asked for; the address goes before the header."""
        asked = parse_qs(self.query, keep_blank_values=True).get("format")
        if asked is not None:
            return asked[-1]
        ranges = {part.partition(";")[0].strip().lower() for part in self.accept.split(",")}
        return "json" if JSON in ranges else "text"


Page = Callable[[View, Wish], Reply]


class Pages:
    """Answers every path."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pages: dict[str, Page] = {
            "/metrics": self._render,
            "/health": lambda _view, _wish: Reply(HTTPStatus.OK, PLAIN, b"OK"),
            "/neard-pid": _neard_pid,
            "/status": lambda view, _wish: Reply(HTTPStatus.OK, JSON, body(status(view))),
            "/active": _role_page("active", role.active),
            "/standby": _role_page("standby", role.standby),
            "/ready": _role_page("ready", role.ready),
            "/history": self._history,
        }

    def answer(self, target: str, accept: str, view: View) -> Reply:
        """The reply to a path with its query; ``accept``: the header of that name."""
        path, _unused, query = target.partition("?")
        page = self._pages.get(path)
        if page is None:
            known = ", ".join(self._pages)
            return Reply(HTTPStatus.NOT_FOUND, PLAIN, f"not found; there are {known}\n".encode())
        return page(view, Wish(query, accept))

    def _render(self, view: View, _wish: Wish) -> Reply:
        return Reply(HTTPStatus.OK, CONTENT_TYPE, self._metrics.render(view))

    def _history(self, view: View, _wish: Wish) -> Reply:
        identity = view.state.identity
        terms = [record.told() for record in self._metrics.observed.terms(view.state)]
        found: Json = {"account": identity.account_id, "node": identity.node_id, "at": view.wall, "terms": terms}
        return Reply(HTTPStatus.OK, JSON, body(found))


def _neard_pid(view: View, _wish: Wish) -> Reply:
    """As in the Rust kuutamod: the number alone, nothing without one."""
    pid = view.state.child.pid if view.state.child is not None else None
    return Reply(HTTPStatus.OK, PLAIN, b"" if pid is None else str(pid).encode())


def _role_page(name: str, ask: Callable[[NodeState, float], role.Verdict]) -> Page:
    """For load balancers and monitors: the status code is the answer, one line says why."""

    def page(view: View, wish: Wish) -> Reply:
        if wish.form not in ("json", "text"):
            remedy = f"format is {line(wish.form)[:40]!r} in the address; it must be json or text\n"
            return Reply(HTTPStatus.BAD_REQUEST, PLAIN, remedy.encode())
        verdict = ask(view.state, view.now)
        code = HTTPStatus.OK if verdict.yes else HTTPStatus.SERVICE_UNAVAILABLE
        if wish.form == "json":
            return Reply(code, JSON, body(_verdict_json(name, verdict, view)))
        return Reply(code, PLAIN, line(f"{'' if verdict.yes else 'not '}{name}: {verdict.why}").encode() + b"\n")

    return page


def _verdict_json(name: str, verdict: role.Verdict, view: View) -> Json:
    state, lease = view.state, view.state.lease
    return {
        name: verdict.yes,
        "why": line(verdict.why),
        "node": state.identity.node_id,
        "account": state.identity.account_id,
        "at": view.wall,
        "state": label(state).value,
        "phase": phase(state).value or None,
        "term": None if lease is None else lease.term,
        "ineligible": [reason.code for reason in ineligible(state, view.now)],
    }
