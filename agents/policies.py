"""Changes of policy: which are believed, and the book that they make of the one that a deployment began with.

A change counts from a business date that is not closed yet: what was said of closed days was said under the rules of
these days, and a late fact is folded under them. So the rules of every day are the same for every order of facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from agents import input_limits
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.policy import PolicyBook
from state.policy_packs.book import book_of
from state.policy_packs.problems import PackError

# How many changes are kept, one a month for forty years.
MOST_CHANGES = 500


def check_change(
    change: ev.PolicyChanged, known: Sequence[ev.PolicyChanged], closed_through: date | None, most_ahead: int
) -> bool:
    """Return whether a change is a new one; False where it was sent before with the same content.

    Raises InvalidEventError: `out_of_range` where its day is closed or too far ahead, `invalid_policy` where its texts
    make no book, `conflicting_duplicate` where its id was sent with other content, `too_many`.
    """
    input_limits.check_event(change)
    same = next((c for c in known if c.change_id == change.change_id), None)
    if same is not None:
        if (same.effective_on, same.files) == (change.effective_on, change.files):
            return False
        raise InvalidEventError(
            "conflicting_duplicate",
            f"PolicyChanged {change.change_id} was sent before with different content, which stands. Send another "
            "change under a new id; of two for one date the one that occurred later counts.",
            "change_id",
        )
    if closed_through is not None:
        if change.effective_on <= closed_through:
            raise InvalidEventError(
                "out_of_range",
                f"PolicyChanged {change.change_id} counts from {change.effective_on}, but {closed_through} is closed, "
                "and what was said of closed days stands. Send it with a later date.",
                "effective_on",
            )
        input_limits.check_days_ahead(change, change.effective_on.toordinal(), closed_through.toordinal(), most_ahead)
    try:
        book_of(change.files)
    except PackError as error:
        first, *more = error.problems
        others = f" ({len(more)} more)" if more else ""
        raise InvalidEventError(
            "invalid_policy",
            f"PolicyChanged {change.change_id} cannot be applied: {str(first)[:300]}{others} Check the pack with "
            "`reprieve policy check`, and send the change under a new id.",
            "files",
        ) from error
    input_limits.check_entries(change, len(known), MOST_CHANGES)
    return True


def in_order(changes: Iterable[ev.PolicyChanged]) -> list[ev.PolicyChanged]:
    """Return changes in the order in which they take effect; of two for one date the last one counts."""
    return sorted(changes, key=lambda c: (c.effective_on, c.occurred_at, c.change_id))


def changed(book: PolicyBook, changes: Sequence[ev.PolicyChanged]) -> PolicyBook:
    """Return a book with the changes that took place in it, in whatever order they came."""
    if not changes:
        return book
    return book.with_amendments({c.effective_on.toordinal(): book_of(c.files) for c in in_order(changes)}.items())
