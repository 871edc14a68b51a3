"""Folding an account day by day: pending facts, the next day that is folded, and the events that it emits."""

from __future__ import annotations

from bisect import bisect_right

from agents.account.classification import carry_over_classes
from agents.account.closure import ERROR
from agents.account.day import DayFold, business_date_of
from agents.account.facts import FACTS, pending_order
from agents.account.rules import Rules
from agents.account.transitions import close_business_day, drop_settled_instalments
from schemas import events as ev
from state.account import AccountState, Pending


def is_unfolded(s: AccountState) -> bool:
    """Return whether no day of the account was folded yet."""
    return s.folded_through == (s.position_on or s.opened_on - 1)


def publishable(s: AccountState, emitted: list[ev.AnyEvent]) -> list[ev.AnyEvent]:
    """Return the events of an account that are published: none of days before it reports, or that never were."""
    if not emitted:
        return emitted
    if s.closed_reason == ERROR:
        ends: list[ev.AnyEvent] = [e for e in emitted if isinstance(e, ev.AccountEnded)]
        emitted = ends[-1:]
    return [e for e in emitted if business_date_of(e) >= s.reported_from] if s.reported_from else emitted


def insert(pending: tuple[Pending, ...], item: Pending) -> tuple[Pending, ...]:
    """Return the pending facts with one more, in the order in which they are folded."""
    if not pending or pending[-1].day < item.day:
        return (*pending, item)
    at = bisect_right(pending, pending_order(item), key=pending_order)
    return (*pending[:at], item, *pending[at:])


def next_event(s: AccountState) -> int:
    """Return the next day (ordinal) that is folded, 0 for none: it changes by itself, or something counts from it."""
    day = s.next_fold_on
    if s.pending and (not day or s.pending[0].day < day):
        day = s.pending[0].day
    for r in s.reversals:
        if r.report_on > 0:
            day = min(day or r.report_on, r.report_on)
    return day


def advance(s: AccountState, rules: Rules, through: int) -> list[ev.AnyEvent]:
    """Fold, in place, every day up to `through` on which something happens; return the events that it emits."""
    emitted: list[ev.AnyEvent] = []
    while True:
        day = next_event(s) or through + 1
        if rules.changes:
            day = min(day, rules.next_stop(s.folded_through) or day)
        if day > through:
            return emitted
        d = DayFold(s, rules, day)
        if rules.later and not s.closed_on and d.rules is not rules.in_force_on(day - 1):
            s.classes, d.renamed = carry_over_classes(s.classes, rules.in_force_on(day - 1).policy, d.policy)
        today = 0
        while today < len(s.pending) and s.pending[today].day <= day:
            today += 1
        facts = [item.fact for item in s.pending[:today]]
        s.pending = s.pending[today:]
        drop_settled_instalments(d, day - 1)
        later = []
        for fact in facts:
            if (known := FACTS[type(fact)]).before_accrual:
                known.apply(d, fact)
            else:
                later.append((known, fact))
        d.accrue()
        for known, fact in later:
            known.apply(d, fact)
        close_business_day(d)
        s.folded_through = day
        emitted += d.emitted
