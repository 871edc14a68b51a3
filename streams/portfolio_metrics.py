"""What a worker says of the business, counted by kind for Prometheus: transitions, offers, plans, leads, guardrails.

Labels are closed sets of codes; no account, borrower or amount is in one. What is counted is counted once its batch
is committed. A worker that is killed between a commit and its count leaves a count out: the log says what is true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import Counter

from schemas import events as ev

BUCKETS = Counter(
    "reprieve_bucket_transitions_total", "Accounts that moved from one bucket to another.", ["old", "new"]
)
BAD_DEBTS = Counter(
    "reprieve_bad_debt_transitions_total", "Accounts that moved in the life of a bad debt.", ["old", "new"]
)
STANDINGS = Counter("reprieve_standing_transitions_total", "Accounts whose credit standing changed.", ["old", "new"])
OFFERS = Counter("reprieve_offers_total", "Offers published.", ["kind", "tone"])
OFFERS_ENDED = Counter("reprieve_offers_ended_total", "Offers that were withdrawn or ran out.", ["how"])
DEFERRED = Counter(
    "reprieve_contacts_deferred_total", "Offers to be told later, or (no_channel) never by the lender.", ["reason"]
)
REVISED = Counter(
    "reprieve_contacts_revised_total", "Open offers of which contacts since made the window another.", ["reason"]
)
BREACHES = Counter(
    "reprieve_contact_breaches_total", "Attempts to reach a borrower that broke a contact rule, by rule.", ["rule"]
)
PLANS = Counter("reprieve_plans_total", "What becomes of plans.", ["what"])
INSTALMENTS = Counter("reprieve_plan_instalments_total", "Instalments of plans, kept or missed.", ["what"])
RECOMMENDATIONS = Counter(
    "reprieve_recommendations_total",
    "Offers with options, by the treatment arm that chose the recommended option.",
    ["arm"],
)
GUARDRAILS = Counter("reprieve_guardrails_tripped_total", "Guardrails that were breached.", ["guardrail"])
CORRECTIONS = Counter("reprieve_corrections_total", "Statements that were superseded.", ["what"])

ANSWERS = Counter("reprieve_offer_answers_total", "Answers to offers.", ["answer", "channel"])
COLLECTION = Counter("reprieve_collection_changes_total", "Accounts whose collection stopped or went on.", ["what"])
CLASSES = Counter("reprieve_class_transitions_total", "Accounts that changed their class.", ["policy", "old", "new"])
STAGES = Counter("reprieve_stage_transitions_total", "Accounts that changed their impairment stage.", ["old", "new"])

NOT_APPLIED = Counter(
    "reprieve_inputs_not_applied_total",
    "Events that were taken and had no effect, by kind and by code (docs/rules.md).",
    ["what", "code"],
)
PROMISES = Counter("reprieve_promises_total", "Promises of payment, kept or broken.", ["what"])
ENDED = Counter(
    "reprieve_accounts_ended_total", "Accounts that ended, and those taken up again (restored).", ["reason"]
)
FAILURES = Counter("reprieve_payment_failures_total", "Payments that were attempted and brought nothing.")
ADJUSTMENTS = Counter("reprieve_adjustments_total", "Adjustments of instalments, made or reversed.", ["what"])

# Counted when they come in, if they are new; the rest when they are said.
COUNTED_ON_INTAKE = frozenset({ev.OfferAnswered, ev.PaymentFailed, ev.InstalmentAdjusted, ev.AdjustmentReversed})
# The reasons of an end that have a meaning; a lender may have any others.
_ENDS = frozenset({"repaid", "settled", "sold", "opened_in_error"})

Count = tuple[Counter, tuple[str, ...]]
_OF: Mapping[type[ev.Event], Callable[[Any], list[Count]]] = {
    ev.DelinquencyChanged: lambda e: [(BUCKETS, (e.from_, e.to))],
    ev.BadDebtChanged: lambda e: [(BAD_DEBTS, (e.from_, e.to))],
    ev.CreditStandingChanged: lambda e: [(STANDINGS, (e.from_, e.to))],
    ev.OfferPublished: lambda e: [
        (OFFERS, (e.kind, e.tone)),
        *([(DEFERRED, (e.contact.held_back,))] if e.contact.held_back else []),
        *([] if e.contact.channels else [(DEFERRED, ("no_channel",))]),
    ],
    ev.ContactRevised: lambda e: [(REVISED, (e.reason,))],
    ev.ContactBreached: lambda e: [(BREACHES, (rule,)) for rule in e.rules],
    ev.OfferAnswered: lambda e: [(ANSWERS, (e.answer, e.channel))],
    ev.CollectionStopped: lambda e: [(COLLECTION, ("stopped",))],
    ev.CollectionResumed: lambda e: [(COLLECTION, ("resumed",))],
    ev.ClassificationChanged: lambda e: [(CLASSES, (e.policy, e.from_, e.to))],
    ev.ImpairmentChanged: lambda e: [(STAGES, (str(e.from_stage), str(e.stage)))] if e.stage != e.from_stage else [],
    ev.OfferWithdrawn: lambda e: [(OFFERS_ENDED, ("withdrawn",))],
    ev.OfferExpired: lambda e: [(OFFERS_ENDED, ("expired",))],
    ev.PlanActivated: lambda e: [(PLANS, ("activated",))],
    ev.PlanBroken: lambda e: [(PLANS, ("broken",))],
    ev.PlanCompleted: lambda e: [(PLANS, ("completed",))],
    ev.PlanEnded: lambda e: [(PLANS, ("ended",))],
    ev.PlanReplaced: lambda e: [(PLANS, ("replaced",))],
    ev.PlanScheduleAdjusted: lambda e: [(PLANS, ("adjusted",))],
    ev.PlanPostponed: lambda e: [(PLANS, ("postponed",))],
    ev.PlanInstalmentKept: lambda e: [(INSTALMENTS, ("kept",))],
    ev.PlanInstalmentMissed: lambda e: [(INSTALMENTS, ("missed",))],
    ev.DecisionLogged: lambda e: [(RECOMMENDATIONS, (e.arm,))] if e.feasible else [],
    ev.GuardrailTripped: lambda e: [(GUARDRAILS, (e.guardrail,))],
    ev.InputNotApplied: lambda e: [(NOT_APPLIED, (e.fact_type, e.code))],
    ev.AnswerNotApplied: lambda e: [(NOT_APPLIED, (ev.OfferAnswered.__name__, e.code))],
    ev.PromiseKept: lambda e: [(PROMISES, ("kept",))],
    ev.PromiseBroken: lambda e: [(PROMISES, ("broken",))],
    ev.AccountEnded: lambda e: [(ENDED, (e.reason if e.reason in _ENDS else "other",))],
    ev.AccountRestored: lambda e: [(ENDED, ("restored",))],
    ev.PaymentFailed: lambda e: [(FAILURES, ())],
    ev.InstalmentAdjusted: lambda e: [(ADJUSTMENTS, ("made",))],
    ev.AdjustmentReversed: lambda e: [(ADJUSTMENTS, ("reversed",))],
    ev.EventSuperseded: lambda e: [(CORRECTIONS, (e.superseded_type,))],
}


def counts_of(event: ev.Event) -> list[Count]:
    """Return what an event adds one to."""
    of = _OF.get(type(event))
    return [] if of is None else of(event)


def add_counts(found: Mapping[Count, int]) -> None:
    """Add what a committed batch has said."""
    for (counter, labels), times in found.items():
        (counter.labels(*labels) if labels else counter).inc(times)
