"""Which facts merely wait for their day, told from a few terms of an account: nothing else comes of them before it.

Nearly all payments do, and a runtime that knows it neither copies nor checks a state for them.
"""

from __future__ import annotations

from agents import input_limits
from schemas import events as ev
from state.account import AccountTerms

# How far ahead of the last close a day may be to be open: a weekend and a holiday.
OPEN_DAYS = 4
# The facts that may merely wait.
DEFERRED: frozenset[type[ev.Event]] = frozenset({ev.PaymentReceived, ev.HoldPlaced, ev.InstalmentBilled})


def deferred_to(terms: AccountTerms, waiting: int, event: ev.Event, closed: int, most_ahead: int) -> int:
    """Return the day (ordinal) from which a new fact counts, where all that comes of it is that it waits for that day.

    0 where `AccountAgent.handle` has to say what comes of it, be it an error. waiting: how many facts wait, at most.
    closed: the last day that is closed (ordinal), 0 for none. most_ahead: how many days behind it a fact may count
    from, by the policy of the open day. Raises InvalidEventError as `handle` does where the event is beyond its limits.
    """
    opens = closed
    if isinstance(event, ev.PaymentReceived):
        on, amount = event.value_on, event.amount
        if event.currency != terms.currency or not terms.unreversed:
            return 0
        if not terms.current:
            # It may be good news, which is published at once.
            opens = closed and closed + OPEN_DAYS
    elif isinstance(event, ev.HoldPlaced):
        on, amount = event.from_on, 0
        if not terms.unreversed or (event.until_on is not None and event.until_on < on):
            return 0
        opens = closed and closed + OPEN_DAYS
    elif isinstance(event, ev.InstalmentBilled) and event.billed_on is not None:
        on, amount = event.billed_on, event.principal + event.interest + event.fees
    else:
        return 0
    day = on.toordinal()
    if (
        day <= max(opens, terms.folded_through)
        or day < terms.opened_on
        or (closed and day > closed + most_ahead)
        or amount > input_limits.NEGLIGIBLE_AMOUNT
        or terms.entries + waiting >= input_limits.MAX_ENTRIES
    ):
        return 0
    input_limits.check_event(event)
    return day
