"""The planner agent: keeps what is known of a borrower and offers plans over all of their troubled accounts.

What arrives of debts and means is recorded; the offer that it calls for is decided at the day's close, once, so
that a borrower with several accounts gets one joint offer and the order of arrival within the day changes
nothing. What takes something away (an account that no longer wants a plan, an erasure) and what the borrower
answers (`agents.planner.answers`) acts at once.

An open offer is withdrawn when it may no longer stand: its debts changed, a hold forbids it, it is not
affordable any more. It is replaced when a better one can be made: at once where an account joined or the
income became known, else no sooner than the policy's pause. A debt that only aged changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from agents import input_limits
from agents.base import EPOCH, DecisionContext, Refusal, Step, day_identity
from agents.contradictions import digest_of, statement_order
from agents.learner.estimates import Estimate
from agents.learner.ranking import Ranker
from agents.planner.answers import about_the_offer, answer, local_date, pause_after
from agents.planner.assessment import Assessment, assess, invalidation_reason, refresh_reason
from agents.planner.contacts import (
    ends_on,
    note_party,
    record_contact,
    renew,
    review_attempts,
    revise_contact_window,
    tell_parties,
)
from agents.planner.erasure import (
    delete_unconsented,
    erase,
    has_deleted,
    is_past,
    is_withdrawn,
    keeps_recording,
    schedule_deletion,
    scrubbed,
    settled,
    wait_for_consent,
    withdraw_consent,
)
from agents.planner.offer_outcomes import has_unreported, record_plan_event, report
from agents.planner.offers import OfferBuilder, OfferRequest
from agents.planner.update import OFFER_FACT, BorrowerUpdate
from agents.planner.workout_cases import (
    close_case,
    open_case,
    record_dispute,
    review_plans,
    schedule_decision,
    track_plan,
)
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.borrower import NEVER, BorrowerState, LastOffer
from state.policy import Policy, PolicyBook
from state.profile import Consent, ReportedValue, add_consent, add_readings, readings_of

NATURAL_ID: dict[type[ev.Event], tuple[str, Callable[[Any], str]]] = {
    ev.WorkoutRequested: ("workout", lambda e: e.event_id),
    ev.WorkoutEnded: ("workout_end", lambda e: e.event_id),
    ev.PlanProgressed: ("progress", lambda e: e.event_id),
    ev.PartyNoted: ("party", lambda e: e.event_id),
    ev.ContactRecorded: ("contact", lambda e: f"{e.account_id}/{e.attempt_id}"),
    ev.ProfileReported: ("profile", lambda e: e.event_id),
    ev.ConsentGranted: ("grant", lambda e: e.event_id),
    ev.ConsentWithdrawn: ("withdrawal", lambda e: e.event_id),
    ev.ErasureRequested: ("erasure", lambda e: e.event_id),
    ev.OfferAnswered: ("feedback", lambda e: e.feedback_id),
    ev.EducationCompleted: ("education", lambda e: e.item_id),
}
FROM_OUTSIDE = (
    ev.ProfileReported,
    ev.ConsentGranted,
    ev.ConsentWithdrawn,
    ev.ErasureRequested,
    ev.OfferAnswered,
    ev.EducationCompleted,
)
DATED = (ev.WorkoutRequested, ev.WorkoutEnded, ev.PlanProgressed, ev.PartyNoted)
PERSONAL = (ev.ProfileReported, ev.ConsentGranted, ev.ConsentWithdrawn, ev.EducationCompleted)


class PlannerAgent:
    """Decides on the offers of one borrower.

    ranker, estimate: what orders options and what values them, in the place of those of the policy and the learner.
    """

    name = "planner"
    daily = False
    waiting = None
    accepts: frozenset[type[ev.Event]] = frozenset(NATURAL_ID)

    def __init__(self, ranker: Ranker | None = None, estimate: Estimate | None = None) -> None:
        self._ranker = ranker
        self._estimate = estimate

    def fact_key(self, event: ev.Event) -> str:
        """Return the fact's identity within its borrower."""
        kind, natural = NATURAL_ID[type(event)]
        return f"{kind}:{natural(event)}"

    def due(self, state: BorrowerState) -> int | None:
        """Return the next day whose close matters: for a decision, a contact, a deletion, or an offer that expires."""
        offer = state.open_offer()
        days = (
            state.decide_on,
            state.report_on,
            state.review_on,
            state.delete_on,
            offer.ends_on() if offer else 0,
            ends_on(state),
        )
        return min((d for d in days if d), default=None)

    def needs_policy_refold(self, state: BorrowerState, policies: PolicyBook, through: int) -> bool:
        """Say that other policies apply to what is decided from then on, and leave what was decided."""
        return False

    def handle(self, state: BorrowerState | None, event: ev.Event, context: DecisionContext) -> Step[BorrowerState]:
        """Take a fact. Raises InvalidEventError where it breaks a rule, or contradicts what its id said before."""
        input_limits.check_event(event)
        if isinstance(event, ev.OfferAnswered):
            event = about_the_offer(event)
        context = context.on(_day_of(event, context))
        s = copy(state) if state is not None else BorrowerState(event.borrower_id)  # type: ignore[attr-defined]
        if state is not None and is_past(event, state):
            answered = isinstance(event, ev.OfferAnswered)
            if isinstance(event, PERSONAL) or (answered and context.existing_fact is not None):
                return Step(state, erased=True)
            if isinstance(event, ev.OfferAnswered):
                # An agreement stands whenever it is received; what they said of themselves is no longer to be known.
                event = replace(event, reasons=(), rating=None, comment=None)
        withdrawn = is_withdrawn(event, state)
        if withdrawn:
            event = scrubbed(event)
        fact = _kept(event, s, context)
        contradicted: list[Refusal] = []
        if context.existing_fact is not None:
            if _content(context.existing_fact) == _content(fact):
                # What is reported twice counts from when it was reported first.
                earlier = isinstance(fact, ev.OfferAnswered) and fact.occurred_at < context.existing_fact.occurred_at
                return Step(state or s, (), [(self.fact_key(event), fact)] if earlier else (), erased=withdrawn)
            contradicted = self._contradicted(s, fact, context.existing_fact)
        try:
            step = self._take(s, event, fact, context)
            step.refused = (*step.refused, *contradicted)
            step.erased = step.erased or withdrawn
            return step
        except InvalidEventError as bad:
            if state is None or not (withdrawn or is_past(event, state)):
                raise
            # What is refused of somebody who was erased is emptied like what is taken.
            refused = Refusal(scrubbed(event), f"{state.borrower_id}/{self.fact_key(event)}", bad.code, bad.message)
            return Step(state, refused=(refused,), erased=True)

    def close(self, state: BorrowerState, day: ev.DayClosed, context: DecisionContext) -> Step[BorrowerState]:
        """Let offers run out and decide on new ones, at the close of a business date."""
        s = copy(state)
        today = day.business_date.toordinal()
        policies, context = context.policies, context.on(today)
        update = BorrowerUpdate(s, day, day_identity(day), today)
        review_attempts(update, policies)
        renew(update, context.policies)
        offer = s.open_offer()
        if offer is not None and offer.ends_on() <= today:
            update.expire_offer(offer)
            if offer.choices and not offer.unanswered:
                s.unanswered += 1
            s.not_before = max(s.not_before, today + pause_after(_policy(s, context.policies), s.unanswered))
            s.decide_on = today
        if s.decide_on and s.decide_on <= today:
            self._decide(self._offers(update, context), context.policies)
        if has_unreported(s):
            update.outputs += report(s, day, context.policies.policy_for("", "").learning.maturity_days)
        s.report_on = 0
        gone = delete_unconsented(s, today, context)
        return Step(s, update.outputs, gone + update.facts, erased=bool(gone))

    # -- facts

    def _contradicted(self, s: BorrowerState, fact: ev.Event, known: ev.Event) -> list[Refusal]:
        """Return what no longer stands where a fact says otherwise than one of the same id, which was taken before.

        Of two the one that occurred first stands, whichever came first. Raises InvalidEventError where that is the
        known one. Two requests for erasure, or two withdrawals, are both carried out: what was deleted is not brought
        back.
        """
        if isinstance(fact, ev.ErasureRequested | ev.ConsentWithdrawn):
            return []
        key = self.fact_key(fact)
        explain = (
            f"{type(fact).__name__} {key} of borrower {s.borrower_id} was sent twice with different content; the "
            f"statement that occurred first stands. Send a correction under a new {_own_id(fact)}."
        )
        if statement_order(known) <= statement_order(fact):
            raise InvalidEventError("conflicting_duplicate", explain)
        return [Refusal(known, f"{s.borrower_id}/{key}/{digest_of(known)}", "conflicting_duplicate", explain)]

    def _take(self, s: BorrowerState, event: ev.Event, fact: ev.Event, context: DecisionContext) -> Step[BorrowerState]:
        stands = fact if context.existing_fact is None else min((context.existing_fact, fact), key=statement_order)
        facts: list[tuple[str, ev.Event]] = [(self.fact_key(event), stands)]
        if isinstance(event, ev.ProfileReported | ev.ConsentGranted | ev.EducationCompleted):
            input_limits.check_entries(event, len(s.consents) + len(s.education) + len(s.readings))
        policy = _policy(s, context.policies)
        said_on = event.occurred_at.astimezone(ZoneInfo(policy.business_time_zone)).date()
        following = context.closed_through + timedelta(days=1) if context.closed_through else said_on
        today = event.business_date if isinstance(event, DATED) else max(said_on, following)
        identity = f"{s.borrower_id}/{self.fact_key(event)}"
        if context.existing_fact is not None:
            # Another statement of the same id may have been a cause before.
            identity += f"/{digest_of(fact)}"
        # What the account says carries the instant of its cause, which may be when a history was loaded.
        if isinstance(event, FROM_OUTSIDE):
            input_limits.check_days_ahead(event, said_on.toordinal(), following.toordinal() - 1, policy.most_days_ahead)
        update = BorrowerUpdate(s, event, identity, today.toordinal())
        gone: list[tuple[str, ev.Event]] = []
        if isinstance(event, ev.WorkoutRequested):
            open_case(s, event)
        elif isinstance(event, ev.WorkoutEnded):
            close_case(update, event)
            gone = settled(update, event, context)
        elif isinstance(event, ev.ProfileReported):
            if event.as_of > said_on + timedelta(days=1):
                raise InvalidEventError(
                    "out_of_range",
                    f"ProfileReported {event.event_id} speaks of a day after that on which it was made. Send it with "
                    "the date on which it was true.",
                    "as_of",
                )
            s.readings = self._readings(s, event, context)
            if context.existing_fact is None:
                wait_for_consent(s, event, context.policies)
            else:
                schedule_deletion(s, self._stand(s, event, context), context.policies)
            schedule_decision(s, following.toordinal())
        elif isinstance(event, ev.ConsentGranted | ev.ConsentWithdrawn):
            s.consents = self._consents(s, event, context)
            if isinstance(event, ev.ConsentWithdrawn):
                gone = withdraw_consent(s, event, context)
            schedule_deletion(s, {**dict(context.load_history()), **dict(gone)}.values(), context.policies)
            schedule_decision(s, following.toordinal())
        elif isinstance(event, ev.ErasureRequested):
            gone = erase(update, event, context)
            schedule_deletion(s, dict(context.load_history()).values(), context.policies)
            schedule_decision(s, following.toordinal())
        elif isinstance(event, ev.OfferAnswered):
            answer(self._offers(update, context), event, said_on, policy, context)
        elif isinstance(event, ev.PlanProgressed):
            record_plan_event(s, event, context.policies.policy_for("", "").learning.maturity_days)
            track_plan(s, event)
            gone = settled(update, event, context)
        elif isinstance(event, ev.ContactRecorded):
            record_contact(update, event, context.closed_through or said_on, context.policies)
            if event.disputed and not event.party:
                since = min(said_on, local_date(update, event.occurred_at, policy))
                record_dispute(s, (event.account_id,), since.toordinal())
                if s.disputes:
                    update.withdraw_offer("dispute")
        elif isinstance(event, ev.PartyNoted):
            note_party(update, event, policy)
        elif isinstance(event, ev.EducationCompleted):
            s.education = tuple(sorted({*s.education, event.item_id}))
        if isinstance(event, ev.ContactRecorded | ev.ProfileReported | ev.ConsentGranted | ev.ConsentWithdrawn):
            revise_contact_window(update, context)
        if s.parties and not isinstance(event, ev.OfferAnswered | ev.EducationCompleted | ev.PlanProgressed):
            tell_parties(update, context.policies)
        if has_unreported(s):
            s.report_on = min(s.report_on or following.toordinal(), following.toordinal())
        late = isinstance(event, ev.OfferAnswered) and is_past(event, s)
        erased = bool(gone) or late or isinstance(event, ev.ErasureRequested) or has_deleted(event, s)
        return Step(s, update.outputs, facts + gone + update.facts, erased=erased)

    def _readings(
        self, s: BorrowerState, event: ev.ProfileReported, context: DecisionContext
    ) -> tuple[ReportedValue, ...]:
        """Return the readings with those of a report, without those of one that it contradicts."""
        if context.existing_fact is None:
            return add_readings(s.readings, readings_of(event))
        reports = [f for f in self._stand(s, event, context) if isinstance(f, ev.ProfileReported)]
        return add_readings((), (reading for report in reports for reading in readings_of(report)))

    def _consents(
        self, s: BorrowerState, event: ev.ConsentGranted | ev.ConsentWithdrawn, context: DecisionContext
    ) -> tuple[Consent, ...]:
        """Return the consents with a grant or a withdrawal, without a grant that it contradicts."""
        if context.existing_fact is None or isinstance(event, ev.ConsentWithdrawn):
            return add_consent(s.consents, event)
        found = tuple(replace(c, granted=0) for c in s.consents)
        for fact in self._stand(s, event, context):
            if isinstance(fact, ev.ConsentGranted):
                found = add_consent(found, fact)
        return tuple(c for c in found if c.granted or c.withdrawn or c.deleted)

    def _stand(self, s: BorrowerState, event: ev.Event, context: DecisionContext) -> list[ev.Event]:
        """Return the facts that stand with an event in the place of that of its id, without what was erased."""
        facts = {**dict(context.load_history()), self.fact_key(event): event}
        return [fact for fact in facts.values() if not is_past(fact, s)]

    # -- decisions

    def _offers(self, update: BorrowerUpdate, context: DecisionContext) -> OfferBuilder:
        return OfferBuilder(update, context.model, self._ranker, self._estimate)

    def _decide(self, offers: OfferBuilder, policies: PolicyBook) -> None:
        """Withdraw, replace or make an offer as the assessment of today ask for it."""
        update = offers.update
        s, today = update.s, update.today
        s.decide_on = 0
        if s.plans:
            review_plans(update, policies)
        if not s.cases:
            return
        assessment = assess(s, policies, today)
        offer = s.open_offer()
        reason = invalidation_reason(offer, s, assessment) if offer is not None else ""
        if not reason and offer is not None and offer.over == NEVER and not s.disputes:
            reason = "dispute_ended"
        if reason:
            update.withdraw_offer(reason)
            offer = None
        if assessment is None or s.disputes:
            return
        better = refresh_reason(offer, assessment) if offer is not None else ""
        if offer is not None and not better:
            return
        # What offers nothing to choose is not sent once more in other words.
        unlike = offer if offer is not None and not offer.choices else None
        wait = max(s.paused_until, s.not_before if offer is None else _quiet_until(offer, assessment))
        if wait > today:
            s.decide_on = wait
        elif assessment.vulnerable:
            until = today + assessment.policy.offers.distress_pause_days
            plan = offers.plan(assessment, OfferRequest.for_vulnerable(unlike, better, until - 1))
            if plan is not None:
                offers.publish(plan)
                s.paused_until, s.pause_reason = until, "distress"
        else:
            codes = ("income_change",) if s.income_changed and not assessment.capacity.known else ()
            plan = offers.plan(assessment, OfferRequest.at_close(codes, unlike, better))
            if plan is not None:
                offers.publish(plan)


def _quiet_until(offer: LastOffer, assessment: Assessment) -> int:
    """Return the day from which an open offer may be replaced by a better one."""
    only_more = (
        bool(offer.choices)
        and set(offer.account_ids) == set(assessment.account_ids)
        and offer.income_known == assessment.capacity.known
    )
    return offer.published + assessment.policy.offers.pause_days if only_more else 0


def _kept(event: ev.Event, s: BorrowerState, context: DecisionContext) -> ev.Event:
    """Return what is kept of a fact: a comment is free text about a person, and no decision reads it."""
    if not isinstance(event, ev.OfferAnswered):
        return event
    if is_past(event, s):
        offer = dict(context.load_history()).get(OFFER_FACT + event.offer_id)
        made = offer if isinstance(offer, ev.OfferPublished) else None
        return scrubbed(event, keeps_recording(s, event, made, context.policies))
    return replace(event, comment=None, sealed=None)


def _own_id(event: ev.Event) -> str:
    """Return the name of the field that identifies a fact of the borrower."""
    return "feedback_id" if isinstance(event, ev.OfferAnswered) else "event_id"


def _content(event: ev.Event) -> ev.Event:
    """Return what a fact says. What has an id of its own may be sent again later, by another system."""
    if isinstance(event, ev.OfferAnswered | ev.EducationCompleted):
        return replace(event, event_id="", source="", occurred_at=EPOCH)
    return event


def _day_of(event: ev.Event, context: DecisionContext) -> int:
    """Return the business date by whose policies an event is judged: that of which it speaks, or the open one."""
    if isinstance(event, DATED):
        return event.business_date.toordinal()
    return context.open_day


def _policy(s: BorrowerState, policies: PolicyBook) -> Policy:
    """Return the policy of the borrower's first case, the default policy where there is none."""
    case = min(s.cases.items(), default=None, key=lambda item: item[0])
    if case is None:
        return policies.policy_for("", "")
    debt = case[1].debt
    return policies.policy_for(debt.jurisdiction, debt.product, debt.currency)
