"""The policies of a runtime: the book that it began with, and the changes that it took since."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Protocol

import structlog
from msgspec import json

from agents.input_limits import check_close_date
from agents.policies import changed, check_change
from schemas import events as ev
from schemas.errors import FatalError
from state.calendars import covers
from state.policy import Policy, PolicyBook
from state.policy_packs.book import book_of
from state.policy_packs.loader import DEFAULT_BOOK, book_for

log: Any = structlog.get_logger(__name__)

_OWNER, _FIRST, _NAMES, _EACH = "book", "policy_files", "policies", "policy:"


class Named(Protocol):
    """Named values that a runtime keeps."""

    def meta(self, name: str) -> str | None:
        """Return a named value, None where there is none."""
        ...

    def set_meta(self, name: str, value: str) -> None:
        """Keep a named value."""
        ...


def is_of_changes(name: str) -> bool:
    """Say whether a named value is one of those that `changes_in` reads."""
    return name == _NAMES or name.startswith(_EACH)


def changes_in(meta: Callable[[str], str | None]) -> list[ev.PolicyChanged]:
    """Return the changes that are kept among named values, in the order in which they were taken."""
    names = json.decode(meta(_NAMES) or "[]", type=list[str])
    return [json.decode(meta(_EACH + name) or "", type=ev.PolicyChanged) for name in names]


def is_of_rules(name: str) -> bool:
    """Say whether a named value is one of those that `changes_in` or `first_files` reads."""
    return name == _FIRST or is_of_changes(name)


def first_files(meta: Callable[[str], str | None]) -> dict[str, str] | None:
    """Return the texts of the book that a deployment began with, by name; None where none are kept."""
    kept = meta(_FIRST)
    return None if kept is None else json.decode(kept, type=dict[str, str])


def book_named(name: str | None) -> PolicyBook:
    """Return the policy book of a pack, or the one by jurisdiction and product. Raises PackError."""
    return book_for(name or DEFAULT_BOOK)


def stored_book(meta: Callable[[str], str | None], given: Callable[[], PolicyBook]) -> PolicyBook:
    """Return the policies by which a deployment decides, with all changes that it has taken, from its named values.

    given: the book that stands in where an earlier release kept no texts of it. Raises PackError where a text that is
    kept is not of this release's form.
    """
    files = first_files(meta)
    return changed(given() if files is None else book_of(files), changes_in(meta))


class Policies:
    """`book` is what applies now and later. Changes are kept among named values, each as one of its own.

    So is the whole text of the book that a deployment began with: another release, or a pack whose file was edited,
    changes no rule of days that are closed.

    by_default: the jurisdictions and products that were met and that only the book's row for everywhere takes.
    missing_calendars: those by which due dates should be rolled, and that are not known.
    """

    def __init__(self, first: PolicyBook, rows: Named) -> None:
        self._rows = rows
        self._first = self._kept(first)
        self.by_default: set[tuple[str, str]] = set()
        self.missing_calendars: set[str] = set()
        self.recall()

    def _kept(self, given: PolicyBook) -> PolicyBook:
        """Return the book that was given where it is the first one, else the one that is kept."""
        files, owner = first_files(self._rows.meta), self._rows.meta(_OWNER)
        if owner is None:
            self._rows.set_meta(_OWNER, given.name)
        if given.files is None:
            return given
        if files is None:
            self._rows.set_meta(_FIRST, json.encode(given.files).decode())
            return given
        if files == given.files:
            return given
        if all(change.files != given.files for change in changes_in(self._rows.meta)):
            if owner not in (None, given.name):
                raise FatalError(
                    f"What is kept here was decided under the policy {owner}, not {given.name}. Start with {owner}; "
                    f"a change is an event: `reprieve policy change {given.name} --from DATE`, then `reprieve publish`."
                )
            log.warning(
                "policy_not_in_force",
                policy=given.name,
                detail="its text is not the one that is kept here, by which decisions go on",
                remedy="publish the change: reprieve policy change",
            )
        return book_of(files).named(given.name)

    def recall(self) -> None:
        """Go by the changes that are kept."""
        self._changes = changes_in(self._rows.meta)
        self.book = changed(self._first, self._changes)
        # By how many changes had been taken.
        self._books = {len(self._changes): self.book}

    @property
    def taken(self) -> int:
        """How many changes were taken."""
        return len(self._changes)

    def book_after(self, taken: int) -> PolicyBook:
        """Return what applied, then and later, when so many changes had been taken."""
        if taken not in self._books:
            self._books[taken] = changed(self._first, self._changes[:taken])
        return self._books[taken]

    def default_policy(self, closed_through: date | None) -> Policy:
        """Return what applies to no account alone, on the day that is open."""
        day = closed_through.toordinal() if closed_through else 0
        return self.book.in_force_on(day + 1).policy_for("", "")

    def deadline(self, closed_through: date | None) -> int | None:
        """Return through which day (ordinal) a record waits for its account, None before any day is closed."""
        if closed_through is None:
            return None
        return closed_through.toordinal() + self.default_policy(closed_through).unknown_account_wait_days

    def check(self, event: ev.Event, closed_through: date | None) -> bool:
        """Say whether an event of the clock changes anything. Raises InvalidEventError where it may not be believed."""
        if isinstance(event, ev.PolicyChanged):
            ahead = self.default_policy(closed_through).most_days_ahead
            return check_change(event, self._changes, closed_through, ahead)
        if isinstance(event, ev.QuarantineReleased):
            return True
        assert isinstance(event, ev.DayClosed)
        check_close_date(event, closed_through, self.default_policy(closed_through).most_days_skipped)
        self._warn(event.business_date)
        return True

    def _warn(self, day: date) -> None:
        """Log once each kind of account that no row of the book names, and each calendar that is missing."""
        book = self.book.in_force_on(day.toordinal())
        for jurisdiction, product in book.places_by_default():
            if (jurisdiction, product) not in self.by_default:
                self.by_default.add((jurisdiction, product))
                _warn_once(
                    "policy_by_default",
                    jurisdiction=jurisdiction,
                    product=product,
                    detail="no row of the policy book names the jurisdiction; the row for every other place stands in",
                    remedy="add a row for it to the book and publish the change: reprieve policy change",
                )
        for calendar in {p.holiday_calendar for p in book.resolved_policies() if p.due_days.convention != "none"}:
            if calendar not in self.missing_calendars and not covers(calendar, day):
                self.missing_calendars.add(str(calendar))
                _warn_once(
                    "calendar_missing",
                    calendar=calendar,
                    detail="due dates are rolled by weekdays alone",
                    remedy="correct the calendar of the place in the policy book, or update the package `holidays`",
                )

    def take(self, change: ev.PolicyChanged) -> None:
        """Keep a change that was checked, and go by it."""
        self._rows.set_meta(_EACH + change.change_id, json.encode(change).decode())
        self._rows.set_meta(_NAMES, json.encode([*(c.change_id for c in self._changes), change.change_id]).decode())
        self.recall()


def _warn_once(what: str, **more: object) -> None:
    """Log a warning once a process: a local runtime is opened for each thing that it is asked."""
    said = (what, *sorted((name, str(value)) for name, value in more.items()))
    if said not in _warned:
        _warned.add(said)
        log.warning(what, **more)


_warned: set[tuple[object, ...]] = set()
