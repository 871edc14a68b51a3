"""The account agent: keeps every loan account and says what becomes of it.

A fact that counts from a day still open waits for that day's close. A fact for a day already closed
is folded at once; where it changes what was said, the account is folded anew from all its facts, and
what no longer stands is corrected by superseding events. So once a day is closed, the state and what
stands of the output are the same for every order and every repetition of the same facts.

Good news is said at once, bad news at the day's close: a payment that clears all arrears, a plan or a
hold that stops collection, are said when they arrive, as far as the close will confirm them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from copy import copy
from datetime import date
from typing import cast, get_args

from msgspec.structs import replace

from agents import plausible
from agents.account_day import Day, Rules, receivable_of
from agents.account_facts import APPLY, check, check_opening, effective_day, fact_key, kept_of, pending_order
from agents.base import Environment, Refusal, Step
from agents.corrections import EPOCH, SAID, Said, body, business_date_of, publish, record
from agents.progress import noted_contact, progress_of
from agents.regions import carried, close_day
from agents.workout import workout_event
from schemas import events as ev
from schemas.errors import BadInput, UnknownAccount
from state.account import AccountFact, AccountState, Pending
from state.policy import PolicyBook

# How far ahead of the last close a day may be to be open: a weekend and a holiday.
OPEN_DAYS = 4

ALWAYS_GOOD = (ev.CollectionStopped, ev.PlanInstalmentKept, ev.PlanCompleted)
GOOD_WHEN_CLEAR = (*ALWAYS_GOOD, ev.InstalmentCaughtUp, ev.DelinquencyChanged)
HOLDS = (ev.HoldPlaced, ev.HoldReleased)
SAYABLE_EARLY = (ev.PaymentReceived, ev.PlanActivated, ev.HoldPlaced)


class AccountAgent:
    """Decides on the facts of one account. Stateless but for rules computed once a policy."""

    name = "account"
    daily = True
    accepts: frozenset[type[ev.Event]] = frozenset(get_args(AccountFact))

    def __init__(self) -> None:
        self._policies: PolicyBook | None = None
        self._rules: dict[tuple[str, str], Rules] = {}

    def fact_key(self, event: ev.Event) -> str:
        """Return the fact's identity within its account."""
        return fact_key(event)

    def due(self, state: AccountState) -> int | None:
        """Return the next day whose close matters to the account."""
        day = state.due
        if state.pending and (not day or state.pending[0].day < day):
            day = state.pending[0].day
        for said in state.early:
            day = min(day or business_date_of(said), business_date_of(said))
        return day or None

    def handle(self, state: AccountState | None, event: ev.Event, env: Environment) -> Step[AccountState]:
        """Take a fact. Raises UnknownAccount before the account is opened, BadInput where it breaks a rule."""
        fact = cast(AccountFact, event)
        plausible.check(fact)
        if state is None:
            if not isinstance(fact, ev.AccountOpened):
                raise UnknownAccount(fact.account_id)
            rules = self.rules(env.policies, fact.jurisdiction, fact.product)
            check_opening(fact, rules.on(env.open_day), _ordinal(env.closed_through))
            return self._advanced(opened(fact), rules, fact, _ordinal(env.closed_through), [(fact_key(fact), fact)])
        rules = self.rules(env.policies, state.jurisdiction, state.product)
        today = rules.on(env.open_day)
        check(fact, state, today)
        if env.known is not None:
            return self._again(state, fact, env.known, rules, env)
        step = self._take(copy(state), fact, rules, env, today)
        if isinstance(fact, ev.ContactAttempted):
            step.outputs = [*step.outputs, *noted_contact(state, fact)]
        return step

    def close(self, state: AccountState, day: ev.DayClosed, env: Environment) -> Step[AccountState]:
        """Fold the account through a business date that is now closed."""
        rules = self.rules(env.policies, state.jurisdiction, state.product)
        return self._advanced(copy(state), rules, day, day.business_date.toordinal(), [])

    def rules(self, policies: PolicyBook, jurisdiction: str, product: str) -> Rules:
        """Return the rules of a kind of account, computed once a policy."""
        if policies is not self._policies:
            self._policies, self._rules = policies, {}
        rules = self._rules.get((jurisdiction, product))
        if rules is None:
            later = tuple((first, Rules(book.policy_for(jurisdiction, product))) for first, book in policies.later)
            rules = self._rules[(jurisdiction, product)] = Rules(policies.policy_for(jurisdiction, product), later)
        return rules

    def outdated(self, state: AccountState, policies: PolicyBook, through: int) -> bool:
        """Say whether other policies apply by a business date than on the day that was folded last."""
        return policies.changes(state.through, through)

    # -- taking a fact

    def _take(
        self, s: AccountState, fact: AccountFact, rules: Rules, env: Environment, today: Rules
    ) -> Step[AccountState]:
        facts: list[tuple[str, ev.Event]] = [(fact_key(fact), fact)]
        plausible.check_room(fact, kept_of(s))
        if isinstance(fact, ev.PaymentFailed):
            return Step(s, (), facts)
        if isinstance(fact, ev.PaymentReversed):
            return self._reverse(s, fact, rules, env)
        if isinstance(fact, ev.PaymentReceived) and fact.payment_id in s.reversals:
            s.reversals = tuple(r for r in s.reversals if r != fact.payment_id)
            return Step(s, (), facts)
        day, closed = max(effective_day(fact, rules), s.opened), _ordinal(env.closed_through)
        plausible.check_ahead(fact, day, closed, today.policy.most_days_ahead)
        if day <= s.through:
            return self._anew(s, dict(facts), fact, rules, env)
        s.pending = insert(s.pending, Pending(day, fact))
        if closed and day <= closed:
            return self._advanced(s, rules, fact, closed, facts)
        if closed and day <= closed + OPEN_DAYS and isinstance(fact, SAYABLE_EARLY):
            return self._early(s, rules, fact, day, facts)
        return Step(s, (), facts)

    def _reverse(self, s: AccountState, fact: ev.PaymentReversed, rules: Rules, env: Environment) -> Step[AccountState]:
        facts: list[tuple[str, ev.Event]] = [(fact_key(fact), fact)]
        kept = tuple(
            p
            for p in s.pending
            if not (isinstance(p.fact, ev.PaymentReceived) and p.fact.payment_id == fact.payment_id)
        )
        if len(kept) < len(s.pending):
            s.pending = kept
            return Step(s, (), facts)
        if env.recorded(f"payment:{fact.payment_id}") is not None:
            return self._anew(s, dict(facts), fact, rules, env)
        s.reversals = tuple(sorted({*s.reversals, fact.payment_id}))
        return Step(s, (), facts)

    def _again(
        self, state: AccountState, fact: AccountFact, known: ev.Event, rules: Rules, env: Environment
    ) -> Step[AccountState]:
        """A fact that is known: no effect, or a contradiction, which the earlier statement wins."""
        if _content(fact) == _content(known):
            return Step(state)
        explain = (
            f"{type(fact).__name__} {fact_key(fact)} of account {state.account_id} was sent twice with different "
            "content; the statement that occurred first stands. Send a correction under a new id."
        )
        if (known.occurred_at, known.event_id) <= (fact.occurred_at, fact.event_id):
            raise BadInput("conflicting_duplicate", explain)
        step = self._anew(copy(state), {fact_key(fact): fact}, fact, rules, env)
        step.refused = (Refusal(known, "conflicting_duplicate", explain),)
        return step

    # -- folding

    def _advanced(
        self,
        s: AccountState,
        rules: Rules,
        cause: ev.Event,
        through: int,
        facts: list[tuple[str, ev.Event]],
    ) -> Step[AccountState]:
        """Fold through a closed day and publish what is new against what was said early."""
        outputs: list[ev.Event] = []
        if through:
            said = advance(s, rules, through)
            standing = [e for e in s.early if business_date_of(e) <= through]
            s.early = tuple(e for e in s.early if business_date_of(e) > through)
            outputs = publish(s, cause, said, standing)
            facts += record(outputs)
            outputs += progress_of(s, outputs, standing)
            request = workout_event(s, rules.on(through), cause, through)
            if request is not None:
                outputs.append(request)
        return Step(s, outputs, facts)

    def _early(
        self, s: AccountState, rules: Rules, cause: ev.Event, day: int, facts: list[tuple[str, ev.Event]]
    ) -> Step[AccountState]:
        """Say the good news of an open day at once."""
        if s.bucket == "current" and s.plan is None and isinstance(cause, ev.PaymentReceived):
            return Step(s, (), facts)
        preview = copy(s)
        said = advance(preview, rules, day)
        good = GOOD_WHEN_CLEAR if not preview.overdue_since else ALWAYS_GOOD
        news = [entry for entry in said if entry[1] in good]
        known = {body(e) for e in s.early}
        outputs = [e for e in publish(s, cause, news, []) if body(e) not in known]
        s.early = (*s.early, *cast("list[ev.AnyEvent]", outputs))
        return Step(s, [*outputs, *progress_of(s, outputs, ())], facts + record(outputs))

    def _anew(
        self,
        s: AccountState,
        changed: Mapping[str, ev.Event],
        cause: ev.Event,
        rules: Rules,
        env: Environment,
    ) -> Step[AccountState]:
        """Fold the account anew from all its facts, and correct what no longer stands."""
        history = dict(env.history())
        facts = {k: e for k, e in history.items() if not k.startswith(SAID)} | dict(changed)
        closed = _ordinal(env.closed_through)
        fresh = refold(facts, rules)
        fresh.requested = s.requested
        fresh.early = tuple(e for e in s.early if business_date_of(e) > closed)
        said = advance(fresh, rules, closed)
        ahead = {e.event_id for e in fresh.early}
        standing = [
            e
            for k, e in history.items()
            if k.startswith(SAID) and not isinstance(e, ev.Corrected) and e.event_id not in ahead
        ]
        outputs = publish(fresh, cause, said, standing)
        recorded = record(outputs)
        outputs += progress_of(s, outputs, standing)
        request = workout_event(fresh, rules.on(closed), cause, closed)
        if request is not None:
            outputs.append(request)
        return Step(fresh, outputs, [*changed.items(), *recorded])


def opened(event: ev.AccountOpened) -> AccountState:
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
        opened=day,
        through=day - 1,
        due=day,
        accrued_to=day,
        receivables=tuple(receivables),
    )


def refold(facts: Mapping[str, ev.Event], rules: Rules) -> AccountState:
    """Return an account with all its facts pending, as if every one had arrived in time."""
    s = opened(cast(ev.AccountOpened, facts["account:"]))
    reversed_ = {e.payment_id for e in facts.values() if isinstance(e, ev.PaymentReversed)}
    pending = []
    for fact in facts.values():
        if isinstance(fact, ev.AccountOpened | ev.PaymentFailed | ev.PaymentReversed):
            continue
        if isinstance(fact, ev.PaymentReceived) and fact.payment_id in reversed_:
            reversed_.discard(fact.payment_id)
            continue
        known = cast(AccountFact, fact)
        pending.append(Pending(max(effective_day(known, rules), s.opened), known))
    s.pending = tuple(sorted(pending, key=pending_order))
    s.reversals = tuple(sorted(reversed_))
    return s


def insert(pending: tuple[Pending, ...], item: Pending) -> tuple[Pending, ...]:
    """Return the pending facts with one more, in the order in which they are folded."""
    if not pending or pending[-1].day < item.day:
        return (*pending, item)
    at = bisect_right(pending, pending_order(item), key=pending_order)
    return (*pending[:at], item, *pending[at:])


def advance(s: AccountState, rules: Rules, through: int) -> list[Said]:
    """Fold, in place, every day up to `through` on which something happens; return what is said."""
    said: list[Said] = []
    while True:
        day = s.due or through + 1
        if s.pending:
            day = min(day, s.pending[0].day)
        if rules.later:
            day = min(day, rules.next_stop(s.through) or day)
        if day > through:
            return said
        d = Day(s, rules.on(day), day)
        if rules.later and d.rules is not rules.on(day - 1):
            s.classes = carried(s.classes, rules.on(day - 1).policy, d.policy)
        today = 0
        while today < len(s.pending) and s.pending[today].day <= day:
            today += 1
        facts = [item.fact for item in s.pending[:today]]
        s.pending = s.pending[today:]
        # A hold pauses the interest of the very day on which it starts, so holds stand before the accrual.
        for fact in facts:
            if isinstance(fact, HOLDS):
                APPLY[type(fact)](d, fact)
        d.accrue()
        for fact in facts:
            if not isinstance(fact, HOLDS):
                APPLY[type(fact)](d, fact)
        close_day(d)
        s.through = day
        said += [(day, kind, fields) for kind, fields in d.said]


def _content(event: ev.Event) -> ev.Event:
    """Return what an input says; its own date counts where its day is taken from when it occurred."""
    dated = isinstance(
        event,
        ev.PaymentReceived | ev.PaymentReversed | ev.HoldPlaced | ev.HoldReleased | ev.AccountOpened | ev.PlanActivated,
    )
    plain = replace(event, event_id="", source="")
    if isinstance(plain, ev.PlanActivated):
        plain = replace(plain, caused_by="")
    return replace(plain, occurred_at=EPOCH) if dated else plain


def _ordinal(day: date | None) -> int:
    return day.toordinal() if day else 0
