"""The HTTP endpoint that signed events come in by. A signature is its only password; it knows no person.

Nothing is answered with 202 before it is durable; what cannot be taken now is asked for again (503), so nothing is lost
silently. A message that comes again is answered as before.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.web_exceptions import HTTPException

from schemas import events as ev
from schemas.errors import BadInput, Fatal, ReprieveError, Transient
from streams.intake.admission import admitted, fallback_id
from streams.intake.doors import Door
from streams.intake.limits import Bucket, Memory
from streams.intake.metrics import EVENTS, OPEN, REQUESTS, SECONDS
from streams.intake.problems import PREFIX, SAFE, Problem
from streams.partners.roster import Partner
from streams.partners.secrets import Keyring
from streams.partners.signing import Signed, Unsigned, verified
from streams.settings import IntakeSettings

log: Any = structlog.get_logger(__name__)

SOURCE = "source"
_REMEMBERED = 100_000
# An unknown source costs as much as a known one whose signature is wrong.
_NOBODY = [bytes(32)]
_UNSIGNED = (
    "Sign webhook-id, webhook-timestamp and the body's very bytes with the secret of the source that the address names "
    "(Standard Webhooks), and see to your clock."
)


class Intake:
    """Answers for one door. clock: seconds since the epoch."""

    def __init__(
        self,
        settings: IntakeSettings,
        partners: Mapping[str, Partner],
        door: Door,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._sources = {p.id: p for p in partners.values() if p.sends is not None}
        self._keys = {p.id: Keyring(p.sends.secrets) for p in self._sources.values() if p.sends is not None}
        self._buckets = {
            p.id: Bucket(p.sends.events_per_second, p.sends.burst, clock)
            for p in self._sources.values()
            if p.sends is not None
        }
        self._door = door
        self._clock = clock
        self._memory = Memory(2 * settings.tolerance_seconds, _REMEMBERED, clock)
        # Messages that are being taken: one that comes twice at once is taken once.
        self._under_way: set[tuple[str, str]] = set()

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=[self._guard], client_max_size=self._settings.max_body_bytes)
        app.add_routes(
            [
                web.post("/v1/events", self._events),
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
            ]
        )
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            with SECONDS.time():
                response = await handler(request)
        except Problem as problem:
            response = problem.response()
        except HTTPException as error:
            response = _as_problem(error).response()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Its words may hold what a borrower said.
            log.error("intake_failed", error=type(error).__name__)
            response = Problem("broken", "Send it again; if it fails again, tell the lender when it did.").response()
        if request.path == "/v1/events":
            source = request.query.get(SOURCE, "")
            REQUESTS.labels(source if source in self._sources else "unknown", response.status).inc()
        return response

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=SAFE)

    async def _ready(self, request: web.Request) -> web.Response:
        is_open = self._is_open()
        OPEN.set(is_open)
        return web.Response(
            text="ok\n" if is_open else "events cannot be taken yet\n", status=200 if is_open else 503, headers=SAFE
        )

    def _is_open(self) -> bool:
        try:
            return self._door.is_open()
        except ReprieveError as error:
            log.error("intake_closed", error=str(error))
            return False

    # -- one message

    async def _events(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        source = request.query.get(SOURCE, "")
        signed = self._signed(source, request.headers, body)
        digest = hashlib.sha256(body).digest()
        key = (source, signed.message_id)
        before = self._memory.get(*key)
        if before is not None:
            if before.digest != digest:
                raise Problem("id-used", "Give every message a webhook-id of its own, and a repeated one its own body.")
            return _answer(before.status, before.body)
        if key in self._under_way:
            raise self._later("away", "The same message is being taken.", 1)
        self._under_way.add(key)
        try:
            return await self._taken(source, signed, body, digest)
        finally:
            self._under_way.discard(key)

    async def _taken(self, source: str, signed: Signed, body: bytes, digest: bytes) -> web.Response:
        bucket = self._buckets[source]
        wait = bucket.wait()
        if wait > 0:
            raise self._later("too-many", "Send less at a time, or ask the lender for more.", int(wait) + 1)
        values = self._values(body)
        bucket.take(len(values))
        results, events = self._results(source, signed, body, values)
        EVENTS.labels(source, "refused").inc(len(values) - len(events))
        if not events:
            raise Problem("refused", "Correct the events as each result says.", results=results)
        try:
            await self._door.take(events)
        except (Transient, Fatal) as error:
            log.warning("intake_away", source=source, error=str(error))
            raise self._later(
                "away", "Nothing of the message counts as taken.", self._settings.retry_after_seconds
            ) from error
        EVENTS.labels(source, "accepted").inc(len(events))
        said = msgspec.json.encode({"accepted": len(events), "results": results})
        status = 202 if len(events) == len(values) else 207
        self._memory.put(source, signed.message_id, digest, status, said)
        return _answer(status, said)

    async def _body(self, request: web.Request) -> bytes:
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem("media-type", "Send the body as it is, without a Content-Encoding.")
        if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
            raise Problem("media-type", "Send application/json in UTF-8.")
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                return await request.read()
        except TimeoutError as error:
            raise Problem("too-slow", "Send the body at once.", {"connection": "close"}) from error

    def _signed(self, source: str, headers: Mapping[str, str], body: bytes) -> Signed:
        known = self._keys.get(source)
        try:
            keys = _NOBODY if known is None else known.keys()
        except Transient as error:
            log.error("intake_secret_missing", source=source, error=str(error))
            raise self._later(
                "away", "The lender cannot verify you now.", self._settings.retry_after_seconds
            ) from error
        try:
            found = verified(keys, headers, body, now=self._clock(), tolerance=self._settings.tolerance_seconds)
            if known is None:
                raise Unsigned("no such source")
        except Unsigned as error:
            log.warning("intake_unsigned", source=source if known else "unknown", why=str(error))
            raise Problem("unsigned", _UNSIGNED) from error
        return found

    def _values(self, body: bytes) -> list[Any]:
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Problem("malformed", "Send one event as a JSON object, or several as an array of them.") from error
        values = found if isinstance(found, list) else [found]
        if not 1 <= len(values) <= self._settings.max_events:
            raise Problem("too-large", f"Send 1 to {self._settings.max_events} events at a time.")
        return values

    def _results(
        self, source: str, signed: Signed, body: bytes, values: list[Any]
    ) -> tuple[list[dict[str, Any]], list[ev.Event]]:
        """Return what is to be said of each value, and the events of those that are taken."""
        results: list[dict[str, Any]] = []
        events: list[ev.Event] = []
        for number, value in enumerate(values):
            own = fallback_id(source, signed.message_id, body, number)
            try:
                event = admitted(
                    value,
                    self._sources[source],
                    fallback_id=own,
                    now=self._clock(),
                    ahead=self._settings.ahead_seconds,
                )
                self._door.see(event)
            except BadInput as bad:
                results.append(_refusal(number, bad))
            else:
                results.append({"index": number, "status": "accepted", "event_id": event.event_id})
                events.append(event)
        return results, events

    def _later(self, kind: str, detail: str, seconds: int) -> Problem:
        return Problem(kind, detail, {"retry-after": str(seconds)})


def _refusal(number: int, bad: BadInput) -> dict[str, Any]:
    problem = {"type": PREFIX + bad.code.replace("_", "-"), "title": "The event is refused.", "detail": bad.message}
    if bad.field is not None:
        problem["field"] = bad.field
    return {"index": number, "status": "refused", "problem": problem}


def _answer(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, headers={**SAFE, "content-type": "application/json"})


def _as_problem(error: HTTPException) -> Problem:
    """Return the problem that one of the framework's own refusals is."""
    if error.status == 404:
        return Problem("not-found", "Send events to POST /v1/events.")
    if error.status == 405:
        return Problem(
            "method-not-allowed", "Send events to POST /v1/events.", {"allow": error.headers.get("Allow", "")}
        )
    if error.status == 413:
        return Problem("too-large", "Send fewer events at a time.", {"connection": "close"})
    return Problem("malformed", "The request is not as HTTP has it.")
