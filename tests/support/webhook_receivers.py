"""Receivers of webhooks, well-behaved and not, on this machine; and a feed of events that a test holds."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from standardwebhooks import Webhook

from schemas import events as ev
from schemas.jsonlines import from_line
from streams.partners.partner_registry import parse_partners
from streams.settings import Settings
from streams.webhooks.outbox import Outbox
from streams.webhooks.router import Router
from streams.webhooks.service import Webhooks

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples.jsonl"
SECRETS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in range(1, 9)]
# The answer to a call is lost on its way.
LOST = 299
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def delivery_counts(outbox: Outbox) -> dict[tuple[str, str], tuple[int, int]]:
    """Return by partner and state how many deliveries there are, and when the oldest was queued."""
    query = "SELECT partner, state, count(*), min(queued) FROM delivery GROUP BY partner, state"
    return {(partner, state): (count, oldest) for partner, state, count, oldest in outbox.db.execute(query)}


def example(kind: type[ev.Event], **changed: Any) -> Any:
    """Return an event of a kind from the examples, changed."""
    for line in EXAMPLES.read_bytes().splitlines():
        event = from_line(line)
        if isinstance(event, kind):
            return msgspec.structs.replace(event, **changed)
    raise AssertionError(f"no example of {kind.__name__}")


def granted(borrower: str, purpose: str, at: datetime = AT, consent: str = "C1") -> ev.ConsentGranted:
    return ev.ConsentGranted(
        event_id=f"grant-{borrower}-{purpose}-{at:%d%H%M}",
        occurred_at=at,
        source="web",
        borrower_id=borrower,
        consent_id=consent,
        purpose=purpose,
    )


def withdrawn(borrower: str, purpose: str, at: datetime, consent: str = "C1") -> ev.ConsentWithdrawn:
    return ev.ConsentWithdrawn(
        event_id=f"withdraw-{borrower}-{purpose}-{at:%d%H%M}",
        occurred_at=at,
        source="web",
        borrower_id=borrower,
        consent_id=consent,
        purpose=purpose,
    )


def expired(number: int, borrower: str) -> ev.OfferExpired:
    return ev.OfferExpired(
        event_id=f"e-{borrower}-{number:04}",
        occurred_at=AT,
        source="reprieve.planner",
        offer_id=f"o-{number}",
        borrower_id=borrower,
        business_date=date(2026, 3, 1) + timedelta(days=number % 20),
        caused_by="x",
    )


class Receiver:
    """A partner's endpoint, which verifies with the specification's own library. answer: the status of each call."""

    def __init__(self, secret: str, answer: Callable[[dict[str, Any], int], Awaitable[web.Response] | int]) -> None:
        self._webhook = Webhook(secret)
        self._answer = answer
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        said = self._webhook.verify(body, dict(request.headers))
        message_id = request.headers["webhook-id"]
        self.calls.append((message_id, said))
        self.headers.append(dict(request.headers))
        answer = self._answer(said, Counter(name for name, _ in self.calls)[message_id])
        if answer == LOST and request.transport is not None:
            request.transport.abort()
        return web.Response(status=answer) if isinstance(answer, int) else await answer

    @property
    def taken(self) -> list[str]:
        """The ids that came, in the order in which each came first."""
        return list(dict.fromkeys(name for name, _ in self.calls))


@asynccontextmanager
async def served(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve every path; yields the address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """Serve whatever `talk` writes; yields the address."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()


class Held:
    """A feed of events that a test holds. Takes what is given, a transaction each, and counts as read to the end."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __aenter__(self) -> Held:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def give(self, events: Iterable[ev.Event]) -> None:
        with self._router.outbox.transaction():
            for event in events:
                self._router.take(event)

    def fresh(self) -> None:
        self._router.consents.read_at = time.monotonic()

    async def run(self) -> None:
        while True:
            self.fresh()
            await asyncio.sleep(0.05)


def partner(name: str, url: str, **more: Any) -> dict[str, Any]:
    """Return a partner of the file that receives on this machine."""
    receives = {
        "url": url,
        "events": ["OfferPublished", "OfferWithdrawn", "OfferExpired"],
        "secrets": [{"env": "PARTNER_SECRET"}],
        "network": "loopback",
    }
    return {"id": name, "receives": receives | more}


def roster_of(*partners: dict[str, Any]) -> Any:
    """Return the partners of a file that holds these."""
    return parse_partners(msgspec.json.encode({"partners": partners}).decode(), "partners.yaml")


def settings(folder: Path, **webhooks: Any) -> Settings:
    """Return settings with short pauses."""
    quick = {"retry_first_seconds": 0.05, "retry_most_seconds": 0.4, "answer_seconds": 1, "connect_seconds": 1}
    return Settings.load(webhooks={"data_dir": folder, **quick, **webhooks})


@asynccontextmanager
async def at_work(made: Settings, *partners: dict[str, Any]) -> AsyncIterator[tuple[Webhooks, Held]]:
    """Deliver to partners while the block runs."""
    from streams.shutdown import cancel_and_wait

    with Webhooks(made, roster_of(*partners)) as webhooks:
        feed = Held(webhooks.router)
        feed.fresh()
        task = asyncio.create_task(webhooks.run(feed))
        try:
            yield webhooks, feed
            assert not task.done(), task.exception()
        finally:
            await cancel_and_wait(task)


async def until(condition: Callable[[], bool], what: str, patience: float = 20.0) -> None:
    """Wait for a condition."""
    deadline = asyncio.get_running_loop().time() + patience
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not come"
        await asyncio.sleep(0.02)
