"""HTTP in: only what is signed, fresh and allowed, and nothing acknowledged before it is durable."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from schemas import events as ev
from schemas.contracts import contracts
from schemas.openapi import TAKEN
from streams.cli.common import book_named
from streams.http.intake.admission import OWN_IDS
from streams.http.rate_limiter import RateLimiter
from streams.local.event_sink import LocalSink
from streams.local.runtime import LocalRuntime
from streams.partners.signing import SignatureError, secret_of, signed, verified
from tests.support.small_disk import mounted
from tests.support.webhook_receivers import SECRETS
from tests.support.webhook_senders import ENVIRONMENT, SENDING, HeldDoor, education, headers, intake, now


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def played(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(play())


def test_a_signed_event_is_taken_with_its_source_set_by_us(tmp_path: Path) -> None:
    async def play() -> None:
        door = HeldDoor()
        async with intake(door) as client:
            status, said = await client.send(education())
            assert (status, said["accepted"], said["results"][0]["event_id"]) == (202, 1, "employer:study-1")
            report = {
                "type": "ProfileReported",
                "event_id": "p" * 64,
                "occurred_at": now().isoformat(),
                "borrower_id": "B1",
                "kind": "third_party",
                "as_of": now().date().isoformat(),
                "consent_id": "C1",
                "monthly_income": 500_000,
            }
            assert (await client.send(report, secret=SECRETS[1]))[0] == 202
        study, profile = door.taken
        assert isinstance(study, ev.EducationCompleted)
        assert study.source == "employer"
        assert isinstance(profile, ev.ProfileReported)
        assert (profile.partner_id, profile.source, profile.consent_id) == ("employer", "employer", "C1")
        assert len(profile.event_id) <= 64

    played(play)


@pytest.mark.parametrize(
    "wrong",
    [
        "secret", "body", "id", "old", "ahead", "source", "none", "other source", "garbage", "comma", "bytes", "v1a",
        "later timestamp",
    ],
)  # fmt: skip
def test_what_is_not_signed_in_time_is_refused_alike(wrong: str) -> None:
    async def play() -> None:
        door = HeldDoor()
        body = msgspec.json.encode(education())
        good = headers(SECRETS[0], body)
        at = datetime.now(UTC)
        changed: dict[str, dict[str, str]] = {
            "secret": headers(SECRETS[5], body),
            "body": headers(SECRETS[0], body + b" "),
            "id": {**good, "webhook-id": "m-2"},
            "old": headers(SECRETS[0], body, at=at - timedelta(seconds=301)),
            "ahead": headers(SECRETS[0], body, at=at + timedelta(seconds=400)),
            "later timestamp": {**good, "webhook-timestamp": str(int(at.timestamp()) + 1)},
            "none": {"content-type": "application/json"},
            "garbage": {**good, "webhook-signature": "v1"},
            "comma": {**good, "webhook-signature": "v1,,,, v1,%%% ,"},
            "bytes": {**good, "webhook-signature": "v1,\u00e9\u4f60"},
            "v1a": {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v1a,")},
        }
        async with intake(door) as client:
            source = {"source": "nobody", "other source": "hotline"}.get(wrong, "employer")
            status, said = await client.post(body, changed.get(wrong, good), source)
            assert (status, said["type"]) == (401, "urn:reprieve:problem:unsigned")
            assert client.last.headers["content-type"] == "application/problem+json"
            nobody = (await client.post(body, good, "nobody"))[1]
            assert said == nobody, "an answer must not tell who is known"
        assert door.taken == []

    played(play)


def test_a_repeated_message_is_answered_alike_and_taken_once() -> None:
    async def play() -> None:
        door = HeldDoor()
        async with intake(door) as client:
            said, later = education(), datetime.now(UTC) + timedelta(seconds=5)
            first = await client.send(said, message_id="m-1")
            assert await client.send(said, message_id="m-1", at=later) == first
            body = msgspec.json.encode(education(2))
            sent = headers(SECRETS[0], body, "m-2")
            answers = await asyncio.gather(*[client.post(body, sent) for _ in range(10)])
            assert {status for status, _ in answers} <= {202, 503}
            assert (await client.post(body, sent))[0] == 202
            assert [e.event_id for e in door.taken] == ["employer:study-1", "employer:study-2"]
            status, said = await client.send(education(3), message_id="m-2")
            assert (status, said["type"]) == (409, "urn:reprieve:problem:id-used")

    played(play)


def test_an_event_without_an_id_gets_a_stable_one() -> None:
    async def play() -> None:
        plain = education(occurred_at=(now() - timedelta(days=1)).isoformat())
        del plain["event_id"]
        said = []
        for _ in range(2):
            # A restart forgets what was answered; the ids do not change by it.
            async with intake(HeldDoor()) as client:
                said.append(await client.send([plain, plain], message_id="m-1"))
        assert said[0] == said[1]
        ids = {result["event_id"] for result in said[0][1]["results"]}
        assert len(ids) == 2

    played(play)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"type": "DayClosed"}, "unknown-schema"),
        ({"type": "PaymentReceived"}, "forbidden-type"),
        ({"type": "OfferAnswered"}, "forbidden-type"),
        ({"type": ["x"]}, "unknown-schema"),
        ({"source": "hotline"}, "forbidden-value"),
        ({"borrower": "B1"}, "unknown-field"),
        ({"borrower_id": "a b"}, "out-of-range"),
        ({"borrower_id": 7}, "wrong-type"),
        ({"occurred_at": "2999-01-01T00:00:00Z"}, "out-of-range"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "out-of-range"),
        (
            {"type": "ConsentGranted", "consent_id": "C1", "purpose": "partner:employer", "item_id": None},
            "unknown-field",
        ),
        ({"type": "ProfileReported", "partner_id": "bank"}, "unknown-field"),
    ],
)
def test_what_a_source_may_not_send_is_refused_alone(changed: dict[str, Any], code: str) -> None:
    async def play() -> None:
        door = HeldDoor()
        async with intake(door) as client:
            status, said = await client.send([education(1), education(2, **changed), education(3)])
            assert (status, said["accepted"]) == (207, 2)
            refused = said["results"][1]
            assert refused["status"] == "refused"
            assert refused["problem"]["type"] == f"urn:reprieve:problem:{code}"
            assert refused["problem"]["detail"].endswith((".", "?"))
            assert [e.event_id for e in door.taken] == ["employer:study-1", "employer:study-3"]
            status, said = await client.send(education(2, **changed))
            assert (status, said["type"], len(said["results"])) == (422, "urn:reprieve:problem:refused", 1)

    played(play)


def test_a_source_is_held_to_its_kinds_channels_and_purposes() -> None:
    async def play() -> None:
        door = HeldDoor()
        at = now().isoformat()
        answer = {
            "type": "OfferAnswered", "event_id": "a1", "occurred_at": at, "feedback_id": "F1", "offer_id": "O1",
            "borrower_id": "B1", "answer": "declined", "channel": "online",
        }  # fmt: skip
        consent = {
            "type": "ConsentGranted", "event_id": "c1", "occurred_at": at, "borrower_id": "B1", "consent_id": "C1",
            "purpose": "partner:employer",
        }  # fmt: skip
        profile = {
            "type": "ProfileReported", "event_id": "p1", "occurred_at": at, "borrower_id": "B1", "kind": "bureau",
            "as_of": at[:10], "consent_id": "C1",
        }  # fmt: skip
        async with intake(door) as client:
            hotline = {"source": "hotline", "secret": SECRETS[2]}
            for said, more, field in (
                (answer, hotline, "channel"),
                (consent, {}, "purpose"),
                (profile, {}, "kind"),
                ({**profile, "kind": "third_party", "partner_id": "bank"}, {}, "partner_id"),
                ({**profile, "kind": "third_party", "as_of": "2999-01-01"}, {}, "as_of"),
            ):
                status, refused = await client.send(said, **more)
                assert status == 422
                assert refused["results"][0]["problem"]["field"] == field
            assert (await client.send({**answer, "channel": "hotline"}, **hotline))[0] == 202
            assert (await client.send({**consent, "purpose": "repayment_planning"}))[0] == 202
        # The lender's own hotline gives ids as they are; a partner's cannot stand in their way.
        assert [e.event_id for e in door.taken] == ["a1", "employer:c1"]

    played(play)


def test_every_input_id_is_the_senders_own_or_a_reference() -> None:
    # A new id field belongs in one of the two: an id that a partner gives must not stand in another's way.
    referred = {
        "account_id", "answered_by", "borrower_id", "offer_id", "option_id", "consent_id", "item_id", "partner_id",
        "plan_id",
    }  # fmt: skip
    given = {
        field["name"]
        for record in TAKEN
        for field in contracts()[record]["fields"]
        if field.get("range") == "id" or field["name"].endswith("_id")
    }
    assert given == set(OWN_IDS) | (given & referred)


def test_nothing_counts_as_taken_while_the_door_is_away() -> None:
    async def play() -> None:
        door = HeldDoor()
        door.away = True
        async with intake(door) as client:
            status, said = await client.send(education(), message_id="m-1")
            assert (status, said["type"]) == (503, "urn:reprieve:problem:away")
            assert int(client.last.headers["retry-after"]) > 0
            assert (await probe(client, "/livez"), await probe(client, "/readyz")) == (200, 503)
            door.away = False
            assert await probe(client, "/readyz") == 200
            assert (await client.send(education(), message_id="m-1"))[0] == 202
        assert len(door.taken) == 1

    played(play)


async def probe(client: Any, path: str) -> int:
    async with client._session.get(client.url + path) as got:
        return int(got.status)


def test_a_source_over_its_rate_is_told_when_to_come_again() -> None:
    async def play() -> None:
        door = HeldDoor()
        async with intake(door) as client:
            hotline = {"source": "hotline", "secret": SECRETS[2]}
            at = now().isoformat()
            contacts = [
                {
                    "type": "ContactAttempted", "event_id": f"c{n}", "occurred_at": at, "attempt_id": f"t{n}",
                    "account_id": "A1", "channel": "call", "direction": "outbound", "outcome": "no_answer",
                    "agent": "x",
                }
                for n in range(25)
            ]  # fmt: skip
            # A batch beyond the burst comes through, and what comes next waits for it.
            assert (await client.send(contacts, **hotline))[0] == 202
            status, _ = await client.send(contacts[:1], **hotline)
            assert status == 429
            assert 1 <= int(client.last.headers["retry-after"]) <= 7
            assert (await client.send(education()))[0] == 202, "another source's limit is its own"

    played(play)


@pytest.mark.parametrize(
    "kind", ["large", "chunked", "gzip", "text", "charset", "deep", "empty", "many", "nothing", "nan"]
)
def test_bodies_that_are_not_read_are_refused_cheaply(kind: str) -> None:
    async def play() -> None:
        door = HeldDoor()
        async with intake(door, max_body_bytes=10_000, max_events=5) as client:
            bodies: dict[str, Any] = {
                "large": b" " * 10_001,
                "deep": b"[" * 9_000,
                "empty": b"",
                "many": [education(n) for n in range(6)],
                "nothing": [],
                "nan": b'{"type": NaN}',
            }
            if kind == "chunked":

                async def endless() -> Any:
                    while True:
                        yield b" " * 4_000

                async with client._session.post(
                    f"{client.url}/v1/events?source=employer",
                    data=endless(),
                    headers={"content-type": "application/json"},
                ) as got:
                    assert got.status == 413
                return
            changed = {
                "gzip": {"content_encoding": "gzip"},
                "text": {"content_type": "text/plain"},
                "charset": {"content_type": "application/json; charset=utf-16"},
            }.get(kind, {})
            said = bodies.get(kind, education())
            if kind == "gzip":
                packed = gzip.compress(b" " * 10_000_000)
                status, answer = await client.post(
                    packed, {"content-encoding": "gzip", "content-type": "application/json"}
                )
            else:
                status, answer = await client.send(said, **changed)
            wanted = {"large": 413, "many": 413, "nothing": 413, "deep": 400, "empty": 400, "nan": 400}.get(kind, 415)
            assert status == wanted
            assert answer["status"] == wanted
        assert door.taken == []

    played(play)


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def play() -> None:
        async with intake(HeldDoor(), body_seconds=0.2) as client:
            host, port = client.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /v1/events?source=employer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                b"content-length: 100\r\n\r\n{"
            )
            assert b" 408 " in await asyncio.wait_for(reader.readline(), 120)
            writer.close()

    played(play)


def test_the_same_server_feeds_a_local_runtime(tmp_path: Path) -> None:
    async def play() -> None:
        async with intake(LocalSink(tmp_path, book_named(None))) as client:
            consent = {
                "type": "ConsentGranted", "occurred_at": now().isoformat(), "borrower_id": "B1", "consent_id": "C1",
                "purpose": "repayment_planning",
            }  # fmt: skip
            assert (await client.send([consent, education()]))[0] == 202
            # A second life: what it forgot is known by its ids.
        async with intake(LocalSink(tmp_path, book_named(None))) as client:
            assert (await client.send([education()]))[0] == 202

    played(play)
    with LocalRuntime.open(tmp_path, book_named(None)) as runtime:
        facts = [
            e for _, e in runtime.history("planner", "B1") if isinstance(e, ev.EducationCompleted | ev.ConsentGranted)
        ]
        assert [type(e).__name__ for e in facts] == ["EducationCompleted", "ConsentGranted"]
        assert list(runtime.outputs("dead-letters")) == []


@settings(max_examples=40)
@given(
    body=st.text().map(str.encode),
    message_id=st.from_regex(r"[!-~]{1,128}", fullmatch=True),
    keys=st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3, unique=True),
)
def test_both_sides_agree_with_the_specifications_library(body: bytes, message_id: str, keys: list[bytes]) -> None:
    at = int(datetime.now(UTC).timestamp())
    made = signed(keys, message_id, at, body)
    for key in keys:
        Webhook(key).verify(body, made, json_parse=False)
        theirs = {
            **made,
            "webhook-signature": Webhook(key).sign(message_id, datetime.fromtimestamp(at, UTC), body.decode()),
        }
        assert verified(keys, theirs, body, now=at + 299, tolerance=300).message_id == message_id
    other = bytes(b ^ 1 for b in keys[0])
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(body, {**made, "webhook-signature": made["webhook-signature"][:47]}, json_parse=False)
    with pytest.raises(SignatureError):
        verified([other], {**made, "webhook-signature": made["webhook-signature"][:47]}, body, now=at, tolerance=300)


@given(
    st.binary(max_size=300),
    st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=80)),
)
def test_no_header_or_body_breaks_verification(body: bytes, given_headers: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        verified([bytes(32)], given_headers, body, now=0, tolerance=300)


@pytest.mark.parametrize("text", ["", "whsec_", "secret", "whsec_AAAA", "whsec_" + "A" * 200, "whsec_!!!!", "whsec_é"])
def test_an_invalid_secret_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (what it says is looked at)
        secret_of(text)
    assert not text or text not in str(caught.value) or text == "whsec_"


def test_the_sources_of_the_tests_are_a_valid_file() -> None:
    assert len(SENDING["partners"]) == 2


def test_a_clock_that_is_set_back_shuts_the_door_to_nobody() -> None:
    now = [1_000_000.0]
    limits = RateLimiter(50, 1, lambda: now[0], burst=500)
    limits.take("shop", 100)
    now[0] -= 3_600
    assert limits.wait("shop") == 0
    limits.take("shop", 400)
    assert limits.wait("shop") == 1
    now[0] += 1
    assert limits.wait("shop") == 0


def test_an_intake_goes_on_once_its_full_disk_has_room(tmp_path: Path) -> None:
    def study(number: int) -> dict[str, Any]:
        return education(number, borrower_id=f"B{number}")

    async def play() -> None:
        with mounted(tmp_path / "disk", 8) as disk:
            async with intake(LocalSink(disk.path, book_named(None))) as client:
                assert (await client.send(study(1)))[0] == 202
                assert await probe(client, "/readyz") == 200
                disk.fill()
                refused = [status for n in range(2, 60) if (status := (await client.send(study(n)))[0]) != 202]
                assert set(refused) == {503}
                assert await probe(client, "/readyz") == 503
                disk.free()
                assert await probe(client, "/readyz") == 200
                for n in range(2, 60):
                    assert (await client.send(study(n)))[0] == 202
            with LocalRuntime.open(disk.path, book_named(None)) as runtime:
                taken = [[type(e) for _, e in runtime.history("planner", f"B{n}")] for n in range(1, 60)]
                assert taken == [[ev.EducationCompleted]] * 59

    played(play)
