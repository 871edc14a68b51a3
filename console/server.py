"""The console's server: JSON over what is committed, a stream of what changes, and the page itself.

It listens on loopback unless told otherwise, answers to no other host name, and asks no other host for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from console.answers import asked_again, dead_letters, learner, rules
from console.ledger import Ledger
from console.live import CHECK, Live
from console.rights import RIGHTS
from console.source import Source
from console.stories import Place, account_story, borrower_story, place_of, told_now
from schemas.errors import Fatal, ReprieveError, WrongUse
from state.account import AccountState
from state.borrower import BorrowerState
from state.pack import PackError, default_book
from streams.access.doors import Doors
from streams.access.guard import BODY_BYTES, Access
from streams.access.rights import IDENTITY, SOMEBODY_HERE
from streams.agreement import agreement, recording_of, standing
from streams.endings import ended
from streams.privacy.audit import operator
from streams.privacy.looking import STORY, History, agreement_fields, borrower_shown
from streams.settings import AccessSettings

STATIC = Path(__file__).parent / "static"
# Seconds at least between two messages to a page.
TELL = 0.25
SAFE = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
FOUND = 20
T = TypeVar("T")
_PROBES = ("/livez", "/readyz")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Console:
    """Serves one source.

    hosts: the names by which it may be asked for. failed: told what ended its reading. access: who may; all, without.
    """

    def __init__(
        self,
        source: Source,
        hosts: frozenset[str] = LOOPBACK,
        failed: Callable[[BaseException], None] = lambda error: None,
        access: Access | None = None,
    ) -> None:
        self._source = source
        self._hosts = hosts
        self._access = access or Access(AccessSettings(), RIGHTS)
        self._ledger: Ledger | None = None
        self.live = Live(source, failed)

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=[self._guard, self._access.middleware], client_max_size=BODY_BYTES)
        app.add_routes(Doors(self._access).routes())
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
                web.get("/api/overview", self._overview),
                web.get("/api/changes", self._changes),
                web.get("/api/search", self._search),
                web.get("/api/accounts/{id}", self._account),
                web.get("/api/accounts/{id}/agreements/{plan}", self._agreement),
                web.get("/api/borrowers/{id}", self._borrower),
                web.get("/api/rules", self._rules),
                web.get("/api/learner", self._learner),
                web.get("/api/letters", self._letters),
                web.post("/api/letters/again", self._letters_again),
                web.get("/api/audit", self._audit),
                web.static("/static", STATIC),
            ]
        )
        app.cleanup_ctx.extend((self._access.running, self._reading))
        return app

    # -- reading

    async def _reading(self, app: web.Application) -> AsyncIterator[None]:
        self._source.start()
        try:
            self._ledger = self._source.open()
            task = asyncio.create_task(self.live.keep_up(self._ledger))
            yield
            await ended(task)
            self._ledger.close()
        finally:
            self._source.stop()

    def _open(self) -> Ledger:
        if self._ledger is None:
            raise Fatal("The console is not started.")
        return self._ledger

    # -- answers

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # A page of another site that has its name resolve to us must not read borrowers' stories; probes read none.
        known = request.host.rpartition(":")[0] in self._hosts or request.host in self._hosts
        if not known and request.path not in _PROBES:
            return web.Response(status=403, text="This host name is not served here.\n", headers=SAFE)
        safe = SAFE | ({"Strict-Transport-Security": "max-age=31536000"} if self._access.secure else {})
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(safe)
            raise
        if not response.prepared:
            for name, value in safe.items():
                response.headers.setdefault(name, value)
        return response

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        unready = self.live.unready()
        return web.Response(text=f"{unready or 'ok'}\n", status=503 if unready else 200)

    async def _overview(self, request: web.Request) -> web.Response:
        return web.Response(body=self.live.snapshot(), content_type="application/json")

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**SAFE, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen = -1
        with contextlib.suppress(ConnectionResetError, asyncio.CancelledError):
            while True:
                if seen != self.live.version:
                    seen = self.live.version
                    await response.write(b"data: " + self.live.snapshot() + b"\n\n")
                    await asyncio.sleep(TELL)
                # Not `wait_for`: its task may end without the lock that is given back here.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK), self.live.changed:
                        if seen == self.live.version:
                            await self.live.changed.wait()
                await response.write(b": alive\n\n")
        return response

    async def _search(self, request: web.Request) -> web.Response:
        begins = request.query.get("q", "").strip()[:64]
        if not begins:
            return _json({"accounts": [], "borrowers": []})
        ledger = self._open()
        found = {"accounts": ledger.keys("account", begins, FOUND), "borrowers": ledger.keys("planner", begins, FOUND)}
        return _json(found)

    async def _account(self, request: web.Request) -> web.Response:
        key, ledger, before = request.match_info["id"], self._open(), _before(request)
        state = ledger.state("account", key)
        if not isinstance(state, AccountState):
            raise _absent(f"No account {key} is known.")
        offers = [
            e for e in told_now(e for _, e in ledger.history("planner", state.borrower_id)) if key in e.account_ids
        ]
        offers.sort(key=lambda o: (o.business_date, o.sequence), reverse=True)
        history = ledger.history("account", key)
        await self._on_record(request, partial(self._source.audit.record, [(state.borrower_id, [STORY])]))
        return _json(account_story(state, history, offers, before))

    async def _borrower(self, request: web.Request) -> web.Response:
        key, ledger, before = request.match_info["id"], self._open(), _before(request)
        state = ledger.state("planner", key)
        if not isinstance(state, BorrowerState):
            raise _absent(f"Nothing is known of a borrower {key}: none of his accounts has been in trouble.")
        closed = ledger.meta("closed_through")
        day = date.fromisoformat(closed) if closed else None
        state, history = await self._shown(request, state, ledger.history("planner", key))
        return _json(borrower_story(state, history, day, before))

    async def _shown(
        self, request: web.Request, state: BorrowerState, history: History
    ) -> tuple[BorrowerState, History]:
        """Return what may be shown of a borrower, once it is on record."""
        consents = default_book().policy_for("", "").affordability.purposes
        show = partial(borrower_shown, self._source.audit, state, history, consents=consents)
        return await self._on_record(request, show)

    async def _on_record(self, request: web.Request, record: Callable[..., T]) -> T:
        """Have it written down who looks at somebody, and what for; nothing may be shown before that is done."""
        who = request.get(IDENTITY, SOMEBODY_HERE)
        actor = operator() if who == SOMEBODY_HERE else who.subject
        purpose = request.query.get("purpose", "case_work")
        try:
            return await asyncio.to_thread(record, actor=actor, purpose=purpose)
        except WrongUse as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        except Fatal as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error

    async def _agreement(self, request: web.Request) -> web.Response:
        key, plan = request.match_info["id"], request.match_info["plan"]
        ledger = self._open()
        plans, adjusted = standing(e for _, e in ledger.history("account", key))
        made = next((p for p in plans if p.plan_id == plan), None)
        if made is None:
            raise _absent(f"Account {key} has no plan {plan}.")
        locale: Any = request.query.get("locale")
        recording = recording_of(made, (e for _, e in ledger.history("planner", made.borrower_id)))
        shown = [(made.borrower_id, agreement_fields(recording))]
        await self._on_record(request, partial(self._source.audit.record, shown))
        page = agreement(
            made, locale if locale in ("zh", "en") else None, adjusted=adjusted.get(plan), recording=recording
        )
        return web.Response(text=page, content_type="text/html")

    async def _rules(self, request: web.Request) -> web.Response:
        ledger, source, asked = self._open(), self._source, request.query.get("on")
        try:
            on = None if asked is None else date.fromisoformat(asked)
        except ValueError as error:
            raise web.HTTPBadRequest(text="`on` is a business date, as in 2026-12-31.\n") from error
        closed = ledger.meta("closed_through")
        day = date.fromisoformat(closed) if closed else None
        kept = source.in_force(ledger), source.changes(ledger), source.first_files(ledger)
        try:
            # Reading texts that were not read before takes a moment in which others are answered.
            return _json(await asyncio.to_thread(rules, *kept, day, on))
        except PackError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error

    async def _learner(self, request: web.Request) -> web.Response:
        return _json(learner(self._open(), self.live.pulse))

    async def _letters(self, request: web.Request) -> web.Response:
        before = request.query.get("before")
        if before is not None and not re.fullmatch(r"[0-9]{1,18}", before):
            raise web.HTTPBadRequest(text="`before` is `older` of an answer.\n")
        return _json(dead_letters(self._open(), self.live.pulse, None if before is None else int(before)))

    async def _audit(self, request: web.Request) -> web.Response:
        try:
            return _json(await asyncio.to_thread(self._source.trail, request.query.get("who", "").strip()))
        except Fatal as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error

    async def _letters_again(self, request: web.Request) -> web.Response:
        try:
            again = asked_again(await request.read())
        except msgspec.DecodeError as error:
            raise web.HTTPBadRequest(text=f"It is not said which letters: {error}.\n") from error
        try:
            # It goes on to its end whether or not the page is still there.
            sent = await asyncio.shield(asyncio.to_thread(self._source.send_again, frozenset(again.ids), again.code))
        except ReprieveError as error:
            raise web.HTTPConflict(text=f"{error}\n") from error
        return _json(sent)


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _before(request: web.Request) -> Place | None:
    """Return before which place of a story is asked, None where for the newest."""
    text = request.query.get("before")
    try:
        return None if text is None else place_of(text)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error


def _absent(why: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=why + "\n")
