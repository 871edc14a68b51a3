"""A borrower's profile: what several sources say of the borrower's means, merged field by field.

Every reading of a field keeps its provenance (kind and origin of the source, as-of date, consent, event).
A reading counts only while its consent is granted for a purpose that the policy names; a consent that
was never seen grants nothing. Merging is a maximum over a total order, so any order and any repetition of
the same reports, grants and withdrawals gives the same profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from schemas import events as ev
from state.policy import Affordability

Field = Literal[
    "monthly_income",
    "monthly_expenses",
    "spending",
    "other_debt_payments",
    "household_size",
    "credit_score",
    "region",
    "time_zone",
    "locale",
]
MONEY: frozenset[Field] = frozenset({"monthly_income", "monthly_expenses", "spending", "other_debt_payments"})
PLAIN: tuple[Field, ...] = (
    "monthly_income",
    "monthly_expenses",
    "other_debt_payments",
    "household_size",
    "credit_score",
    "region",
    "time_zone",
    "locale",
)

# Where equally trusted fresh sources differ, the one that promises less ability to pay is believed.
CAUTIOUS: dict[Field, Callable[[Iterable[int]], int]] = {
    "monthly_income": min,
    "credit_score": min,
    "monthly_expenses": max,
    "spending": max,
    "other_debt_payments": max,
    "household_size": max,
}


class ReportedValue(Struct, frozen=True, array_like=True, gc=False):
    """What one source says of one field.

    origin: the partner, or else the system, that reports. as_of: ordinal of the date it speaks of.
    occurred: milliseconds since the epoch. currency: of an amount; empty is that of the borrower's accounts.
    """

    field: Field
    value: int | str
    kind: ev.ProfileKind
    origin: str
    consent_id: str
    as_of: int
    occurred: int
    event_id: str
    currency: str = ""

    def source(self) -> tuple[str, str, str, str]:
        """Return what a newer reading must share to take this one's place."""
        return (self.field, self.kind, self.origin, self.consent_id)

    def age(self) -> tuple[int, int, str]:
        """Return the order of readings of one source, the newest last."""
        return (self.as_of, self.occurred, self.event_id)


class Consent(Struct, frozen=True, array_like=True, gc=False):
    """The latest grant and withdrawal of a consent for a purpose, milliseconds since the epoch, 0 for none.

    deleted: means reported under the consent up to that instant are deleted, and are deleted again where they are
    received once more; 0 for none.
    """

    consent_id: str
    purpose: str
    granted: int = 0
    withdrawn: int = 0
    deleted: int = 0


class Known(Struct, frozen=True, gc=False):
    """A merged field with the reading that it was taken from. fresh: no older than the policy allows."""

    value: int | str
    reading: ReportedValue
    fresh: bool


class Profile(Struct, frozen=True, gc=False):
    """A borrower's merged fields on a day, as far as they may be used."""

    fields: dict[Field, Known]

    def number(self, field: Field) -> int | None:
        """Return a numeric field, None where nobody may say."""
        known = self.fields.get(field)
        return known.value if known is not None and isinstance(known.value, int) else None

    def text(self, field: Field) -> str:
        """Return a text field, empty where nobody may say."""
        known = self.fields.get(field)
        return known.value if known is not None and isinstance(known.value, str) else ""


def millis(moment: datetime) -> int:
    """Return an instant as milliseconds since the epoch."""
    return int(moment.timestamp() * 1000)


def readings_of(report: ev.ProfileReported) -> list[ReportedValue]:
    """Return what a report says. Of spending only its sum is kept, since a decision needs no more."""
    said: dict[Field, int | str | None] = {name: getattr(report, name) for name in PLAIN}
    if report.spending:
        said["spending"] = min(max(0, sum(report.spending.values())), ev.MAX_LONG)
    return [
        ReportedValue(
            name,
            value,
            report.kind,
            report.partner_id or report.source,
            report.consent_id,
            report.as_of.toordinal(),
            millis(report.occurred_at),
            report.event_id,
            (report.currency or "") if name in MONEY else "",
        )
        for name, value in said.items()
        if value is not None and value != ""
    ]


def add_readings(held: Sequence[ReportedValue], new: Iterable[ReportedValue]) -> tuple[ReportedValue, ...]:
    """Return the newest reading of every field, source and consent, in a fixed order."""
    newest = {r.source(): r for r in held}
    for reading in new:
        before = newest.get(reading.source())
        if before is None or before.age() < reading.age():
            newest[reading.source()] = reading
    return tuple(newest[source] for source in sorted(newest))


def add_consent(held: Sequence[Consent], event: ev.ConsentGranted | ev.ConsentWithdrawn) -> tuple[Consent, ...]:
    """Return the consents with a grant or a withdrawal noted; the latest of each counts."""
    consents = {(c.consent_id, c.purpose): c for c in held}
    key = (event.consent_id, event.purpose)
    before = consents.get(key, Consent(*key))
    at = millis(event.occurred_at)
    if isinstance(event, ev.ConsentGranted):
        after = replace(before, granted=max(before.granted, at))
    else:
        after = replace(before, withdrawn=max(before.withdrawn, at))
    consents[key] = after
    return tuple(consents[k] for k in sorted(consents))


def note_deletion(held: Sequence[Consent], consent_id: str, purpose: str, through: int) -> tuple[Consent, ...]:
    """Return the consents with it noted that means reported under one are deleted, through an instant (ms).

    purpose: for which it was withdrawn, empty where none came that let the means be used.
    """
    consents = {(c.consent_id, c.purpose): c for c in held}
    key = (consent_id, purpose)
    before = consents.get(key, Consent(*key))
    consents[key] = replace(before, deleted=max(before.deleted, through))
    return tuple(consents[k] for k in sorted(consents))


def is_deleted(consents: Iterable[Consent], consent_id: str, occurred: int) -> bool:
    """Say whether means that were reported under a consent at an instant (ms) are deleted."""
    return any(c.consent_id == consent_id and occurred <= c.deleted for c in consents)


def granted_ids(consents: Iterable[Consent], purposes: Sequence[str], erased: int = 0) -> frozenset[str]:
    """Return the consents in force for any of the purposes. A withdrawal wins over a grant of the same instant.

    erased: milliseconds since the epoch of an erasure; what was granted until then is void.
    """
    return frozenset(c.consent_id for c in consents if c.purpose in purposes and c.granted > max(c.withdrawn, erased))


def merge(
    readings: Iterable[ReportedValue],
    granted: frozenset[str],
    rules: Affordability,
    day: int,
    *,
    home_currency: str,
    currency: str,
    income_changed: int = 0,
) -> Profile:
    """Return the profile on a day (ordinal) as far as it is about amounts of one currency.

    A fresh reading beats a stale one, then the more trusted kind wins. Equally trusted fresh sources that
    differ are settled with caution (the lower income, the higher expenses); other fields take the newest.
    home_currency: that of amounts reported without one. income_changed: ordinal of the day on which the
    borrower said that the income has changed; an income as of an earlier day no longer counts.
    """
    usable: dict[Field, list[ReportedValue]] = {}
    for r in readings:
        if r.consent_id not in granted or r.kind not in rules.sources:
            continue
        if r.field in MONEY and (r.currency or home_currency) != currency:
            continue
        if r.field == "monthly_income" and r.as_of < income_changed:
            continue
        usable.setdefault(r.field, []).append(r)
    return Profile({name: _merged(name, found, rules, day) for name, found in sorted(usable.items())})


def _merged(name: Field, found: Sequence[ReportedValue], rules: Affordability, day: int) -> Known:
    fresh = [r for r in found if r.as_of >= day - rules.fresh_days]
    pool = fresh or found
    trust = min(rules.sources.index(r.kind) for r in pool)
    pool = [r for r in pool if rules.sources.index(r.kind) == trust]
    newest: dict[str, ReportedValue] = {}
    for r in sorted(pool, key=ReportedValue.age):
        newest[r.origin] = r
    rivals = sorted(newest.values(), key=ReportedValue.age)
    cautious = CAUTIOUS.get(name) if fresh else None
    if cautious is None:
        chosen = rivals[-1]
    else:
        value = cautious(r.value for r in rivals if isinstance(r.value, int))
        chosen = next(r for r in reversed(rivals) if r.value == value)
    return Known(chosen.value, chosen, bool(fresh))
