"""Webhooks out: nothing lost, nothing twice by id, in each borrower's order, whatever a receiver does."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from schemas import events as ev
from streams.settings import WebhookSettings
from streams.webhooks.dispatcher import pause_before
from streams.webhooks.router import message_id
from tests.support.webhook_receivers import (
    AT,
    LOST,
    SECRETS,
    Receiver,
    at_work,
    delivery_counts,
    example,
    expired,
    granted,
    partner,
    raw,
    served,
    settings,
    until,
    withdrawn,
)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_SECRET", SECRETS[0])
    monkeypatch.setenv("PARTNER_NEXT_SECRET", SECRETS[1])


def played(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(play())


def consents(*borrowers: str, to: str = "shop") -> list[ev.Event]:
    return [granted(borrower, f"partner:{to}") for borrower in borrowers]


def story(borrowers: int, each: int) -> list[ev.Event]:
    return [expired(n, f"B{b}") for n in range(each) for b in range(borrowers)]


def test_each_event_arrives_once_signed_and_in_order(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver(SECRETS[0], lambda said, time: 204)
        async with served(receiver.handle) as url, at_work(settings(tmp_path), partner("shop", url)) as (_, feed):
            feed.give(consents("B0", "B1", "B2"))
            events = story(3, 10)
            feed.give(events)
            await until(lambda: len(receiver.calls) >= 30, "all events")
        assert sorted(name for name, _ in receiver.calls) == sorted(e.event_id for e in events)
        for borrower in ("B0", "B1", "B2"):
            own = [e.event_id for e in events if e.borrower_id == borrower]  # type: ignore[attr-defined]
            assert [name for name in receiver.taken if name in own] == own

    played(play)


def test_a_receiver_that_loses_calls_gets_each_again(tmp_path: Path) -> None:
    async def play() -> None:
        # The first call is refused, the second is taken but its answer lost, the third is answered.
        receiver = Receiver(SECRETS[0], lambda said, attempt: {1: 500, 2: LOST}.get(attempt, 200))
        async with served(receiver.handle) as url, at_work(settings(tmp_path), partner("shop", url)) as (hooks, feed):
            feed.give([*consents("B0", "B1"), *story(2, 3)])
            await until(lambda: delivery_counts(hooks.outbox).get(("shop", "delivered"), (0, 0))[0] == 6, "all events")
        assert set(Counter(name for name, _ in receiver.calls).values()) == {3}
        for borrower in ("B0", "B1"):
            own = [name for name, _ in receiver.calls if f"-{borrower}-" in name]
            assert own == sorted(own), "an event came before the one before it was taken"

    played(play)


def test_a_slow_partner_holds_up_nobody_else(tmp_path: Path) -> None:
    async def play() -> None:
        async def never() -> web.Response:
            await asyncio.sleep(3600)
            return web.Response()

        slow, quick = Receiver(SECRETS[0], lambda *_: never()), Receiver(SECRETS[0], lambda *_: 200)
        async with (
            served(slow.handle) as slow_url,
            served(quick.handle) as url,
            at_work(settings(tmp_path, answer_seconds=30), partner("slow", slow_url), partner("quick", url)) as (
                _,
                feed,
            ),
        ):
            feed.give([*consents("B0", to="slow"), *consents("B0", to="quick"), *story(1, 20)])
            await until(lambda: len(quick.calls) == 20, "what is for the quick one")
            assert len(slow.calls) == 1

    played(play)


@pytest.mark.parametrize(
    "kind", ["endless", "drip", "silent", "garbage", "headers", "tiny", "continue", "huge", "early", "redirect", "bomb"]
)
def test_a_hostile_receiver_costs_only_its_own_time(tmp_path: Path, kind: str) -> None:
    async def play() -> None:
        reached: list[str] = []

        async def inside(request: web.Request) -> web.Response:
            reached.append(request.path)
            return web.Response()

        async with served(inside) as inner:
            head = b"HTTP/1.1 200 OK\r\n"

            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if kind == "early":
                    return
                await reader.readuntil(b"\r\n\r\n")
                if kind == "garbage":
                    writer.write(b"\x00\xff" * 20_000)
                elif kind == "headers":
                    while True:
                        writer.write(b"x-h: " + b"y" * 4_000 + b"\r\n" if reached else head)
                        reached.append("")
                        await writer.drain()
                elif kind == "tiny":
                    writer.write(head)
                    while True:
                        writer.write(b"x: y\r\n" * 100)
                        await writer.drain()
                elif kind == "continue":
                    while True:
                        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
                        await writer.drain()
                elif kind == "huge":
                    writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 99999999999999\r\n\r\n")
                    while True:
                        writer.write(b"z" * 65_536)
                        await writer.drain()
                elif kind == "redirect":
                    writer.write(f"HTTP/1.1 307 Away\r\nlocation: {inner}\r\ncontent-length: 0\r\n\r\n".encode())
                elif kind == "endless":
                    writer.write(b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n")
                    while True:
                        writer.write(b"1000\r\n" + b"z" * 4096 + b"\r\n")
                        await writer.drain()
                elif kind == "bomb":
                    writer.write(b"HTTP/1.1 500 No\r\ncontent-encoding: gzip\r\ncontent-length: 4000\r\n\r\n")
                    writer.write(b"\x1f\x8b" + b"\x00" * 3998)
                elif kind == "drip":
                    for byte in head * 1_000:
                        writer.write(bytes([byte]))
                        await writer.drain()
                        await asyncio.sleep(0.05)
                else:
                    await asyncio.sleep(3_600)
                await writer.drain()

            good = Receiver(SECRETS[0], lambda *_: 200)
            async with (
                raw(talk) as url,
                served(good.handle) as good_url,
                at_work(
                    settings(tmp_path, answer_seconds=0.4, connect_seconds=0.4),
                    partner("bad", url),
                    partner("good", good_url),
                ) as (hooks, feed),
            ):
                feed.give([*consents("B0", to="bad"), *consents("B0", to="good"), expired(1, "B0")])
                await until(lambda: bool(good.calls), "the good one's")
                await until(lambda: hooks.outbox.listed("bad", ["pending"], 1)[0].attempts >= 2, "a second attempt")
                why = hooks.outbox.listed("bad", ["pending"], 1)[0].why
                assert len(why) < 60
                if kind == "redirect":
                    assert (why, reached) == ("HTTP 307", [])

    played(play)


def test_a_body_that_never_ends_does_not_undo_what_was_taken(tmp_path: Path) -> None:
    async def play() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"1000\r\n" + b"z" * 4096 + b"\r\n")
                await writer.drain()

        async with raw(talk) as url, at_work(settings(tmp_path), partner("shop", url)) as (hooks, feed):
            feed.give([*consents("B0"), expired(1, "B0")])
            await until(lambda: ("shop", "delivered") in delivery_counts(hooks.outbox), "the delivery")
            assert hooks.outbox.listed("shop", ["delivered"], 1)[0].attempts == 1

    played(play)


def test_retry_after_is_waited_for(tmp_path: Path) -> None:
    async def play() -> None:
        at: list[float] = []

        async def busy() -> web.Response:
            return web.Response(status=503, headers={"retry-after": "1"})

        def answer(said: dict[str, Any], attempt: int) -> Any:
            at.append(time.monotonic())
            return busy() if len(at) == 1 else 200

        receiver = Receiver(SECRETS[0], answer)
        made = settings(tmp_path, retry_most_seconds=5)
        async with served(receiver.handle) as url, at_work(made, partner("shop", url)) as (_, feed):
            feed.give([*consents("B0", "B1"), expired(1, "B0")])
            await until(lambda: len(at) == 1, "the first call")
            feed.give([expired(1, "B1")])
            await until(lambda: len(at) == 3, "both events")
        assert min(at[1:]) - at[0] >= 0.99, "the endpoint asked to be left alone"

    played(play)


@pytest.mark.parametrize("said", ["-5", "soon", "9" * 400, "Wed, 21 Oct 2015 07:28:00 GMT", "1e9", "٣"])
def test_an_absurd_retry_after_delays_nothing_for_long(tmp_path: Path, said: str) -> None:
    async def play() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = "HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n"
            writer.write(head.encode() + b"retry-after: " + said.encode() + b"\r\n\r\n")
            await writer.drain()

        async with raw(talk) as url, at_work(settings(tmp_path), partner("shop", url)) as (hooks, feed):
            feed.give([*consents("B0"), expired(1, "B0")])
            await until(lambda: hooks.outbox.listed("shop", ["pending"], 1)[0].attempts >= 3, "a third attempt", 5)

    played(play)


def test_an_endpoint_that_is_gone_is_left_until_a_resend(tmp_path: Path) -> None:
    async def play() -> None:
        here = [False]
        receiver = Receiver(SECRETS[0], lambda *_: 200 if here[0] else 410)
        async with served(receiver.handle) as url, at_work(settings(tmp_path), partner("shop", url)) as (hooks, feed):
            feed.give([*consents("B0"), *story(1, 5)])
            await until(lambda: hooks.outbox.is_gone("shop"), "that it is gone")
            feed.give([expired(77, "B0")])
            await asyncio.sleep(0.3)
            assert len(receiver.calls) == 1
            assert delivery_counts(hooks.outbox).keys() == {("shop", "parked")}
            here[0] = True
            assert hooks.outbox.resend("shop", [], int(time.time() * 1000)) == 6
            await until(lambda: delivery_counts(hooks.outbox).get(("shop", "delivered"), (0, 0))[0] == 6, "all of them")
        assert receiver.taken == sorted(receiver.taken)

    played(play)


def test_what_nobody_takes_in_time_is_parked_for_a_resend(tmp_path: Path) -> None:
    async def play() -> None:
        well = [False]
        receiver = Receiver(SECRETS[0], lambda *_: 200 if well[0] else 400)
        made = settings(tmp_path, retry_days=0.5 / 86_400)
        async with served(receiver.handle) as url, at_work(made, partner("shop", url)) as (hooks, feed):
            feed.give([*consents("B0"), *story(1, 2)])
            await until(lambda: delivery_counts(hooks.outbox).get(("shop", "parked"), (0, 0))[0] == 2, "both parked")
            assert {one.why for one in hooks.outbox.listed("shop", ["parked"], 9)} == {"HTTP 400"}
            assert all(one.attempts >= 2 for one in hooks.outbox.listed("shop", ["parked"], 1))
            well[0] = True
            hooks.outbox.resend(None, ["e-B0-0001"], int(time.time() * 1000))
            await until(lambda: ("shop", "delivered") in delivery_counts(hooks.outbox), "the one that was sent again")
            assert [one.event_id for one in hooks.outbox.listed("shop", ["parked"], 9)] == ["e-B0-0000"]

    played(play)


def test_a_consent_withdrawn_meanwhile_stops_the_delivery(tmp_path: Path) -> None:
    async def play() -> None:
        well = [False]
        receiver = Receiver(SECRETS[0], lambda *_: 200 if well[0] else 503)
        async with served(receiver.handle) as url, at_work(settings(tmp_path), partner("shop", url)) as (hooks, feed):
            feed.give([*consents("B0", "B1"), expired(1, "B0"), expired(1, "B1")])
            await until(lambda: len(receiver.calls) >= 2, "attempts")
            feed.give([withdrawn("B0", "partner:shop", AT + timedelta(hours=1)), expired(2, "B0")])
            before = len(receiver.calls)
            well[0] = True
            await until(lambda: ("shop", "delivered") in delivery_counts(hooks.outbox), "the other borrower's")
            await until(lambda: ("shop", "withheld") in delivery_counts(hooks.outbox), "that it was withheld")
            late = receiver.calls[before:]
            assert [name for name, _ in late if "-B0-" in name] == []
            assert hooks.outbox.listed("shop", ["withheld"], 9)[0].payload is None
            feed.give([granted("B0", "partner:shop", AT + timedelta(hours=2)), expired(3, "B0")])
            await until(lambda: "e-B0-0003" in receiver.taken, "what was said under the new consent")
            assert "e-B0-0001" not in [name for name, _ in receiver.calls[before:]]

    played(play)


def test_without_consent_or_with_anothers_nothing_is_kept(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver(SECRETS[0], lambda *_: 200)
        async with served(receiver.handle) as url, at_work(settings(tmp_path), partner("shop", url)) as (hooks, feed):
            feed.give([*consents("B0", to="bank"), granted("B1", "repayment_planning"), *story(3, 2)])
            feed.give([*consents("B2"), expired(9, "B2")])
            await until(lambda: bool(receiver.calls), "the one with consent")
            assert receiver.taken == ["e-B2-0009"]
            assert hooks.outbox.db.execute("SELECT count(*) FROM delivery").fetchone() == (1,)

    played(play)


def test_an_erasure_voids_consents_and_tells_the_recipients(tmp_path: Path) -> None:
    async def play() -> None:
        well = [True]
        receiver = Receiver(SECRETS[0], lambda said, _: 200 if well[0] or said["type"] == "ErasureRequested" else 503)
        events = ["OfferExpired", "ErasureRequested", "ConsentWithdrawn"]
        made = settings(tmp_path)
        async with served(receiver.handle) as url, at_work(made, partner("shop", url, events=events)) as (hooks, feed):
            feed.give([*consents("B0", "B1"), expired(1, "B0")])
            await until(lambda: len(receiver.calls) == 1, "the first")
            well[0] = False
            feed.give([expired(2, "B0")])
            await until(lambda: len(receiver.calls) >= 2, "an attempt")
            erased = [
                ev.ErasureRequested(
                    event_id=f"erase-{b}", occurred_at=AT + timedelta(days=1), source="desk", borrower_id=b
                )
                for b in ("B0", "B1")
            ]
            feed.give(erased)
            await until(lambda: message_id(erased[0], "B0") in receiver.taken, "the notice")
            assert message_id(erased[1], "B1") not in receiver.taken, (
                "a partner that knows nothing of a borrower hears nothing"
            )
            assert hooks.outbox.listed("shop", ["withheld"], 9)[0].payload is None
            await until(lambda: not hooks.outbox.listed("shop", ["pending"], 9), "the end of it")
            feed.give([expired(3, "B0")])
            assert not hooks.outbox.listed("shop", ["pending"], 9)

    played(play)


def test_a_consent_that_may_be_out_of_date_sends_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver(SECRETS[0], lambda *_: 200)
        made = settings(tmp_path, consent_fresh_seconds=1)
        processor = partner("sms", "", consent="processor", ground="it writes to borrowers for the lender")
        async with served(receiver.handle) as url:
            processor["receives"]["url"] = url + "/sms"
            async with at_work(made, partner("shop", url), processor) as (hooks, feed):
                # Kafka is away: nobody can tell whether a consent was withdrawn meanwhile.
                feed.fresh = lambda: None  # type: ignore[method-assign]
                hooks.consents.read_at -= 10
                feed.give([*consents("B0"), expired(1, "B0")])
                await until(lambda: len(receiver.calls) == 1, "the processor's")
                await asyncio.sleep(0.5)
                assert len(receiver.calls) == 1
                assert delivery_counts(hooks.outbox)["shop", "pending"][0] == 1
                hooks.consents.read_at = time.monotonic()
                await until(lambda: len(receiver.calls) == 2, "the other's, once consents are read again")

    played(play)


def test_a_partner_gets_its_fields_and_never_the_words(tmp_path: Path) -> None:
    offer = example(ev.OfferPublished)

    async def play() -> None:
        plain, named, words = (Receiver(SECRETS[0], lambda *_: 200) for _ in range(3))
        async with served(plain.handle) as a, served(named.handle) as b, served(words.handle) as c:
            partners = (
                partner("plain", a),
                partner("named", b, fields={"OfferPublished": ["offer_id", "options.term_months"]}),
                partner("words", c, consent="processor", ground="sends the message for the lender",
                        fields={"OfferPublished": ["borrower_id", "message", "contact"]}),
            )  # fmt: skip
            async with at_work(settings(tmp_path), *partners) as (_, feed):
                feed.give([granted(offer.borrower_id, f"partner:{p}") for p in ("plain", "named")])
                feed.give([offer])
                await until(lambda: bool(plain.calls and named.calls and words.calls), "all three")
        got = {r: r.calls[0][1]["data"] for r in (plain, named, words)}
        assert got[plain]["offer_id"] == offer.offer_id
        assert got[plain]["options"][0]["instalments"][0]["amount"] == offer.options[0].instalments[0].amount
        private = {
            "message",
            "reasons",
            "tone",
            "npv",
            "support",
            "disclosures",
            "caused_by",
            "distressed_obligation_bps",
        }
        assert not private & (got[plain].keys() | got[plain]["options"][0].keys())
        assert got[named] == {
            "event_id": offer.event_id,
            "offer_id": offer.offer_id,
            "options": [{"term_months": o.term_months} for o in offer.options],
        }
        assert got[words].keys() == {"event_id", "borrower_id", "message", "contact"}

    played(play)


def test_what_a_partner_may_no_longer_get_does_not_go_out(tmp_path: Path) -> None:
    offer = example(ev.OfferPublished)

    async def play() -> None:
        receiver = Receiver(SECRETS[0], lambda *_: 200)
        made = settings(tmp_path)
        async with served(receiver.handle) as url:
            async with at_work(made, partner("shop", "http://127.0.0.1:1/")) as (hooks, feed):
                feed.give([*consents("B0"), granted(offer.borrower_id, "partner:shop"), offer, expired(1, "B0")])
                await until(lambda: len(hooks.outbox.listed("shop", ["pending"], 9)) == 2, "both")
            less = partner("shop", url, events=["OfferPublished"], fields={"OfferPublished": ["offer_id"]})
            async with at_work(made, less) as (hooks, _):
                over = {("shop", "delivered"), ("shop", "withheld")}
                await until(lambda: delivery_counts(hooks.outbox).keys() == over, "the end of both")
        assert [said["data"] for _, said in receiver.calls] == [
            {"event_id": offer.event_id, "offer_id": offer.offer_id}
        ]

    played(play)


@pytest.mark.parametrize("opening", [ev.AccountOpened, ev.OpeningPosition])
def test_plans_find_their_borrower_by_the_account(
    opening: type[ev.AccountOpened | ev.OpeningPosition], tmp_path: Path
) -> None:
    opened = msgspec.structs.replace(example(opening), account_id="A-opened")
    kept = example(ev.PlanInstalmentKept)

    async def play() -> None:
        receiver = Receiver(SECRETS[0], lambda *_: 200)
        made = settings(tmp_path)
        shop = partner("shop", "", events=["PlanInstalmentKept"])
        async with served(receiver.handle) as url:
            shop["receives"]["url"] = url
            async with at_work(made, shop) as (hooks, feed):
                feed.give([*consents(opened.borrower_id), opened, kept])
                assert not hooks.outbox.listed("shop", ["pending"], 9), "an account of nobody known"
                feed.give([msgspec.structs.replace(kept, event_id="own", account_id=opened.account_id)])
                await until(lambda: receiver.taken == ["own"], "the plan's event")

    played(play)


def test_all_secrets_sign_so_that_a_key_can_be_rotated(tmp_path: Path) -> None:
    async def play() -> None:
        file = tmp_path / "secret"
        file.write_text(SECRETS[2] + "\n")
        old, new, third = (Receiver(SECRETS[n], lambda *_: 200) for n in (0, 1, 2))
        secrets = [{"env": "PARTNER_SECRET"}, {"env": "PARTNER_NEXT_SECRET"}, {"file": str(file)}]
        for receiver in (old, new, third):
            folder = tmp_path / str(id(receiver))
            async with (
                served(receiver.handle) as url,
                at_work(settings(folder), partner("shop", url, secrets=secrets)) as (_, feed),
            ):
                feed.give([*consents("B0"), expired(1, "B0")])
                await until(lambda r=receiver: bool(r.calls), "a delivery that this secret verifies")  # type: ignore[misc]
                if receiver is third:
                    # A file that is changed counts at once.
                    file.write_text(SECRETS[3] + " ")
                    last = Receiver(SECRETS[3], lambda *_: 200)
                    receiver.handle = last.handle  # type: ignore[method-assign]
                    receiver._webhook = last._webhook
                    feed.give([expired(2, "B0")])
                    await until(lambda r=receiver: len(r.calls) == 2, "one signed with the new key")  # type: ignore[misc]
        assert len(old.headers[0]["webhook-signature"].split(" ")) == 3

    played(play)


def test_pauses_grow_and_differ_and_are_the_same_again() -> None:
    made = WebhookSettings(seed=7)
    pauses = [pause_before(made, "shop/e1", n) for n in range(1, 30)]
    assert pauses == [pause_before(made, "shop/e1", n) for n in range(1, 30)]
    assert pauses != [pause_before(made, "shop/e2", n) for n in range(1, 30)]
    for n, pause in enumerate(pauses):
        full = min(made.retry_most_seconds, made.retry_first_seconds * 2**n)
        assert full / 2 <= pause <= full
    assert sum(pauses[:10]) < 5 * 86_400


def test_erasures_that_share_an_event_id_are_each_told(tmp_path: Path) -> None:
    async def play() -> None:
        told: list[str] = []

        def answer(said: dict[str, Any], _: int) -> int:
            if said["type"] == "ErasureRequested":
                told.append(said["data"]["borrower_id"])
            return 200

        receiver, events = Receiver(SECRETS[0], answer), ["OfferExpired", "ErasureRequested"]
        async with (
            served(receiver.handle) as url,
            at_work(settings(tmp_path), partner("shop", url, events=events)) as (
                _,
                feed,
            ),
        ):
            feed.give([*consents("B0", "B1"), expired(1, "B0"), expired(1, "B1")])
            await until(lambda: len(receiver.calls) == 2, "what they are told to forget")
            at = AT + timedelta(days=1)
            erased = [
                ev.ErasureRequested(event_id="e", occurred_at=at, source="desk", borrower_id=b) for b in ("B0", "B1")
            ]
            feed.give(erased * 2)
            await until(lambda: len(told) >= 2, "both notices")
        assert sorted(told) == ["B0", "B1"]
        assert len(set(receiver.taken)) == 4

    played(play)


def test_the_word_of_an_erasure_waits_for_what_is_under_way(tmp_path: Path) -> None:
    stored: list[str] = []

    async def slow(said: dict[str, Any]) -> web.Response:
        await asyncio.sleep(0.4)
        stored.append(said["type"])
        return web.Response(status=200)

    def answer(said: dict[str, Any], _: int) -> Any:
        if said["type"] == "OfferExpired":
            return slow(said)
        stored.append(said["type"])
        return 200

    async def play() -> None:
        receiver = Receiver(SECRETS[0], answer)
        made = settings(tmp_path, answer_seconds=3)
        events = ["OfferExpired", "ErasureRequested"]
        async with served(receiver.handle) as url, at_work(made, partner("shop", url, events=events)) as (hooks, feed):
            feed.give([*consents("B0"), expired(1, "B0")])
            await until(lambda: len(receiver.calls) == 1, "an offer under way")
            feed.give(
                [
                    ev.ErasureRequested(
                        event_id="erase-B0", occurred_at=AT + timedelta(days=1), source="desk", borrower_id="B0"
                    )
                ]
            )
            await until(lambda: len(stored) == 2, "both")
            await until(lambda: not hooks.outbox.listed("shop", ["pending"], 9), "the end of it")
            # It knows that it was told to forget, and counts as one that knows nothing.
            assert stored == ["OfferExpired", "ErasureRequested"]
            assert hooks.outbox.db.execute("SELECT * FROM told").fetchall() == []

    played(play)
