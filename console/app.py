"""The console's server: JSON over what is committed, a stream of what changes, and the page itself.

It listens on loopback by default, serves no other host name, and requests nothing from other hosts.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from agents.account.agent import AccountAgent
from agents.account.rules import Rules
from agents.account.view import as_of
from console.account_page import account_page, account_summary
from console.borrower_page import active_accounts, borrower_page, consent_purposes
from console.dead_letters_page import dead_letters_page, parse_redrive
from console.learner_page import learner_page
from console.offers import offers_of
from console.overview_feed import CHECK_INTERVAL, OverviewFeed
from console.permissions import RIGHTS
from console.quarantine import quarantined
from console.read_store import ReadStore
from console.rulebook import rules_page
from console.source import Source
from console.timelines import Cursor, parse_cursor
from schemas.errors import FatalError, ReprieveError, UsageError
from state.account import AccountState
from state.borrower import BorrowerState
from state.policy_packs.problems import PackError
from streams.agreement import agreement, policy_of, recording_of, standing
from streams.engine.quarantine import HeldKey
from streams.http.auth.login_routes import LoginRoutes
from streams.http.auth.middleware import BODY_BYTES, Authenticator
from streams.http.auth.permissions import IDENTITY, SOMEBODY_HERE
from streams.security.audit import operator
from streams.security.disclosure import agreement_fields, disclose_borrower, disclosed_fields_of
from streams.settings import AccessSettings
from streams.shutdown import cancel_and_wait
from streams.storage_faults import Cause, StorageError

STATIC = Path(__file__).parent / "static"
# Seconds at least between two messages to a page.
NOTIFY_INTERVAL = 0.25
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


class ConsoleApp:
    """Serves one source.

    hosts: the host names that it serves. failed: called with the error that ends reading. access: all may, without.
    """

    def __init__(
        self,
        source: Source,
        hosts: frozenset[str] = LOOPBACK,
        failed: Callable[[BaseException], None] = lambda error: None,
        access: Authenticator | None = None,
    ) -> None:
        self._source = source
        self._hosts = hosts
        self._access = access or Authenticator(AccessSettings(), RIGHTS)
        self._store: ReadStore | None = None
        self._accounts = AccountAgent()
        self.feed = OverviewFeed(source, failed)

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=[self._guard, self._access.middleware], client_max_size=BODY_BYTES)
        app.add_routes(LoginRoutes(self._access).routes())
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/api/overview", self._overview),
                web.get("/api/changes", self._changes),
                web.get("/api/search", self._search),
                web.get("/api/accounts/{id}", self._account),
                web.get("/api/accounts/{id}/agreements/{plan}", self._agreement),
                web.get("/api/borrowers/{id}", self._borrower),
                web.get("/api/rules", self._rules),
                web.get("/api/learner", self._learner),
                web.get("/api/letters", self._dead_letters),
                web.post("/api/letters/again", self._redrive),
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
            self._store = self._source.open()
            task = asyncio.create_task(self.feed.run(self._store))
            yield
            await cancel_and_wait(task)
            self._store.close()
        finally:
            self._source.stop()

    def _open(self) -> ReadStore:
        if self._store is None:
            raise FatalError("The console is not started.")
        return self._store

    # -- answers

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # DNS rebinding: another site's page whose name resolves to us must not read borrowers' data; probes have none.
        known = request.host.rpartition(":")[0] in self._hosts or request.host in self._hosts
        if not known and request.path not in _PROBES:
            return web.Response(status=403, text="This host name is not served here.\n", headers=SAFE)
        safe = SAFE | ({"Strict-Transport-Security": "max-age=31536000"} if self._access.secure else {})
        try:
            with self._open().faults():
                response = await handler(request)
        except StorageError as error:
            if error.cause is Cause.DAMAGED:
                await self.feed.fail(error)
            return web.Response(status=503, text=f"{error}\n", headers=safe)
        except PackError as error:
            return web.Response(status=503, text=f"{error}\n", headers=safe)
        except web.HTTPException as error:
            error.headers.update(safe)
            raise
        if not response.prepared:
            for name, value in safe.items():
                response.headers.setdefault(name, value)
        return response

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        unready = self.feed.unready()
        return web.Response(text=f"{unready or 'ok'}\n", status=503 if unready else 200)

    async def _overview(self, request: web.Request) -> web.Response:
        return web.Response(body=self.feed.encoded(), content_type="application/json")

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**SAFE, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen = -1
        with contextlib.suppress(ConnectionResetError, asyncio.CancelledError):
            while True:
                if seen != self.feed.version:
                    seen = self.feed.version
                    await response.write(b"data: " + self.feed.encoded() + b"\n\n")
                    await asyncio.sleep(NOTIFY_INTERVAL)
                # Not `wait_for`: its task may end without the lock that is released here.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_INTERVAL), self.feed.changed:
                        if seen == self.feed.version:
                            await self.feed.changed.wait()
                await response.write(b": alive\n\n")
        return response

    async def _search(self, request: web.Request) -> web.Response:
        begins = request.query.get("q", "").strip()[:64]
        if not begins:
            return _json({"accounts": [], "borrowers": []})
        store = self._open()
        found = {"accounts": store.keys("account", begins, FOUND), "borrowers": store.keys("planner", begins, FOUND)}
        return _json(found)

    async def _account(self, request: web.Request) -> web.Response:
        key, store, before = request.match_info["id"], self._open(), _before(request)
        state = store.state("account", key)
        if not isinstance(state, AccountState):
            raise _absent(f"No account {key} is known.")
        borrower = store.state("planner", state.borrower_id)
        known = borrower if isinstance(borrower, BorrowerState) else None
        offers = offers_of(known, (e for _, e in store.history("planner", state.borrower_id)), key)
        history = store.history("account", key)
        await self._on_record(request, partial(self._source.audit.record, disclosed_fields_of(state)))
        closed, held = self._closed(store), store.held()
        shown, rules = self._as_of(store, state, closed, held)
        book = self._source.policies(store).in_force_on(closed + 1)
        by_default = book.is_by_default(state.jurisdiction, state.product)
        page = account_page(shown, rules, history, offers, closed, before, by_default=by_default)
        return _json(page | quarantined(held, ("account", key), ("planner", state.borrower_id)))

    def _as_of(
        self, store: ReadStore, state: AccountState, closed: int, held: Mapping[tuple[str, str], HeldKey]
    ) -> tuple[AccountState, Rules]:
        """Return an account as of the last closed day (ordinal), visited on it or not, and its rules.

        One in quarantine stays as it was: its payments wait, and what fails on it is not to fail here.
        """
        rules = self._accounts.rules(self._source.policies(store), state)
        return state if ("account", state.account_id) in held else as_of(state, rules, closed), rules

    def _closed(self, store: ReadStore) -> int:
        """Return the last closed day (ordinal), 0 before the first."""
        closed = store.meta("closed_through")
        return date.fromisoformat(closed).toordinal() if closed else 0

    async def _borrower(self, request: web.Request) -> web.Response:
        key, store, before = request.match_info["id"], self._open(), _before(request)
        state = store.state("planner", key)
        if not isinstance(state, BorrowerState):
            raise _absent(f"Nothing is known of a borrower {key}: none of their accounts has been in trouble.")
        closed, held = self._closed(store), store.held()
        found = (store.state("account", account) for account in active_accounts(state))
        accounts = [self._as_of(store, account, closed, held) for account in found if isinstance(account, AccountState)]
        policies = self._source.policies(store).in_force_on(closed + 1)
        # Nothing is shown before it is recorded.
        show = partial(
            disclose_borrower,
            self._source.audit,
            state,
            store.history("planner", key),
            consents=consent_purposes(policies, (account for account, _ in accounts)),
            accounts=bool(accounts),
        )
        shown, history = await self._on_record(request, show)
        summaries = [account_summary(account, rules, closed) for account, rules in accounts]
        page = borrower_page(shown, history, summaries, date.fromordinal(closed) if closed else None, before)
        return _json(page | quarantined(held, ("planner", key), *(("account", a.account_id) for a, _ in accounts)))

    async def _on_record(self, request: web.Request, record: Callable[..., T]) -> T:
        """Record who looks at whose data, and the purpose; nothing may be shown before that is acknowledged."""
        who = request.get(IDENTITY, SOMEBODY_HERE)
        actor = operator() if who == SOMEBODY_HERE else who.subject
        purpose = request.query.get("purpose", "case_work")
        try:
            return await asyncio.to_thread(record, actor=actor, purpose=purpose)
        except UsageError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        except FatalError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error

    async def _agreement(self, request: web.Request) -> web.Response:
        key, plan = request.match_info["id"], request.match_info["plan"]
        store = self._open()
        plans, adjusted = standing(e for _, e in store.history("account", key))
        made = next((p for p in plans if p.plan_id == plan), None)
        if made is None:
            raise _absent(f"Account {key} has no plan {plan}.")
        locale: Any = request.query.get("locale")
        recording = recording_of(made, (e for _, e in store.history("planner", made.borrower_id)))
        shown = [(made.borrower_id, agreement_fields(recording))]
        await self._on_record(request, partial(self._source.audit.record, shown))
        account = store.state("account", key)
        assert isinstance(account, AccountState)
        policy = policy_of(made, account, self._source.policies(store))
        page = agreement(
            made,
            locale if locale in ("zh", "en") else None,
            adjusted=adjusted.get(plan),
            recording=recording,
            policy=policy,
            jurisdiction=account.jurisdiction,
            account=account,
        )
        return web.Response(text=page, content_type="text/html")

    async def _rules(self, request: web.Request) -> web.Response:
        store, source, asked = self._open(), self._source, request.query.get("on")
        try:
            on = None if asked is None else date.fromisoformat(asked)
        except ValueError as error:
            raise web.HTTPBadRequest(text="`on` is a business date, as in 2026-12-31.\n") from error
        closed = store.meta("closed_through")
        day = date.fromisoformat(closed) if closed else None
        texts = source.in_force(store), source.changes(store), source.first_files(store)
        # Parsing new texts takes a moment in which others are answered.
        return _json(await asyncio.to_thread(rules_page, *texts, day, on))

    async def _learner(self, request: web.Request) -> web.Response:
        return _json(learner_page(self._open(), self.feed.projection))

    async def _dead_letters(self, request: web.Request) -> web.Response:
        before = request.query.get("before")
        if before is not None and not re.fullmatch(r"[0-9]{1,18}", before):
            raise web.HTTPBadRequest(text="`before` is `older` of an answer.\n")
        return _json(dead_letters_page(self._open(), self.feed.projection, None if before is None else int(before)))

    async def _audit(self, request: web.Request) -> web.Response:
        try:
            return _json(await asyncio.to_thread(self._source.audit_page, request.query.get("who", "").strip()))
        except FatalError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error

    async def _redrive(self, request: web.Request) -> web.Response:
        try:
            asked = parse_redrive(await request.read())
        except msgspec.DecodeError as error:
            raise web.HTTPBadRequest(text=f"The request names no dead letters: {error}.\n") from error
        try:
            # It continues even if the page is closed.
            sent = await asyncio.shield(asyncio.to_thread(self._source.redrive, frozenset(asked.ids), asked.code))
        except ReprieveError as error:
            raise web.HTTPConflict(text=f"{error}\n") from error
        return _json(sent)


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _before(request: web.Request) -> Cursor | None:
    """Return the cursor of a request, None for the latest page."""
    text = request.query.get("before")
    try:
        return None if text is None else parse_cursor(text)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error


def _absent(why: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=why + "\n")
