"""The policies of a runtime: the book that it began with, and the changes that it took since."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from msgspec import json

from agents.plausible import check_close
from agents.policies import changed, check_change
from schemas import events as ev
from state.policy import Policy, PolicyBook

_NAMES, _EACH = "policies", "policy:"


class Named(Protocol):
    """Named values that a runtime keeps."""

    def meta(self, name: str) -> str | None:
        """Return a named value, None where there is none."""
        ...

    def set_meta(self, name: str, value: str) -> None:
        """Keep a named value."""
        ...


class Policies:
    """`book` is what applies now and later. Changes are kept among named values, each as one of its own."""

    def __init__(self, first: PolicyBook, rows: Named) -> None:
        self._first = first
        self._rows = rows
        self.recall()

    def recall(self) -> None:
        """Go by the changes that are kept."""
        names = json.decode(self._rows.meta(_NAMES) or "[]", type=list[str])
        self._changes = [json.decode(self._rows.meta(_EACH + n) or "", type=ev.PolicyChanged) for n in names]
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
