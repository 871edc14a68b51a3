"""The closed loop on a local runtime: an answer by HTTP is a plan by webhook, with no server but these two."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from schemas import events as ev
from simulator.runs import simulate
from streams.cli.common import book_named
from streams.local.event_sink import LocalSink
from streams.local.runtime import LocalRuntime
from streams.shutdown import cancel_and_wait
from streams.webhooks.local_feed import LocalFeed
from streams.webhooks.service import Webhooks
from tests.support.webhook_receivers import SECRETS, Receiver, partner, roster_of, served, settings, until
from tests.support.webhook_senders import SENDING, intake


def test_an_answer_by_http_comes_back_as_a_plan_by_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PARTNER_SECRET", "EMPLOYER_SECRET", "EMPLOYER_NEXT_SECRET", "HOTLINE_SECRET"):
        monkeypatch.setenv(name, SECRETS[0])
    data = tmp_path / "data"
    # Few closes, so that an offer is still open: what is made of it counts, not what the simulation thought of.
    history = [
        e
        for e in simulate(accounts=60, days=110, seed=1)
        if not isinstance(e, ev.DayClosed) or e.business_date.toordinal() % 12 == 0
    ]
    with LocalRuntime.open(data, book_named(None)) as runtime:
        said = runtime.feed(history)
    over = {e.offer_id for e in said if isinstance(e, ev.OfferWithdrawn | ev.OfferExpired | ev.PlanActivated)}
    offer = next(e for e in said if isinstance(e, ev.OfferPublished) and e.options and e.offer_id not in over)
    consent = {
        "type": "ConsentGranted",
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "borrower_id": offer.borrower_id,
        "consent_id": "C1",
        "purpose": "partner:shop",
    }
    answer = {
        "type": "OfferAnswered",
        "occurred_at": offer.contact.not_before.isoformat(),
        "feedback_id": "F1",
        "offer_id": offer.offer_id,
        "borrower_id": offer.borrower_id,
        "answer": "accepted",
        "option_id": offer.options[0].option_id,
        "channel": "hotline",
        "recording_ref": "rec-1",
    }
    roster = json.loads(msgspec.json.encode(SENDING))
    roster["partners"][1]["sends"]["records"]["ConsentGranted"] = {"purpose": ["partner:shop"]}

    async def play() -> list[str]:
        receiver = Receiver(SECRETS[0], lambda *_: 200)
        async with served(receiver.handle) as url, intake(LocalSink(data, book_named(None)), roster) as client:
            shop = partner("shop", url, events=["OfferPublished", "PlanActivated"])
            hotline = {"source": "hotline", "secret": SECRETS[0]}
            assert (await client.send(consent, **hotline))[0] == 202
            with Webhooks(settings(tmp_path / "out"), roster_of(shop)) as webhooks:
                task = asyncio.create_task(webhooks.run(LocalFeed(data, webhooks.router)))
                try:
                    await until(lambda: len(receiver.calls) >= 1, "the offer")
                    assert (await client.send(answer, **hotline))[0] == 202
                    told = ["PlanActivated"] * len(offer.account_ids)
                    await until(lambda: [s["type"] for _, s in receiver.calls][-len(told) :] == told, "the plan")
                finally:
                    await cancel_and_wait(task)
        assert {s["data"]["borrower_id"] for _, s in receiver.calls} == {offer.borrower_id}
        return [s["data"]["offer_id"] for _, s in receiver.calls if s["type"] == "PlanActivated"]

    assert asyncio.run(play()) == [offer.offer_id] * len(offer.account_ids)
