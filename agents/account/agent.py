"""The account agent: folds the facts of each loan account and publishes its delinquency, plans and bad debt.

A fact that counts from an open day waits for the close of that day. A fact that counts from a closed day is folded at
once; where it changes published events, the agent rebuilds the account from all its facts and supersedes the events
that are no longer true. So once a day is closed, the state and the standing events are the same for every order and
every repetition of the same facts.

The agent publishes good news at once and bad news at the close: a payment that clears all arrears, and a plan or a hold
that stops collection, are published when they arrive, as far as the close will confirm them. An account that is opened
for days that are closed already is folded first at the next close, with all its facts by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import cast

from msgspec.structs import replace

from agents import input_limits
from agents.account.closure import ERROR
from agents.account.corrections import EMITTED, emitted_facts, payload_of, reconcile
from agents.account.day import business_date_of
from agents.account.deferral import OPEN_DAYS
from agents.account.facts import (
    FACTS,
    check_fact,
    content_of,
    effective_day,
    entries_stored,
    fact_key,
    identity_of,
    misfit,
    revision_key,
)
from agents.account.fold import advance, insert, is_unfolded, next_event, publishable
from agents.account.opening import (
    MONEY,
    OPENING,
    POSITION,
    Opening,
    check_kind,
    check_opening,
    opening_of,
    replay_facts,
    reversal_of,
    sort_reversals,
)
from agents.account.parties import party_signals
from agents.account.rules import Rules
from agents.account.signals import contact_signals, opening_signals, plan_signals, plan_taken_over, workout_signal
from agents.account.waiting import WAITING
from agents.base import EPOCH, DecisionContext, Refusal, Step
from agents.contradictions import remedy
from schemas import events as ev
from schemas.errors import InvalidEventError, UnknownAccountError
from state.account import AccountFact, AccountHead, AccountState, Pending, Reversal
from state.policy import PolicyBook

ALWAYS_GOOD = (ev.CollectionStopped, ev.PlanInstalmentKept, ev.PlanCompleted)
GOOD_WHEN_CLEAR = (*ALWAYS_GOOD, ev.InstalmentCaughtUp, ev.DelinquencyChanged)
HISTORY_THAT_MATTERS = (ev.HoldPlaced, ev.HoldReleased, ev.PromiseMade, *MONEY)
# What is corrected by a higher revision of itself.
REVISED = (ev.InstalmentBilled, ev.OpeningPosition)
PUBLISHED_AT_ONCE = (ev.PaymentReceived, ev.PlanActivated, ev.HoldPlaced)


class AccountAgent:
    """Decides on the facts of one account. Stateless but for rules computed once a policy."""

    name = "account"
    daily = True
    waiting = WAITING
    accepts: frozenset[type[ev.Event]] = frozenset(FACTS)

    def __init__(self) -> None:
        self._policies: PolicyBook | None = None
        self._rules: dict[tuple[str, str, str], Rules] = {}

    def fact_key(self, event: ev.Event) -> str:
        """Return the fact's identity within its account."""
        return fact_key(event)

    def due(self, state: AccountState) -> int | None:
        """Return the next day whose close matters to the account."""
        day = next_event(state)
        for event in state.provisional_events:
            day = min(day or business_date_of(event), business_date_of(event))
        return day or None

    def handle(self, state: AccountState | None, event: ev.Event, context: DecisionContext) -> Step[AccountState]:
        """Decide on a fact.

        Raises UnknownAccountError before the account is opened, InvalidEventError where it breaks a rule.
        """
        fact = cast(AccountFact, event)
        input_limits.check_event(fact)
        if (
            context.existing_fact is not None
            and state is not None
            and content_of(fact) == content_of(context.existing_fact)
        ):
            # No check applies to a repetition: the policy may have changed since it came first.
            return _with_earliest(state, fact, context.existing_fact)
        if isinstance(fact, Opening):
            # First, so that no rules are computed for a kind of account that no book has.
            check_kind(fact, context.policies.in_force_on(context.open_day))
            rules = self.rules(context.policies, fact)
            check_opening(fact, rules, _ordinal(context.closed_through))
            if state is None:
                return Step(replay_facts({fact_key(fact): fact}, lambda _: rules), (), [(fact_key(fact), fact)])
        elif state is None:
            raise UnknownAccountError(fact.account_id)
        rules = self.rules(context.policies, state)
        today = rules.in_force_on(context.open_day)
        check_fact(fact, state, rules)
        if context.existing_fact is not None:
            return self._resolve_repeated(state, fact, context.existing_fact, context)
        step = self._record(replace(state), fact, rules, context, today)
        if isinstance(fact, ev.ContactAttempted):
            past = effective_day(fact, rules) < max(state.reported_from, state.opened_on)
            step.outputs = [*step.outputs, *contact_signals(state, fact, past=past)]
        return step

    def close(self, state: AccountState, day: ev.DayClosed, context: DecisionContext) -> Step[AccountState]:
        """Fold the account through a business date that is now closed."""
        rules = self.rules(context.policies, state)
        return self._fold_through(replace(state), rules, day, day.business_date.toordinal(), [], context)

    def rules(self, policies: PolicyBook, of: AccountState | AccountHead | Opening) -> Rules:
        """Return the rules of an account, computed once per policy; amounts are in its currency."""
        if policies is not self._policies:
            self._policies, self._rules = policies, {}
        kind = (of.jurisdiction, of.product, of.currency)
        rules = self._rules.get(kind)
        if rules is None:
            later = tuple((first, Rules(book.policy_for(*kind))) for first, book in policies.later)
            rules = self._rules[kind] = Rules(policies.policy_for(*kind), later)
        return rules

    def needs_policy_refold(self, state: AccountState | AccountHead, policies: PolicyBook, through: int) -> bool:
        """Return whether other rules apply to an account by a business date than on the day that was folded last."""
        return self.rules(policies, state).changes_between(state.folded_through, through)

    # -- one fact

    def _record(
        self, s: AccountState, fact: AccountFact, rules: Rules, context: DecisionContext, today: Rules
    ) -> Step[AccountState]:
        facts: list[tuple[str, ev.Event]] = [(fact_key(fact), fact)]
        input_limits.check_entries(fact, entries_stored(s))
        if isinstance(fact, ev.OpeningPosition):
            return self._rebuild(s, dict(facts), fact, context)
        if isinstance(fact, ev.AccountOpened):
            # The opening of an account that was taken over is its history.
            return Step(s, (), facts)
        if isinstance(fact, ev.PaymentReversed | ev.AdjustmentReversed):
            return self._reverse(s, fact, rules, context)
        if isinstance(fact, ev.PaymentReceived | ev.InstalmentAdjusted | ev.HoldPlaced) and s.reversals:
            target = fact_key(fact)
            if any(r.target == target and (r.report_on < 0 or r.target[:8] != "payment:") for r in s.reversals):
                return self._rebuild(s, dict(facts), fact, context)
            s.reversals = tuple(replace(r, report_on=0) if r.target == target else r for r in s.reversals)
        day, closed = max(effective_day(fact, rules), s.opened_on), _ordinal(context.closed_through)
        input_limits.check_days_ahead(fact, day, closed, today.policy.most_days_ahead)
        if s.position_on and day <= s.position_on:
            # Of the facts before an opening position, holds and promises count, and money that the position lacks.
            matters = isinstance(fact, HISTORY_THAT_MATTERS)
            return self._rebuild(s, dict(facts), fact, context) if matters else Step(s, (), facts)
        if day <= s.folded_through:
            return self._rebuild(s, dict(facts), fact, context)
        if isinstance(fact, ev.HoldReleased) and context.get_fact(f"hold:{fact.hold_id}") is None:
            unknown = Reversal(f"hold:{fact.hold_id}", report_on=day, code="unknown_hold")
            s.reversals = sort_reversals((*s.reversals, unknown))
        s.pending = insert(s.pending, Pending(day, fact))
        if is_unfolded(s):
            return Step(s, (), facts)
        if closed and day <= closed:
            return self._fold_through(s, rules, fact, closed, facts, context)
        if closed and day <= closed + OPEN_DAYS and isinstance(fact, PUBLISHED_AT_ONCE):
            return self._publish_provisional(s, rules, fact, day, facts)
        return Step(s, (), facts)

    def _reverse(
        self, s: AccountState, fact: ev.PaymentReversed | ev.AdjustmentReversed, rules: Rules, context: DecisionContext
    ) -> Step[AccountState]:
        facts: list[tuple[str, ev.Event]] = [(fact_key(fact), fact)]
        undone = fact.payment_id if isinstance(fact, ev.PaymentReversed) else fact.adjustment_id
        target = f"{'payment' if isinstance(fact, ev.PaymentReversed) else 'adjustment'}:{undone}"
        waiting = next((p.fact for p in s.pending if fact_key(p.fact) == target), None)
        if waiting is None and context.get_fact(target) is not None:
            return self._rebuild(s, dict(facts), fact, context)
        if waiting is not None and isinstance(fact, ev.AdjustmentReversed):
            s.pending = tuple(p for p in s.pending if p.fact is not waiting)
            return Step(s, (), facts)
        known = {} if waiting is None else {target: waiting}
        begin = max(s.opened_on, s.position_on + 1)
        entry = reversal_of(fact, known, (), rules, begin, taken_over=bool(s.position_on))
        if entry is None:
            return Step(s, (), facts)
        if 0 < entry.report_on <= s.folded_through:
            return self._rebuild(s, dict(facts), fact, context)
        s.reversals = sort_reversals((*s.reversals, entry))
        return Step(s, (), facts)

    def _resolve_repeated(
        self, state: AccountState, fact: AccountFact, known: ev.Event, context: DecisionContext
    ) -> Step[AccountState]:
        """Replace a fact by its revision, or let the earlier of two contradicting facts stand.

        Of two facts of one instant the same one stands, whichever came first.
        """
        key = fact_key(fact)
        if isinstance(fact, REVISED) and isinstance(known, REVISED) and fact.revision != known.revision:
            changed = _revised(key, fact, known, context)
            return self._rebuild(replace(state), changed, fact, context) if changed else Step(state)
        first, second = ((f.occurred_at, f.event_id, identity_of(f)) for f in (known, fact))
        if not isinstance(fact, ev.ContactAttempted) and _same_but_when(fact, known):
            # A repetition with another time: the earliest counts.
            return Step(state) if first <= second else self._rebuild(replace(state), {key: fact}, fact, context)
        conflict = (
            f"{type(fact).__name__} {key} of account {state.account_id} was sent twice with different "
            "content; the statement that occurred first stands."
        )
        if first <= second:
            raise InvalidEventError("conflicting_duplicate", f"{conflict} {remedy(fact, known)}")
        step = self._rebuild(replace(state), {key: fact}, fact, context)
        explain = f"{conflict} {remedy(known, fact)}"
        step.refused = (Refusal(known, identity_of(known), "conflicting_duplicate", explain), *step.refused)
        return step

    # -- folding

    def _fold_through(
        self,
        s: AccountState,
        rules: Rules,
        cause: ev.Event,
        through: int,
        facts: list[tuple[str, ev.Event]],
        context: DecisionContext,
    ) -> Step[AccountState]:
        """Fold through a closed day and publish the events that were not published provisionally."""
        if _concerns_all_days(s, through):
            return self._rebuild(s, dict(facts), cause, context, through)
        began = is_unfolded(s)
        emitted, provisional = publishable(s, advance(s, rules, through)), s.provisional_events
        outputs: list[ev.Event] = []
        # Most accounts of a close report nothing.
        if emitted or provisional:
            standing = [e for e in provisional if business_date_of(e) <= through]
            s.provisional_events = tuple(e for e in provisional if business_date_of(e) > through)
            outputs = reconcile(s, cause, emitted, standing)
            facts += emitted_facts(outputs)
            outputs += plan_signals(s, outputs, standing)
        if began:
            outputs += plan_taken_over(s, cause)
        outputs += self._planner_signals(s, rules, cause, through)
        return Step(s, outputs, facts)

    def _publish_provisional(
        self, s: AccountState, rules: Rules, cause: ev.Event, day: int, facts: list[tuple[str, ev.Event]]
    ) -> Step[AccountState]:
        """Publish the good news of an open day at once."""
        if s.bucket == "current" and s.plan is None and isinstance(cause, ev.PaymentReceived):
            return Step(s, (), facts)
        preview = replace(s)
        emitted = publishable(preview, advance(preview, rules, day))
        good = GOOD_WHEN_CLEAR if not preview.overdue_since else ALWAYS_GOOD
        news = [e for e in emitted if isinstance(e, good)]
        known = {payload_of(e) for e in s.provisional_events}
        outputs = [e for e in reconcile(s, cause, news, []) if payload_of(e) not in known]
        s.provisional_events = (*s.provisional_events, *cast("list[ev.AnyEvent]", outputs))
        # A party whom the hold or the plan protects is not contacted for the rest of the day.
        spared = [
            e
            for e in party_signals(preview, rules, cause, identity_of(cause), day)
            if isinstance(e, ev.PartyNoted) and e.reason
        ]
        s.last_party_signals = {**s.last_party_signals, **{e.borrower_id: f"{e.role}|{e.reason}" for e in spared}}
        return Step(s, [*outputs, *plan_signals(s, outputs, ()), *spared], facts + emitted_facts(outputs))

    def _rebuild(
        self,
        s: AccountState,
        changed: Mapping[str, ev.Event],
        cause: ev.Event,
        context: DecisionContext,
        through: int = 0,
    ) -> Step[AccountState]:
        """Fold the account again from all its facts, and supersede events that are no longer true."""
        history = dict(context.load_history())
        facts = {k: e for k, e in history.items() if not k.startswith(EMITTED)} | dict(changed)
        closed = through or _ordinal(context.closed_through)
        rules = self._rules_of(opening_of(facts), context)
        fresh = replay_facts(facts, lambda opening: self._rules_of(opening, context))
        reopened = bool(changed.keys() & {OPENING, POSITION})
        refused = self._misfits(history, facts, context) if reopened else []
        if is_unfolded(s) and not through:
            return Step(fresh, (), [*changed.items()], refused)
        fresh.last_workout_signal, fresh.last_party_signals = s.last_workout_signal, s.last_party_signals
        moved = opening_signals(s, fresh, cause, closed) if reopened else []
        # No close will confirm an event of a day before the first one that the account now has.
        fresh.provisional_events = tuple(
            e for e in s.provisional_events if business_date_of(e) > max(closed, fresh.folded_through)
        )
        emitted = publishable(fresh, advance(fresh, rules, closed))
        ahead = {e.event_id for e in fresh.provisional_events}
        standing = [
            e
            for k, e in history.items()
            if k.startswith(EMITTED) and not isinstance(e, ev.EventSuperseded) and e.event_id not in ahead
        ]
        outputs = reconcile(fresh, cause, emitted, standing)
        recorded = emitted_facts(outputs)
        outputs += [*plan_signals(fresh, outputs, standing), *moved]
        if POSITION in changed or is_unfolded(s) or s.borrower_id != fresh.borrower_id:
            outputs += plan_taken_over(fresh, cause)
        outputs += self._planner_signals(fresh, rules, cause, closed)
        return Step(fresh, outputs, [*changed.items(), *recorded], refused)

    def _misfits(
        self, history: Mapping[str, ev.Event], facts: Mapping[str, ev.Event], context: DecisionContext
    ) -> list[Refusal]:
        """Return the facts that fitted the opening that stood, and do not fit the one that stands now."""
        before, now = opening_of(history), opening_of(facts)
        refused = []
        for key in history.keys() & facts.keys():
            fact = history[key]
            error = misfit(fact, now, self._rules_of(now, context))
            if error is not None and misfit(fact, before, self._rules_of(before, context)) is None:
                refused.append(Refusal(fact, identity_of(fact), error.code, error.message))
        return sorted(refused, key=lambda refusal: refusal.identity)

    def _planner_signals(self, s: AccountState, rules: Rules, cause: ev.Event, day: int) -> list[ev.Event]:
        """Return the events for the planner after a day: about the debt, and about who answers for it."""
        request = workout_signal(s, rules, cause, day)
        signals = [] if request is None else [request]
        if s.parties or s.last_party_signals:
            signals += party_signals(s, rules, cause, identity_of(cause), day)
        return signals

    def _rules_of(self, opening: Opening, context: DecisionContext) -> Rules:
        return self.rules(context.policies, opening)


def _revised(
    key: str, fact: ev.InstalmentBilled | ev.OpeningPosition, known: ev.Event, context: DecisionContext
) -> dict[str, ev.Event]:
    """Return the facts to store of two revisions, none where the higher one is stored already.

    A statement counts from the day of the first of its revisions that came, so the agent stores those too.
    """
    newer = fact.revision > cast(ev.InstalmentBilled | ev.OpeningPosition, known).revision
    changed: dict[str, ev.Event] = {key: fact} if newer else {}
    lower = known if newer else fact
    if isinstance(lower, ev.InstalmentBilled):
        kept = context.get_fact(revision_key(lower))
        if kept is None or (lower.occurred_at, lower.event_id) < (kept.occurred_at, kept.event_id):
            changed[revision_key(lower)] = lower
    return changed


def _with_earliest(state: AccountState, fact: AccountFact, known: ev.Event) -> Step[AccountState]:
    """Keep the repetition that occurred first: by it one of two contradicting statements stands."""
    if known.occurred_at <= fact.occurred_at:
        return Step(state)
    key = fact_key(fact)
    pending = tuple(Pending(p.day, fact) if fact_key(p.fact) == key else p for p in state.pending)
    return Step(replace(state, pending=pending), (), [(key, fact)])


def _same_but_when(fact: ev.Event, known: ev.Event) -> bool:
    return content_of(replace(fact, occurred_at=EPOCH)) == content_of(replace(known, occurred_at=EPOCH))


def _concerns_all_days(s: AccountState, through: int) -> bool:
    """Return whether a pending fact undoes all events of the account, or brings them back."""
    for item in s.pending:
        if item.day > through:
            return False
        fact = item.fact
        if isinstance(fact, ev.AccountClosed) and fact.reason == ERROR:
            return True
        if isinstance(fact, ev.AccountReopened) and s.closed_reason == ERROR:
            return True
    return False


def _ordinal(day: date | None) -> int:
    return day.toordinal() if day else 0
