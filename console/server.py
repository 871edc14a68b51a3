"""The console's server: JSON over a local runtime's data, a stream of what changes, and the page itself.

It listens on loopback unless told otherwise, answers to no other host name, and asks no other host for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from agents.watching import MODEL
from console.ledger import Ledger
from console.pulse import Pulse
from console.stories import account_story, borrower_story
from schemas import events as ev
from schemas.errors import Fatal, WrongUse
from state.account import AccountState
from state.borrower import BorrowerState
from state.learner import LearnerState
from state.learning import FEATURES, Learned
from state.pack import default_book, load_book, load_pack, pack_names
from state.pack_merge import provenance
from streams.agreement import agreement
from streams.endings import ended
from streams.privacy.audit import FileAudit, operator
from streams.privacy.looking import History, borrower_shown

STATIC = Path(__file__).parent / "static"
PAGE = 5_000
# Seconds between looks at the log, and at least between two messages to a page.
LOOK, TELL = 0.1, 0.25
SAFE = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
FOUND = 20


class Console:
    """Serves one data directory. `hosts`: the names by which it may be asked for."""

    def __init__(self, folder: Path, hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost", "[::1]"})) -> None:
        self._folder = folder
        self._hosts = hosts
        self._audit = FileAudit(folder, "reprieve.console")
        self._ledger: Ledger | None = None
        self.pulse = Pulse()
        self._position = 0
        self._changed = asyncio.Condition()
        self._rates: deque[tuple[float, int]] = deque(maxlen=50)
        self._caught_up = False

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=[self._guard])
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
                web.static("/static", STATIC),
            ]
        )
        app.cleanup_ctx.append(self._reading)
        return app

    # -- reading the log

    async def _reading(self, app: web.Application) -> AsyncIterator[None]:
        self._ledger = Ledger(self._folder)
        task = asyncio.create_task(self._follow())
        yield
        await ended(task)
        self._ledger.close()

    async def _follow(self) -> None:
        ledger = self._open()
        while True:
            rows = ledger.after(self._position, PAGE)
            for position, event in rows:
                self._position = position
                if event is not None:
                    self.pulse.take(event)
            self._rates.append((time.monotonic(), self.pulse.came))
            if rows:
                async with self._changed:
                    self._changed.notify_all()
            if len(rows) < PAGE:
                self._caught_up = True
                await asyncio.sleep(LOOK)
            else:
                await asyncio.sleep(0)

    def _open(self) -> Ledger:
        if self._ledger is None:
            raise Fatal("The console is not started.")
        return self._ledger

    def _snapshot(self) -> dict[str, Any]:
        (began, before), (now, came) = self._rates[0], self._rates[-1]
        rate = (came - before) / (now - began) if now > began else 0.0
        return {**self.pulse.snapshot(), "events_per_second": round(rate)}

    # -- answers

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # A page of another site that has its name resolve to us must not read borrowers' stories.
        if request.host.rpartition(":")[0] not in self._hosts and request.host not in self._hosts:
            return web.Response(status=403, text="This host name is not served here.\n", headers=SAFE)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(SAFE)
            raise
        if not response.prepared:
            response.headers.update(SAFE)
        return response

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        return web.Response(
            text="ok\n" if self._caught_up else "reading the log\n", status=200 if self._caught_up else 503
        )

    async def _overview(self, request: web.Request) -> web.Response:
        return _json(self._snapshot())

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**SAFE, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen = -1
        with contextlib.suppress(ConnectionResetError, asyncio.CancelledError):
            while True:
                if seen != self._position:
                    seen = self._position
                    await response.write(b"data: " + msgspec.json.encode(self._snapshot()) + b"\n\n")
                    await asyncio.sleep(TELL)
                async with self._changed:
                    if seen == self._position:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._changed.wait(), 10)
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
        key, ledger = request.match_info["id"], self._open()
        state = ledger.state("account", key)
        if not isinstance(state, AccountState):
            raise _absent(f"No account {key} is known.")
        offers = [
            e
            for _, e in ledger.history("planner", state.borrower_id)
            if isinstance(e, ev.OfferPublished) and key in e.account_ids
        ]
        offers.sort(key=lambda o: (o.business_date, o.sequence), reverse=True)
        return _json(account_story(state, ledger.history("account", key), offers))

    async def _borrower(self, request: web.Request) -> web.Response:
        key, ledger = request.match_info["id"], self._open()
        state = ledger.state("planner", key)
        if not isinstance(state, BorrowerState):
            raise _absent(f"Nothing is known of a borrower {key}: none of his accounts has been in trouble.")
        closed = ledger.meta("closed_through")
        day = date.fromisoformat(closed) if closed else None
        state, history = await self._shown(request, state, ledger.history("planner", key))
        return _json(borrower_story(state, history, day))

    async def _shown(
        self, request: web.Request, state: BorrowerState, history: History
    ) -> tuple[BorrowerState, History]:
        """Return what may be shown of a borrower, once it is on record."""
        show = partial(
            borrower_shown,
            self._audit,
            state,
            history,
            actor=request.get("actor") or operator(),
            purpose=request.query.get("purpose", "case_work"),
            consents=default_book().policy_for("", "").affordability.purposes,
        )
        try:
            return await asyncio.to_thread(show)
        except WrongUse as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        except Fatal as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error

    async def _agreement(self, request: web.Request) -> web.Response:
        key, plan = request.match_info["id"], request.match_info["plan"]
        found = [e for _, e in self._open().history("account", key) if isinstance(e, ev.PlanActivated)]
        made = next((p for p in found if p.plan_id == plan), None)
        if made is None:
            raise _absent(f"Account {key} has no plan {plan}.")
        locale: Any = request.query.get("locale")
        page = agreement(made, locale if locale in ("zh", "en") else None)
        return web.Response(text=page, content_type="text/html")

    async def _rules(self, request: web.Request) -> web.Response:
        packs = [load_pack(name) for name in pack_names()]
        rows = [
            {"jurisdictions": list(row.jurisdictions), "products": list(row.products), "packs": list(row.packs)}
            for row in load_book().rows
        ]
        return _json(
            {
                "in_force": self._open().meta("book"),
                "book": rows,
                "packs": [
                    {
                        "name": pack.name,
                        "version": pack.version,
                        "title": pack.title,
                        "rules": [
                            {"path": m.path, "value": m.value, "verified": m.verified, "source": m.source}
                            for m in provenance([pack])
                        ],
                    }
                    for pack in packs
                ],
            }
        )

    async def _learner(self, request: web.Request) -> web.Response:
        state = self._open().state("learner", MODEL)
        model, groups = self.pulse.model, dict(self.pulse.groups)
        if not isinstance(state, LearnerState):
            return _json({"version": 0, "groups": groups, "counts": {}, "rows": 0, "tripped": "", "weights": []})
        return _json(
            {
                "version": state.version,
                "rows": state.sums.rows,
                "groups": groups,
                "counts": state.counts,
                "tripped": state.tripped,
                "weights": _weights(model),
            }
        )

    async def _letters(self, request: web.Request) -> web.Response:
        ledger = self._open()
        again = ledger.replayed()
        # What a letter holds may be personal; a page shows where it came from and what was wrong with it.
        letters = [
            {
                "id": e.event_id,
                "at": e.occurred_at.isoformat(),
                "topic": e.topic,
                "offset": e.offset,
                "code": e.code,
                "message": e.message,
                "replayed": e.event_id in again,
            }
            for e in ledger.letters(200)
        ]
        return _json(
            {"count": sum(self.pulse.letters.values()), "by_code": dict(self.pulse.letters), "letters": letters}
        )


def _weights(model: ev.ModelUpdated | None) -> list[dict[str, Any]]:
    """Return what each figure of an option is believed to add to the reward, and how sure that is."""
    if model is None:
        return []
    return [
        {"name": name, "mean": mean, "deviation": deviation}
        for name, (mean, deviation) in zip(FEATURES, Learned(model).posterior.weights(), strict=True)
    ]


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _absent(why: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=why + "\n")


class ServedConsole:
    """A console in a thread of its own. Use as a context manager; `url` is where it is."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        self._folder, self._host, self._port = folder, host, port
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self.url = ""

    def __enter__(self) -> ServedConsole:
        self._thread.start()
        self._started.wait()
        if isinstance(self._failed, Fatal):
            raise self._failed
        if self._failed is not None:
            raise Fatal(
                f"The console cannot listen on {self._host}:{self._port}: {self._failed}. Choose another --port."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner: web.AppRunner | None = None
        try:
            runner = self._loop.run_until_complete(self._serve())
        except (OSError, Fatal) as error:
            self._failed = error
        self._started.set()
        if runner is not None:
            self._loop.run_forever()
            self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _serve(self) -> web.AppRunner:
        hosts = frozenset({"127.0.0.1", "localhost", "[::1]", self._host})
        runner = web.AppRunner(Console(self._folder, hosts).application(), access_log=None, shutdown_timeout=0.5)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self.url = f"http://{self._host}:{runner.addresses[0][1]}"
        return runner
