"""Delivers what is in the outbox, a task for each partner, so that a slow one holds up nobody else."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import structlog

from schemas.errors import RetryableError
from streams.partners.secrets import Keyring
from streams.partners.signing import signed
from streams.settings import WebhookSettings
from streams.shutdown import cancel_and_wait
from streams.webhooks.http_client import EndpointAnswer, EndpointClient
from streams.webhooks.metrics import ANSWER_SECONDS, ATTEMPTS, ENDED, GONE, TRIES
from streams.webhooks.outbox import Delivery
from streams.webhooks.router import Router

log: Any = structlog.get_logger(__name__)

_DAY = 86_400
# Seconds between looks into the outbox while nothing is due.
_LOOK = 0.2
# So many failures one after another, of whatever deliveries, are the endpoint's: it is tried with one at a time.
_PATIENCE = 3


def pause_before(settings: WebhookSettings, name: str, attempt: int) -> float:
    """Return the seconds to wait after an attempt (from 1): doubled each time, with jitter by name and seed."""
    full = min(settings.retry_most_seconds, settings.retry_first_seconds * 2.0 ** min(attempt - 1, 40))
    chance = random.Random(f"{settings.seed}/{name}/{attempt}").random()
    return full * (0.5 + chance / 2)


class Dispatcher:
    """Delivers to one partner. `run` goes on for ever."""

    def __init__(self, partner: str, settings: WebhookSettings, router: Router) -> None:
        self.partner = partner
        self._settings = settings
        self._outbox = router.outbox
        self._router = router
        self._part = router.part(partner)
        self._keyring = Keyring(self._part.secrets)
        # Deliveries by borrower.
        self._under_way: dict[str, asyncio.Task[None]] = {}
        # Failures of the endpoint one after another, and until when it is left alone.
        self._failures = 0
        self._quiet_until = 0.0

    async def run(self) -> None:
        """Deliver what is due, as it comes."""
        async with EndpointClient(self._part, self._settings) as caller:
            try:
                while True:
                    self._start(caller)
                    if self._under_way:
                        await asyncio.wait(self._under_way.values(), timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
                    else:
                        await asyncio.sleep(_LOOK)
                    self._reap()
            finally:
                for task in self._under_way.values():
                    await cancel_and_wait(task)

    def _start(self, caller: EndpointClient) -> None:
        """Start as many deliveries as there is room for."""
        now = time.time()
        most = 1 if self._failures >= _PATIENCE else self._part.concurrent
        room = most - len(self._under_way)
        if room <= 0 or now < self._quiet_until:
            return
        for one in self._outbox.due(self.partner, int(now * 1000), most + len(self._under_way)):
            # One at a time a borrower: what was under way may have been taken out of the queue by an erasure, and the
            # word of that must not come first.
            if one.borrower_id in self._under_way or room <= 0:
                continue
            if self._router.needs_consent(self.partner, one.type) and self._is_blind():
                continue
            room -= 1
            self._under_way[one.borrower_id] = asyncio.create_task(self._deliver(caller, one))

    def _is_blind(self) -> bool:
        """Say whether a withdrawal could have gone unseen for too long."""
        return self._router.consents.age() > self._settings.consent_fresh_seconds

    def _reap(self) -> None:
        for borrower, task in list(self._under_way.items()):
            if task.done():
                del self._under_way[borrower]
                # A fault of ours ends the process: it must not go on as if all were well.
                task.result()

    async def _deliver(self, caller: EndpointClient, one: Delivery) -> None:
        # Asked at the last moment: nothing is awaited between this and the request.
        if not self._router.may(self.partner, one.type, one.borrower_id):
            self._outbox.withhold(one, self._now(), "it may not be told any more")
            ENDED.labels(self.partner, "withheld").inc()
            return
        try:
            keys = self._keyring.keys()
        except RetryableError as error:
            log.warning("webhook_secret_missing", partner=self.partner, error=str(error))
            self._note(one, EndpointAnswer("unreachable", "its secret cannot be had"))
            return
        body = self._router.body(one)
        headers = signed(keys, one.event_id, int(time.time()), body)
        with ANSWER_SECONDS.labels(self.partner).time():
            answer = await caller.call(headers, body)
        self._note(one, answer)

    def _note(self, one: Delivery, answer: EndpointAnswer) -> None:
        ATTEMPTS.labels(self.partner, answer.outcome).inc()
        if answer.outcome == "delivered":
            self._failures = 0
            self._outbox.delivered(one, self._now())
            self._over(one, "delivered")
        elif answer.outcome == "gone":
            parked = self._outbox.disable(self.partner, self._now())
            GONE.labels(self.partner).set(1)
            log.error("webhook_endpoint_gone", partner=self.partner, parked=parked)
        else:
            self._put_off(one, answer)

    def _put_off(self, one: Delivery, answer: EndpointAnswer) -> None:
        if answer.outcome != "failed":
            # What the endpoint cannot take at all says nothing of this one delivery: all of them wait.
            self._failures += 1
            pause = answer.wait
            if self._failures >= _PATIENCE:
                name = f"{self.partner}/{self._failures}"
                pause = max(pause, pause_before(self._settings, name, self._failures - _PATIENCE + 1))
            self._quiet_until = max(self._quiet_until, time.time() + pause)
        horizon = self._now() - int(self._settings.retry_days * _DAY * 1000)
        if one.queued <= horizon:
            self._outbox.park(one, self._now(), answer.why)
            self._over(one, "parked")
            log.error("webhook_parked", partner=self.partner, event_id=one.event_id, why=answer.why)
            return
        if self._failures >= _PATIENCE:
            self._outbox.park_older(self.partner, horizon, self._now(), answer.why)
        pause = max(answer.wait, pause_before(self._settings, f"{self.partner}/{one.event_id}", one.attempts + 1))
        self._outbox.put_off(one, int((time.time() + pause) * 1000), answer.why)
        log.warning(
            "webhook_failed", partner=self.partner, event_id=one.event_id, attempt=one.attempts + 1, why=answer.why
        )

    def _over(self, one: Delivery, state: str) -> None:
        ENDED.labels(self.partner, state).inc()
        TRIES.labels(self.partner).observe(one.attempts + 1)

    def _now(self) -> int:
        return int(time.time() * 1000)
