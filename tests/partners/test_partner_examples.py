"""The worked receiver and sender, run as a partner would, and the partners' file that docs/integration.md shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas import events as ev
from streams.partners.partner_registry import parse_partners
from tests.support.webhook_receivers import (
    SECRETS,
    at_work,
    delivery_counts,
    example,
    granted,
    partner,
    settings,
    until,
)
from tests.support.webhook_senders import SENDING, HeldDoor, intake

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def are_delivered(hooks: Any, count: int) -> bool:
    return bool(delivery_counts(hooks.outbox).get(("shop", "delivered"), (0, 0))[0] == count)


def test_the_receiver_takes_each_signed_event_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_SECRET", SECRETS[0])
    offers = [example(ev.OfferPublished, event_id=f"e{n}", offer_id=f"o{n}", borrower_id=f"B{n}") for n in range(6)]
    gone = example(ev.OfferWithdrawn, event_id="w", offer_id="o3", borrower_id="B3")
    command = [sys.executable, str(EXAMPLES / "partner_receiver.py"), "--port", "0", "--book", str(tmp_path / "book")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "WEBHOOK_SECRET": SECRETS[0]}
    )
    assert process.stdout is not None
    port = process.stdout.readline().split()[-1]

    def states() -> dict[str, str]:
        with sqlite3.connect(tmp_path / "book") as db:
            return dict(db.execute("SELECT offer_id, state FROM offer"))

    async def play() -> None:
        shop = partner("shop", f"http://127.0.0.1:{port}/")
        for folder in ("first", "again"):
            # A disk that was lost: everything is sent once more, by the same ids.
            async with at_work(settings(tmp_path / folder), shop) as (hooks, feed):
                feed.give([granted(f"B{n}", "partner:shop") for n in range(6)])
                feed.give([*offers, gone])
                await until(partial(are_delivered, hooks, 7), "all events")
        monkeypatch.setenv("PARTNER_SECRET", SECRETS[1])
        async with at_work(settings(tmp_path / "stranger"), shop) as (hooks, feed):
            feed.give([granted("B9", "partner:shop"), example(ev.OfferPublished, event_id="x", borrower_id="B9")])
            await until(lambda: hooks.outbox.listed("shop", ["pending"], 1)[0].why == "HTTP 401", "the refusal")

    try:
        asyncio.run(play())
        assert states() == {f"o{n}": "over" if n == 3 else "open" for n in range(6)}
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_the_sender_resends_a_file_and_reports_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMPLOYER_SECRET", "EMPLOYER_NEXT_SECRET", "HOTLINE_SECRET"):
        monkeypatch.setenv(name, SECRETS[2])
    answers = []
    for n in range(12):
        answer = json.loads(msgspec.json.encode(example(ev.OfferAnswered, event_id=f"a{n}", channel="hotline")))
        del answer["source"]
        answers.append(answer)
    answers[5]["channel"] = "online"
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(answer) + "\n" for answer in answers))

    async def play() -> HeldDoor:
        door = HeldDoor()
        async with intake(door) as client:

            async def run() -> tuple[int, str]:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, str(EXAMPLES / "partner_sender.py"), str(file),
                    "--url", f"{client.url}/v1/events?source=hotline",
                    env={**os.environ, "SENDING_SECRET": SECRETS[2]}, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
                _, said = await asyncio.wait_for(process.communicate(), 60)
                return process.returncode or 0, said.decode()

            code, said = await run()
            assert (code, said.startswith("event 5: This source may send OfferAnswered only with channel")) == (1, True)
            await run()
        return door

    door = asyncio.run(play())
    assert [e.event_id for e in door.taken] == [f"a{n}" for n in range(12) if n != 5]


def test_the_file_that_the_documentation_shows_is_valid() -> None:
    text = (ROOT / "docs" / "integration.md").read_text("utf-8")
    shown: list[Any] = re.findall(r"```yaml\n(partners:.*?)```", text, re.DOTALL)
    assert shown
    for part in shown:
        assert parse_partners(part, "docs/integration.md")
    assert SENDING["partners"]


def test_the_document_names_every_metric_setting_and_problem() -> None:
    from streams.http.intake import server as taking
    from streams.http.intake.problem_details import PROBLEMS
    from streams.settings import IntakeSettings, WebhookSettings
    from streams.webhooks import metrics as delivering

    text = (ROOT / "docs" / "integration.md").read_text("utf-8")
    names = [
        found._name
        for module in (taking, delivering)
        for found in vars(module).values()
        if hasattr(found, "_name") and hasattr(found, "describe")
    ]
    assert len(names) > 10
    wanted = [*names, *WebhookSettings.model_fields, *IntakeSettings.model_fields, *PROBLEMS]
    assert [name for name in wanted if name not in text] == []
