"""How an account begins: opened by its lender, taken over with an opening position, or made anew from all its facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from msgspec.structs import replace

from agents import input_limits
from agents.account.day import receivable_of
from agents.account.facts import billed_from, effective_day, fact_key, pending_order
from agents.account.parties import check_parties, sort_parties
from agents.account.position import is_late_for_position, state_at_position
from agents.account.postings import net_of_reversals
from agents.account.rules import Rules
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.account import AccountFact, AccountState, Pending, Reversal
from state.numbers import covering
from state.policy import PolicyBook

OPENING, POSITION = "account:", "position:"
Opening = ev.AccountOpened | ev.OpeningPosition


def check_kind(event: Opening, policies: PolicyBook) -> None:
    """Raise InvalidEventError for a jurisdiction or product for which the policy book was not written."""
    if found := policies.problems(event.jurisdiction, event.product):
        field = next(iter(found))
        raise InvalidEventError(f"unknown_{field}", " ".join(found.values()), field)


def check_opening(event: Opening, rules: Rules, closed: int) -> None:
    """Raise InvalidEventError where an account opens too far ahead of the last close (ordinal), or cannot be meant.

    rules: those of all days.
    """
    most_ahead = rules.in_force_on(closed + 1).policy.most_days_ahead
    first = event.as_of if isinstance(event, ev.OpeningPosition) else event.opened_on
    input_limits.check_days_ahead(event, first.toordinal(), closed, most_ahead)
    input_limits.check_total(event, (i.principal + i.interest + i.fees for i in event.instalments), "instalments")
    input_limits.check_entries(event, len(event.instalments))
    check_numbers(event, event.instalments)
    check_parties(event, event.borrower_id, (p.borrower_id for p in event.parties))
    if isinstance(event, ev.OpeningPosition):
        _check_position(event, rules)
    elif event.instalments and sum(i.principal for i in event.instalments) != event.principal:
        raise InvalidEventError(
            "schedule_does_not_add_up",
            f"Account {event.account_id} opens with a principal of {event.principal} minor units, and its instalments "
            f"repay {sum(i.principal for i in event.instalments)}. Send the principal that the schedule repays, or no "
            "instalments for revolving credit.",
            "principal",
        )


def check_numbers(event: ev.Event, instalments: Iterable[ev.Instalment | ev.PositionInstalment]) -> None:
    """Raise InvalidEventError where one instalment number stands twice."""
    seen: set[int] = set()
    for i in instalments:
        if i.number in seen:
            raise InvalidEventError(
                "duplicate_number",
                f"{type(event).__name__} {event.event_id} has instalment {i.number} twice. Give each its own number.",
                "instalments",
            )
        seen.add(i.number)


def _check_position(event: ev.OpeningPosition, rules: Rules) -> None:
    classes = {
        c.policy: [t.name for t in c.thresholds]
        for c in rules.in_force_on(event.as_of.toordinal()).policy.classifications
    }
    for name, given in event.classes.items():
        if given not in classes.get(name, ()):
            known = "; ".join(f"{policy}: {', '.join(names)}" for policy, names in sorted(classes.items())) or "none"
            raise InvalidEventError(
                "unknown_class",
                f"Account {event.account_id} comes with class {given!r} of {name!r}, which its policy does not have. "
                f"It has {known}. Send one of these, or none.",
                "classes",
            )
    if event.opened_on > event.as_of:
        raise InvalidEventError(
            "out_of_range",
            f"Account {event.account_id} was opened on {event.opened_on}, after its position of {event.as_of}. Send "
            "AccountOpened for an account without a history.",
            "opened_on",
        )


def state_at_opening(event: ev.AccountOpened) -> AccountState:
    """Return the state of an account on the morning of the day it is opened."""
    day = event.opened_on.toordinal()
    receivables = sorted(
        (receivable_of(i.number, i.due_on, i.principal, i.interest, i.fees) for i in event.instalments),
        key=lambda r: (r.due, r.number),
    )
    return AccountState(
        account_id=event.account_id,
        borrower_id=event.borrower_id,
        product=event.product,
        jurisdiction=event.jurisdiction,
        currency=event.currency,
        annual_rate_bps=event.annual_rate_bps,
        original_principal=event.principal,
        opened_on=day,
        folded_through=day - 1,
        next_fold_on=day,
        accrued_to=day,
        receivables=tuple(receivables),
        instalment_numbers=covering(r.number for r in receivables),
        scheduled=bool(receivables),
        reported_from=event.reported_from.toordinal() if event.reported_from else 0,
        parties=sort_parties(event.parties),
    )


def replay_facts(facts: Mapping[str, ev.Event], rules_of: Callable[[Opening], Rules]) -> AccountState:
    """Return an account with all its facts pending, as if every one had arrived in time."""
    opening = opening_of(facts)
    rules = rules_of(opening)
    begin = opening.as_of.toordinal() + 1 if isinstance(opening, ev.OpeningPosition) else opening.opened_on.toordinal()
    dated: list[Pending] = []
    history: list[AccountFact] = []
    late: list[Reversal] = []
    undone = {f"adjustment:{e.adjustment_id}" for e in facts.values() if isinstance(e, ev.AdjustmentReversed)}
    forms: dict[int, list[ev.InstalmentBilled]] = defaultdict(list)
    for fact in facts.values():
        if isinstance(fact, ev.InstalmentBilled):
            forms[fact.number].append(fact)
    for key, fact in facts.items():
        if isinstance(fact, Opening | ev.PaymentReversed | ev.AdjustmentReversed) or key in undone:
            continue
        known = cast(AccountFact, fact)
        if isinstance(known, ev.InstalmentBilled):
            if key != fact_key(known):
                continue
            day = billed_from(forms[known.number], rules).toordinal()
        else:
            day = effective_day(known, rules)
        if isinstance(opening, ev.OpeningPosition) and day < begin:
            history.append(known)
            if is_late_for_position(known, opening, rules):
                late.append(Reversal(f"late/{key}", report_on=begin, code="before_position"))
        else:
            dated.append(Pending(max(day, begin), known))
            if isinstance(known, ev.HoldReleased) and f"hold:{known.hold_id}" not in facts:
                late.append(Reversal(f"hold:{known.hold_id}", report_on=max(day, begin), code="unknown_hold"))
    s = (
        state_at_position(opening, _net_of_reversals(history, facts), rules)
        if isinstance(opening, ev.OpeningPosition)
        else state_at_opening(opening)
    )
    s.pending = tuple(sorted(dated, key=pending_order))
    past = {f"payment:{e.payment_id}" for e in history if isinstance(e, ev.PaymentReceived)}
    reversals = [e for e in facts.values() if isinstance(e, ev.PaymentReversed | ev.AdjustmentReversed)]
    entries = [reversal_of(e, facts, past, rules, begin) for e in reversals]
    waiting = (*late, *(r for r in entries if r is not None))
    s.reversals = sort_reversals(waiting)
    return s


def sort_reversals(reversals: Iterable[Reversal]) -> tuple[Reversal, ...]:
    """Return reversals in the order in which a state has them."""
    return tuple(sorted(reversals, key=lambda r: (r.target, r.reversal_id)))


def _net_of_reversals(history: Iterable[AccountFact], facts: Mapping[str, ev.Event]) -> list[AccountFact]:
    """Return the facts before a position, payments less what was reversed of them."""
    parts: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for e in facts.values():
        if isinstance(e, ev.PaymentReversed):
            parts[e.payment_id].append((e.reversal_id or "", e.amount or 0))
    return [
        replace(e, amount=net_of_reversals(e.amount, parts[e.payment_id])[0])
        if isinstance(e, ev.PaymentReceived)
        else e
        for e in history
    ]


def opening_of(facts: Mapping[str, ev.Event]) -> Opening:
    """Return what an account begins with: its opening position, where it has one."""
    return cast(Opening, facts.get(POSITION) or facts[OPENING])


def reversal_of(
    event: ev.PaymentReversed | ev.AdjustmentReversed,
    facts: Mapping[str, ev.Event],
    past: Iterable[str],
    rules: Rules,
    begin: int,
) -> Reversal | None:
    """Return what waits of a reversal: for the day of what it reverses, or to be answered; None where nothing does.

    past: fact keys of payments that an opening position holds already. begin: first day (ordinal) of the account.
    """
    day = event.reversed_on.toordinal()
    # Of the history of a position nothing is answered; it may still concern what counts from a later day.
    answer = day + rules.in_force_on(day).policy.unknown_account_wait_days if day >= begin else -1
    if isinstance(event, ev.AdjustmentReversed):
        target = f"adjustment:{event.adjustment_id}"
        return None if target in facts else Reversal(target, report_on=answer, code="unknown_adjustment")
    target, name, amount = f"payment:{event.payment_id}", event.reversal_id or "", event.amount or 0
    if target in past:
        return Reversal(target, name, amount, day, "before_position") if day >= begin else None
    return Reversal(target, name, amount, 0 if target in facts else answer)
