"""A chain of audit records: each has the digest of the one before, so that nothing is changed or left out unseen.

What a chain alone cannot show is that its end was cut off: note its head elsewhere now and then, and hold the chain
against that (`reprieve audit verify --expect`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from msgspec import msgpack
from msgspec.structs import replace

from schemas import events as ev


class Head(NamedTuple):
    """The end of a chain: how many records it has, and the digest of the last."""

    number: int = 0
    digest: str = ""


class Break(NamedTuple):
    """The first place at which a chain is not as it was written."""

    chain: str
    number: int
    why: str


def next_record(
    chain: str, head: Head, at: datetime, source: str, borrower: str, actor: str, purpose: str, fields: Iterable[str]
) -> ev.PersonalDataRead:
    """Return the record behind a chain's head."""
    number = head.number + 1
    record = ev.PersonalDataRead(
        event_id=f"{chain}-{number}",
        occurred_at=at.replace(microsecond=at.microsecond // 1000 * 1000),
        source=source,
        borrower_id=borrower,
        chain=chain,
        number=number,
        previous=head.digest,
        digest="",
        actor=actor,
        purpose=purpose,
        fields=tuple(fields),
    )
    return replace(record, digest=digest_of(record))


def digest_of(r: ev.PersonalDataRead) -> str:
    """Return the digest that a record must carry. Fields that later releases add to the contract are not in it."""
    at = int(r.occurred_at.timestamp() * 1000)
    said = [r.event_id, at, r.source, r.borrower_id, r.chain, r.number, r.previous, r.actor, r.purpose, *r.fields]
    return sha256(msgpack.encode(said)).hexdigest()


def heads(records: Iterable[ev.PersonalDataRead]) -> dict[str, Head]:
    """Return the head of each chain."""
    found: dict[str, Head] = {}
    for r in records:
        found[r.chain] = max(found.get(r.chain, Head()), Head(r.number, r.digest))
    return found


def breaks(records: Iterable[ev.PersonalDataRead], expected: Mapping[str, Head] | None = None) -> list[Break]:
    """Return the first break of each chain that has one. expected: heads that were noted elsewhere."""
    chains: dict[str, list[ev.PersonalDataRead]] = {}
    for record in records:
        chains.setdefault(record.chain, []).append(record)
    found = []
    for chain in sorted(chains.keys() | (expected or {}).keys()):
        wrong = _first_break(chain, sorted(chains.get(chain, []), key=lambda r: r.number), (expected or {}).get(chain))
        if wrong is not None:
            found.append(wrong)
    return found


def misfit(head: Head, r: ev.PersonalDataRead) -> Break | None:
    """Return why a record does not follow the head of its chain, None where it does."""
    if r.number <= head.number:
        return Break(r.chain, r.number, "there are two records of this number")
    if r.number != head.number + 1:
        return Break(r.chain, head.number + 1, f"the record is missing; the next that is there is number {r.number}")
    if r.digest != digest_of(r):
        return Break(r.chain, r.number, "the record was changed: its digest is another")
    if r.previous != head.digest:
        return Break(r.chain, r.number, "the record does not follow the one before: that one was replaced")
    return None


def _first_break(chain: str, records: list[ev.PersonalDataRead], expected: Head | None) -> Break | None:
    head = Head()
    for r in records:
        wrong = misfit(head, r)
        if wrong is not None:
            return wrong
        if expected is not None and r.number == expected.number and r.digest != expected.digest:
            return Break(chain, r.number, "the record is another than the head that was noted")
        head = Head(r.number, r.digest)
    if expected is not None and head.number < expected.number:
        return Break(chain, head.number + 1, f"the chain was cut off: number {expected.number} was noted as its head")
    return None
