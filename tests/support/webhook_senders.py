"""Sources that sign as the specification's own library does, and a sink that a test holds."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
from standardwebhooks import Webhook

from schemas import events as ev
from schemas.errors import RetryableError
from streams.http.intake.server import EventSink, serving
from streams.partners.partner_registry import parse_partners
from streams.settings import IntakeSettings
from tests.support.webhook_receivers import SECRETS

# By source: where its secret is, and what it may send.
SENDING: dict[str, Any] = {
    "partners": [
        {
            "id": "employer",
            "sends": {
                "secrets": [{"env": "EMPLOYER_SECRET"}, {"env": "EMPLOYER_NEXT_SECRET"}],
                "records": {
                    "ProfileReported": {"kind": ["third_party"]},
                    "ConsentGranted": {"purpose": ["repayment_planning"]},
                    "ConsentWithdrawn": {"purpose": ["repayment_planning"]},
                    "EducationCompleted": {},
                },
                "events_per_second": 1000,
                "burst": 100_000,
            },
        },
        {
            "id": "hotline",
            "sends": {
                "secrets": [{"env": "HOTLINE_SECRET"}],
                "records": {
                    "OfferAnswered": {"channel": ["hotline"]},
                    "ContactAttempted": {"channel": ["call"]},
                    "HoldPlaced": {},
                },
                "ids": "shared",
                "events_per_second": 1,
                "burst": 20,
            },
        },
    ]
}
ENVIRONMENT = {"EMPLOYER_SECRET": SECRETS[0], "EMPLOYER_NEXT_SECRET": SECRETS[1], "HOTLINE_SECRET": SECRETS[2]}


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def education(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "type": "EducationCompleted",
        "event_id": f"study-{number}",
        "occurred_at": (now() - timedelta(minutes=1)).isoformat(),
        "borrower_id": "B1",
        "item_id": "budget_basics",
        **changed,
    }


def headers(secret: str, body: bytes, message_id: str = "m-1", at: datetime | None = None) -> dict[str, str]:
    """Return the headers that the specification's library makes."""
    at = at or datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
        "content-type": "application/json",
    }


class HeldDoor:
    """Keeps what it takes; is away, or slow, when it is told so."""

    def __init__(self) -> None:
        self.taken: list[ev.Event] = []
        self.away = False

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def is_open(self) -> bool:
        return not self.away

    def check_size(self, event: ev.Event) -> None:
        pass

    async def take(self, events: Sequence[ev.Event]) -> None:
        if self.away:
            raise RetryableError("away")
        self.taken += events


class Client:
    """Sends messages to an intake."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def send(
        self,
        said: Any,
        *,
        source: str = "employer",
        secret: str = SECRETS[0],
        message_id: str | None = None,
        at: datetime | None = None,
        **changed: str,
    ) -> tuple[int, Any]:
        """Sign and send a value, or bytes as they are; returns status and answer."""
        body = said if isinstance(said, bytes) else msgspec.json.encode(said)
        signed = headers(secret, body, message_id or f"m-{time.monotonic_ns()}", at)
        signed |= {name.replace("_", "-"): value for name, value in changed.items()}
        return await self.post(body, signed, source)

    async def post(self, body: bytes, signed: dict[str, str], source: str = "employer") -> tuple[int, Any]:
        async with self._session.post(
            f"{self.url}/v1/events", params={"source": source}, data=body, headers=signed
        ) as got:
            answer = await got.read()
            self.last = got
            return got.status, msgspec.json.decode(answer)


@asynccontextmanager
async def intake(sink: EventSink, roster: Any = SENDING, **changed: Any) -> AsyncIterator[Client]:
    """Serve a sink while the block runs."""
    partners = parse_partners(msgspec.json.encode(roster).decode(), "partners.yaml")
    async with (
        serving(IntakeSettings(**{"port": 0, **changed}), partners, sink) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Client(session, url)
