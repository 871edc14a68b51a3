"""The HTTP endpoint that signed events come in by. A signature is its only password; it knows no person.

Nothing is answered with 202 before it is durable; what cannot be taken now is asked for again (503), so nothing is lost
silently. A message that comes again is answered as before.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

import msgspec
import prometheus_client as prometheus
import structlog
from aiohttp import web
from aiohttp.web_exceptions import HTTPException
from msgspec import Struct

from schemas import events as ev
from schemas.errors import FatalError, InvalidEventError, ReprieveError, RetryableError
from streams.http.health import HealthStatus, health
from streams.http.intake.admission import admitted, fallback_id
from streams.http.intake.problem_details import PREFIX, SAFE, ProblemError
from streams.http.rate_limiter import RateLimiter
from streams.http.request_origin import Network, networks
from streams.http.server import ClientDisconnectedError, HttpServer, listening, read_body
from streams.partners.partner_registry import Partner
from streams.partners.secrets import Keyring
from streams.partners.signing import SignatureError, Signed, verified
from streams.settings import HttpSettings, IntakeSettings, Settings
from streams.shutdown import wait_for_signal

log: Any = structlog.get_logger(__name__)

# Sources are a closed set from their file.
REQUESTS = prometheus.Counter(
    "reprieve_intake_requests_total", "Messages answered, by source and status.", ["source", "status"]
)
EVENTS = prometheus.Counter(
    "reprieve_intake_events_total", "Events of messages, by what became of them.", ["source", "outcome"]
)
SECONDS = prometheus.Histogram("reprieve_intake_seconds", "Time to answer a message.")
OPEN = prometheus.Gauge("reprieve_intake_open", "1 while events can be taken.")

SOURCE = "source"
_REMEMBERED = 100_000
# An unknown source costs as much as a known one whose signature is wrong.
_NOBODY = [bytes(32)]
_UNSIGNED = (
    "Sign webhook-id, webhook-timestamp and the body's very bytes with the secret of the source that the address names "
    "(Standard Webhooks), and see to your clock."
)


class EventSink(Protocol):
    """Takes events durably."""

    async def open(self) -> None:
        """Begin; does not wait for what is away."""

    async def close(self) -> None:
        """End."""

    def is_open(self) -> bool:
        """Say whether events can be taken now."""

    def check_size(self, event: ev.Event) -> None:
        """Raise InvalidEventError where an event could never be taken."""

    async def take(self, events: Sequence[ev.Event]) -> None:
        """Take events in their order.

        Raises RetryableError where they may not be durable; then they may be sent again.
        """


class Answered(Struct):
    """A message that was answered: the digest of its body, when, and the answer."""

    digest: bytes
    at: float
    status: int
    body: bytes


class AnswerCache:
    """Messages that were answered within a window, bounded; older ones are refused by their timestamps.

    What a restart forgets does no harm: a message that is taken again has the same ids.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds, self._most = seconds, most
        self._held: OrderedDict[tuple[str, str], Answered] = OrderedDict()

    def get(self, source: str, message_id: str) -> Answered | None:
        """Return what was answered to a message, None where it is new."""
        return self._held.get((source, message_id))

    def put(self, source: str, message_id: str, digest: bytes, status: int, body: bytes) -> None:
        """Keep an answer, and forget old ones."""
        now = time.monotonic()
        self._held[source, message_id] = Answered(digest, now, status, body)
        self._held.move_to_end((source, message_id))
        while self._held:
            oldest = next(iter(self._held))
            if len(self._held) <= self._most and self._held[oldest].at > now - self._seconds:
                return
            del self._held[oldest]


class Intake:
    """Answers for one sink."""

    def __init__(self, settings: IntakeSettings, partners: Mapping[str, Partner], sink: EventSink) -> None:
        self._settings = settings
        self._sources = {p.id: p for p in partners.values() if p.sends is not None}
        self._keys = {p.id: Keyring(p.sends.secrets) for p in self._sources.values() if p.sends is not None}
        self._limits = {
            p.id: RateLimiter(p.sends.events_per_second, 1, burst=p.sends.burst)
            for p in self._sources.values()
            if p.sends is not None
        }
        self._sink = sink
        self._memory = AnswerCache(2 * settings.tolerance_seconds, _REMEMBERED)
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
        except ProblemError as problem:
            response = problem.response()
        except HTTPException as error:
            response = _as_problem(error).response()
        except asyncio.CancelledError:
            raise
        except ClientDisconnectedError:
            # The status of a request that nobody waits for any more, as nginx counts it.
            response = web.Response(status=499)
        except Exception as error:
            # Its words may hold what a borrower said.
            log.error("intake_failed", error=type(error).__name__)
            response = ProblemError(
                "broken", "Send it again; if it fails again, tell the lender when it did."
            ).response()
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
            return self._sink.is_open()
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
                raise ProblemError(
                    "id-used", "Give every message a webhook-id of its own, and a repeated one its own body."
                )
            return _answer(before.status, before.body)
        if key in self._under_way:
            raise self._later("away", "The same message is being taken.", 1)
        self._under_way.add(key)
        try:
            return await self._taken(source, signed, body, digest)
        finally:
            self._under_way.discard(key)

    async def _taken(self, source: str, signed: Signed, body: bytes, digest: bytes) -> web.Response:
        limit = self._limits[source]
        wait = limit.wait(source)
        if wait:
            raise self._later("too-many", "Send less at a time, or ask the lender for more.", wait)
        values = self._values(body)
        limit.take(source, len(values))
        results, events = self._results(source, signed, body, values)
        EVENTS.labels(source, "refused").inc(len(values) - len(events))
        if not events:
            raise ProblemError("refused", "Correct the events as each result says.", results=results)
        try:
            await self._sink.take(events)
        except (RetryableError, FatalError) as error:
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
            raise ProblemError("media-type", "Send the body as it is, without a Content-Encoding.")
        if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
            raise ProblemError("media-type", "Send application/json in UTF-8.")
        try:
            return await read_body(request, self._settings.body_seconds)
        except TimeoutError as error:
            raise ProblemError("too-slow", "Send the body at once.", {"connection": "close"}) from error

    def _signed(self, source: str, headers: Mapping[str, str], body: bytes) -> Signed:
        known = self._keys.get(source)
        try:
            keys = _NOBODY if known is None else known.keys()
        except RetryableError as error:
            log.error("intake_secret_missing", source=source, error=str(error))
            raise self._later(
                "away", "The lender cannot verify you now.", self._settings.retry_after_seconds
            ) from error
        try:
            found = verified(keys, headers, body, now=time.time(), tolerance=self._settings.tolerance_seconds)
            if known is None:
                raise SignatureError("no such source")
        except SignatureError as error:
            log.warning("intake_unsigned", source=source if known else "unknown", why=str(error))
            raise ProblemError("unsigned", _UNSIGNED) from error
        return found

    def _values(self, body: bytes) -> list[Any]:
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProblemError(
                "malformed", "Send one event as a JSON object, or several as an array of them."
            ) from error
        values = found if isinstance(found, list) else [found]
        if not 1 <= len(values) <= self._settings.max_events:
            raise ProblemError("too-large", f"Send 1 to {self._settings.max_events} events at a time.")
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
                    now=time.time(),
                    ahead=self._settings.ahead_seconds,
                )
                self._sink.check_size(event)
            except InvalidEventError as bad:
                results.append(_refusal(number, bad))
            else:
                results.append({"index": number, "status": "accepted", "event_id": event.event_id})
                events.append(event)
        return results, events

    def _later(self, kind: str, detail: str, seconds: int) -> ProblemError:
        return ProblemError(kind, detail, {"retry-after": str(seconds)})


def _refusal(number: int, bad: InvalidEventError) -> dict[str, Any]:
    problem = {"type": PREFIX + bad.code.replace("_", "-"), "title": "The event is refused.", "detail": bad.message}
    if bad.field is not None:
        problem["field"] = bad.field
    return {"index": number, "status": "refused", "problem": problem}


def _answer(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, headers={**SAFE, "content-type": "application/json"})


def _as_problem(error: HTTPException) -> ProblemError:
    """Return the problem that one of the framework's own refusals is."""
    if error.status == 404:
        return ProblemError("not-found", "Send events to POST /v1/events.")
    if error.status == 405:
        return ProblemError(
            "method-not-allowed", "Send events to POST /v1/events.", {"allow": error.headers.get("Allow", "")}
        )
    if error.status == 413:
        return ProblemError("too-large", "Send fewer events at a time.", {"connection": "close"})
    return ProblemError("malformed", "The request is not as HTTP has it.")


# -- the process that takes them in


@asynccontextmanager
async def serving(
    settings: IntakeSettings,
    partners: Mapping[str, Partner],
    sink: EventSink,
    limits: HttpSettings | None = None,
    proxies: Sequence[Network] = (),
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the address. Raises FatalError where it cannot be had.

    proxies: through which all that is asked comes, so that the address that they saw counts.
    """
    await sink.open()
    server: HttpServer | None = None
    try:
        try:
            sockets = listening(settings.host, settings.port)
        except OSError as error:
            raise FatalError(
                f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}. Set intake.port, or stop "
                "whoever has it."
            ) from error
        app = Intake(settings, partners, sink).application()
        server = HttpServer(
            "intake", app, sockets, limits or HttpSettings(), proxies=proxies, body_seconds=settings.body_seconds
        )
        await server.start()
        host, port = sockets[0].getsockname()[:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        # Requests that are being answered are answered.
        if server is not None:
            await server.stop()
        await sink.close()


def _health_status(sink: EventSink) -> HealthStatus:
    try:
        return HealthStatus(readiness_error=None if sink.is_open() else "events cannot be taken now")
    except ReprieveError as error:
        return HealthStatus(readiness_error=str(error))


async def run_intake(
    settings: Settings, partners: Mapping[str, Partner], sink: EventSink, ready: Callable[[str], None]
) -> None:
    """Serve until the process is told to end. ready: called with the address."""
    access = settings.access
    proxies = networks(access.trusted_proxies) if access.behind_proxy else []
    async with (
        health(settings.health, partial(_health_status, sink)),
        serving(settings.intake, partners, sink, settings.http, proxies) as address,
    ):
        ready(address)
        await wait_for_signal()
