"""Marked personal values, and every way in which bytes may hold them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from msgspec import msgpack

from schemas import events as ev

INCOME, EXPENSES, OTHER, SPENT, SCORE, COUNTER = 7_391_734, 5_713_907, 1_093_771, 2_190_743, 91_733, 1_739_117
NUMBERS = (INCOME, EXPENSES, OTHER, SPENT, SCORE, COUNTER)
REGION, WORK, SHOP = "Ödwaldmark", "foundry-hand-canary", "canary-pharmacy"
NAME, PHONE, COMMENT = "卡纳里·Zyxwold", "+86-139-0713-9173", "my husband left and I cannot sleep, canary"
RECORDING = "vault/calls/canary-0713"
TEXTS = (REGION, WORK, SHOP, NAME, PHONE, COMMENT, RECORDING)


def zigzag(number: int) -> bytes:
    """Return a number as Avro writes it."""
    left, out = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def shapes(extra: Iterable[str] = ()) -> dict[bytes, str]:
    """Return the bytes to look for, each with what it is."""
    found: dict[bytes, str] = {}
    for text in (*TEXTS, *extra):
        for coding in ("utf-8", "utf-16-le", "utf-16-be"):
            found[text.encode(coding)] = f"{text} in {coding}"
        # JSON's escapes, and the three ways in which base64 may fall.
        found.setdefault(text.encode("unicode_escape"), f"{text} escaped")
        for shift in range(3):
            coded = b64encode(b"\0" * shift + text.encode())
            found[coded[4 if shift else 0 : -4]] = f"{text} in base64"
    for number in NUMBERS:
        found |= dict.fromkeys([zigzag(number)], f"{number} as a varint")
        found[msgpack.encode(number)] = f"{number} as MessagePack"
        for coding in ("utf-8", "utf-16-le", "utf-16-be"):
            found[str(number).encode(coding)] = f"{number} in {coding}"
            found[f"{number:,}".encode(coding)] = f"{number} in {coding} with commas"
    return {form: what for form, what in found.items() if len(form) >= 4}


def seen(data: bytes, forms: dict[bytes, str]) -> set[str]:
    """Return what of the marks bytes hold."""
    return {what for form, what in forms.items() if form in data}


def leaks(folder: Path, forms: dict[bytes, str], pattern: str = "*") -> dict[str, set[str]]:
    """Return what each file below a folder holds of the marks; those that hold nothing are left out.

    Looked at anew where a file went meanwhile: Kafka's cleaner renames what it has written, and what such a file
    holds would be missed under both names.
    """
    for _ in range(100):
        with suppress(FileNotFoundError):
            held = {path: seen(path.read_bytes(), forms) for path in files(folder, pattern)}
            return {str(path.relative_to(folder)): marks for path, marks in held.items() if marks}
    raise AssertionError(f"{folder} did not keep still")


def files(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield all files below a folder, but for Kafka's indexes: these are megabytes of offsets and instants alone."""
    yield from (p for p in sorted(folder.rglob(pattern)) if p.is_file() and p.suffix not in (".index", ".timeindex"))


def _base(name: str, day: date, hour: int, borrower: str) -> dict[str, Any]:
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    return {"event_id": name, "occurred_at": at, "source": "desk", "borrower_id": borrower}


def granted(borrower: str, day: date) -> ev.ConsentGranted:
    """Return the consent to use what is reported."""
    base = _base(f"grant-{borrower}", day, 8, borrower)
    return ev.ConsentGranted(**base, consent_id=f"consent-{borrower}", purpose="repayment_planning")


def withdrawn(borrower: str, day: date) -> ev.ConsentWithdrawn:
    """Return the end of the consent to use what is reported."""
    base = _base(f"withdrawal-{borrower}-{day}", day, 12, borrower)
    return ev.ConsentWithdrawn(**base, consent_id=f"consent-{borrower}", purpose="repayment_planning")


def report(borrower: str, day: date, name: str = "report") -> ev.ProfileReported:
    """Return a report in which every field is marked."""
    return ev.ProfileReported(
        **_base(f"{name}-{borrower}", day, 9, borrower),
        kind="interview",
        as_of=day,
        consent_id=f"consent-{borrower}",
        monthly_income=INCOME,
        monthly_expenses=EXPENSES,
        other_debt_payments=OTHER,
        household_size=3,
        region=REGION,
        credit_score=SCORE,
        employment=WORK,
        spending={SHOP: SPENT},
    )


def answer(borrower: str, day: date, offer_id: str, said: ev.Answer, **more: Any) -> ev.OfferAnswered:
    """Return an answer in which every field is marked."""
    return ev.OfferAnswered(
        **_base(f"answer-{borrower}-{offer_id}-{said}", day, 10, borrower),
        feedback_id=f"f-{borrower}-{offer_id}-{said}",
        offer_id=offer_id,
        answer=said,
        channel="hotline",
        recording_ref=RECORDING,
        comment=f"{NAME}, {PHONE}: {COMMENT}",
        **more,
    )


def erasure(borrower: str, day: date) -> ev.ErasureRequested:
    """Return the wish to be forgotten."""
    return ev.ErasureRequested(**_base(f"erasure-{borrower}", day, 11, borrower))
