"""The policies of a runtime: the book that it began with, and the changes that it took since."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Protocol

import structlog
from msgspec import json

from agents.plausible import check_close
from agents.policies import changed, check_change
from schemas import events as ev
from schemas.errors import Fatal
from state.pack_files import book_of
from state.policy import Policy, PolicyBook

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


class Policies:
    """`book` is what applies now and later. Changes are kept among named values, each as one of its own.

    So is the whole text of the book that a deployment began with: another release, or a pack whose file was edited,
    changes no rule of days that are closed.
    """

    def __init__(self, first: PolicyBook, rows: Named) -> None:
        self._rows = rows
        self._first = self._kept(first)
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
                raise Fatal(
                    f"What is kept here was decided under the policy {owner}, not {given.name}. Start with {owner}; "
                    f"a change is an event: `reprieve policy change {given.name} --from DATE`, then `reprieve publish`."
                )
            log.warning(
                "policy_not_in_force",
                policy=given.name,
                detail="its text is not the one that is kept here, by which decisions go on",
                remedy="publish the change: reprieve policy change",
            )
        return PolicyBook(given.name, book_of(files).policy_for, files=files)

    def recall(self) -> None:
        """Go by the changes that are kept."""
        self._changes = changes_in(self._rows.meta)
        self.book = changed(self._first, self._changes)

    def house(self, closed_through: date | None) -> Policy:
        """Return what applies to no account alone, on the day that is open."""
        day = closed_through.toordinal() if closed_through else 0
        return self.book.on(day + 1).policy_for("", "")

    def deadline(self, closed_through: date | None) -> int | None:
        """Return through which day (ordinal) a record waits for its account, None before any day is closed."""
        if closed_through is None:
            return None
        return closed_through.toordinal() + self.house(closed_through).unknown_account_wait_days

    def check(self, event: ev.Event, closed_through: date | None) -> bool:
        """Say whether an event of the clock changes anything. Raises BadInput where it may not be believed."""
        if isinstance(event, ev.PolicyChanged):
            ahead = self.house(closed_through).most_days_ahead
            return check_change(event, self._changes, closed_through, ahead)
        assert isinstance(event, ev.DayClosed)
        check_close(event, closed_through, self.house(closed_through).most_days_skipped)
        return True

    def take(self, change: ev.PolicyChanged) -> None:
        """Keep a change that was checked, and go by it."""
        self._rows.set_meta(_EACH + change.change_id, json.encode(change).decode())
        self._rows.set_meta(_NAMES, json.encode([*(c.change_id for c in self._changes), change.change_id]).decode())
        self.recall()
