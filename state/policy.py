"""The rules, as data. A pack is a YAML file in `state/policy_packs/packs/`; this is its shape once resolved.

Amounts are minor units of the account's currency, rates basis points, dates business dates.
`state.policy_packs.loader` reads and validates packs; every rule there carries a source and whether it was
verified. Here only values are left, since a decision needs no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from state.calendars import DueDays
from state.policy_sections import (
    Affordability,
    Allocation,
    BadDebt,
    Bps,
    Charges,
    Classification,
    ClassThreshold,
    Component,
    Contacts,
    Count,
    Days,
    Delinquency,
    Floor,
    Hour,
    Impairment,
    Learning,
    Money,
    Months,
    MonthsOrZero,
    Offers,
    Options,
    Parties,
    Plans,
    Share,
    Step,
    Timing,
)
from state.texts import Lender, Locale, Localised, Messages, messages_of

__all__ = [
    "Affordability",
    "Allocation",
    "BadDebt",
    "Bps",
    "Charges",
    "ClassThreshold",
    "Classification",
    "Component",
    "Contacts",
    "Count",
    "Days",
    "Delinquency",
    "Floor",
    "Hour",
    "Impairment",
    "Learning",
    "Money",
    "Months",
    "MonthsOrZero",
    "Offers",
    "Options",
    "Parties",
    "Plans",
    "Policy",
    "PolicyBook",
    "Share",
    "Step",
    "Timing",
]


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """All rules that apply to one kind of account, resolved from its packs.

    retry_failed_payment_days: how long after a failed payment another attempt is proposed, on a business day.
    most_days_skipped: how far behind the last close a business date may be closed. most_days_ahead: how far behind it
    a fact may count from. Beyond, it is a slip of the date and is refused. texts: all messages to borrowers, as Fluent
    source by locale; empty for those of the package.
    """

    name: str
    version: str
    allocation: Allocation
    delinquency: Delinquency
    charges: Charges
    classifications: tuple[Classification, ...]
    bad_debt: BadDebt
    impairment: Impairment
    plans: Plans
    affordability: Affordability
    options: Options
    offers: Offers
    contacts: Contacts
    learning: Learning
    business_time_zone: str = "UTC"
    unknown_account_wait_days: Days = 3
    retry_failed_payment_days: Days = 5
    most_days_skipped: Days = 92
    most_days_ahead: Days = 366
    holiday_calendar: str | None = None
    lender: Lender = Lender()
    texts: Localised = Localised()
    parties: Parties = Parties()

    def messages(self, locale: Locale, jurisdiction: str) -> Messages:
        """Return what borrowers read, in a locale and as dates and amounts are written in a jurisdiction."""
        return messages_of(self.texts, self.lender, locale, jurisdiction)

    @property
    def due_days(self) -> DueDays:
        """Return how due dates of plans keep clear of days on which banks do not work."""
        return DueDays(self.plans.due_date_convention, self.holiday_calendar)


class Scope(Protocol):
    """Which accounts a book was written for."""

    def problems(self, jurisdiction: str, product: str) -> dict[str, str]:
        """Return why no account of a jurisdiction and product may be opened, with the remedy, by the field at fault."""
        ...

    def is_by_default(self, jurisdiction: str, product: str) -> bool:
        """Say whether no row names the jurisdiction, so that the row for everywhere stands in."""
        ...


class PolicyBook:
    """Which policy applies to an account, and from when on. `resolve` is called once a (jurisdiction, product).

    resolve_in: the same with amounts in minor units of a currency, where they differ by currency.
    later: books that take its place, each from a business date (ordinal) on, in the order of these. files: the texts of
    which `state.policy_packs.book_files.book_of` made it, if it did. scope: the accounts that it was written for;
    without one, every account.
    """

    __slots__ = ("_cache", "_resolve", "_resolve_in", "files", "later", "name", "scope")

    def __init__(
        self,
        name: str,
        resolve: Callable[[str, str], Policy],
        later: tuple[tuple[int, PolicyBook], ...] = (),
        files: Mapping[str, str] | None = None,
        scope: Scope | None = None,
        resolve_in: Callable[[str, str, str], Policy] | None = None,
    ) -> None:
        self.name = name
        self.later = later
        self.files = files
        self.scope = scope
        self._resolve = resolve
        self._resolve_in = resolve_in
        self._cache: dict[tuple[str, str, str], Policy] = {}

    def policy_for(self, jurisdiction: str, product: str, currency: str = "") -> Policy:
        """Return the policy of a jurisdiction and product before any change.

        currency: of the account, which its amounts are in; without one they are in that of the place.
        """
        key = (jurisdiction, product, currency)
        policy = self._cache.get(key)
        if policy is None:
            if currency and self._resolve_in is not None:
                policy = self._resolve_in(jurisdiction, product, currency)
            else:
                policy = self._resolve(jurisdiction, product)
            self._cache[key] = policy
        return policy

    def problems(self, jurisdiction: str, product: str) -> dict[str, str]:
        """Return why no account of a jurisdiction and product may be opened, with the remedy, by the field at fault."""
        return {} if self.scope is None else self.scope.problems(jurisdiction, product)

    def places_by_default(self) -> list[tuple[str, str]]:
        """Return the jurisdictions and products that were asked for and that only the row for everywhere takes."""
        if self.scope is None:
            return []
        asked = dict.fromkeys(key[:2] for key in self._cache if key[0])
        return [key for key in asked if not self.scope.problems(*key) and self.scope.is_by_default(*key)]

    def is_by_default(self, jurisdiction: str, product: str) -> bool:
        """Say whether no row of the book names an account's jurisdiction, so that the row for everywhere takes it."""
        return self.scope is not None and self.scope.is_by_default(jurisdiction, product)

    def resolved_policies(self) -> list[Policy]:
        """Return the policies that were asked for."""
        return list(self._cache.values())

    def in_force_on(self, day: int) -> PolicyBook:
        """Return the book that applies on a business date (ordinal), 0 for one before all changes."""
        book = self
        for first, other in self.later:
            if day < first:
                break
            book = other
        return book

    def changes_between(self, after: int, through: int) -> bool:
        """Say whether another book begins to apply behind a business date (ordinals), through another."""
        return bool(self.later) and any(after < first <= through for first, _ in self.later)

    def with_amendments(self, later: Iterable[tuple[int, PolicyBook]]) -> PolicyBook:
        """Return this book with others that take its place."""
        by_day = tuple(sorted(later, key=lambda change: change[0]))
        return PolicyBook(self.name, self.policy_for, by_day, self.files, self.scope, self.policy_for)

    def named(self, name: str) -> PolicyBook:
        """Return this book under another name."""
        return PolicyBook(name, self.policy_for, self.later, self.files, self.scope, self.policy_for)
