"""Topics: which records each carries, by which field it is keyed, and who writes it."""

from __future__ import annotations

from dataclasses import dataclass

from schemas import events as ev

DEFAULT_PREFIX = "reprieve."


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic without its prefix. `key` is the field that keys it; None means one copy a partition."""

    name: str
    key: str | None
    records: tuple[type[ev.Event], ...]
    inbound: bool


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(
            "accounts",
            "account_id",
            (
                ev.AccountOpened,
                ev.OpeningPosition,
                ev.InstalmentBilled,
                ev.InstalmentAdjusted,
                ev.AdjustmentReversed,
                ev.ScheduleRevised,
                ev.AccountClosed,
                ev.AccountReopened,
                ev.PartyChanged,
            ),
            True,
        ),
        Topic("payments", "account_id", (ev.PaymentReceived, ev.PaymentReversed, ev.PaymentFailed), True),
        Topic(
            "collections",
            "account_id",
            (ev.ContactAttempted, ev.PromiseMade, ev.HoldPlaced, ev.HoldReleased, ev.BadDebtReviewed),
            True,
        ),
        Topic(
            "profiles",
            "borrower_id",
            (ev.ProfileReported, ev.ConsentGranted, ev.ConsentWithdrawn, ev.ErasureRequested),
            True,
        ),
        Topic("feedback", "borrower_id", (ev.OfferAnswered, ev.EducationCompleted), True),
        Topic("clock", None, (ev.DayClosed, ev.PolicyChanged, ev.QuarantineReleased), True),
        Topic(
            "delinquency",
            "account_id",
            (
                ev.InstalmentMissed,
                ev.InstalmentCaughtUp,
                ev.DelinquencyChanged,
                ev.ClassificationChanged,
                ev.BadDebtChanged,
                ev.ImpairmentChanged,
                ev.ChargeAccrued,
                ev.PromiseKept,
                ev.PromiseBroken,
                ev.AccountEnded,
                ev.AccountRestored,
                ev.InputNotApplied,
                ev.EventSuperseded,
            ),
            False,
        ),
        Topic(
            "workout-requests",
            "borrower_id",
            (ev.WorkoutRequested, ev.WorkoutEnded, ev.PlanProgressed, ev.ContactRecorded, ev.PartyNoted),
            False,
        ),
        Topic("evidence", "model", (ev.OfferOutcomeReported,), False),
        Topic("learning", None, (ev.ModelUpdated,), False),
        Topic("guardrails", "model", (ev.GuardrailTripped,), False),
        Topic("barriers", None, (ev.BarrierReached,), False),
        Topic(
            "offers",
            "borrower_id",
            (ev.OfferPublished, ev.OfferWithdrawn, ev.OfferExpired, ev.ContactRevised, ev.PartyContactChanged),
            False,
        ),
        Topic(
            "plans",
            "account_id",
            (
                ev.PlanActivated,
                ev.PlanScheduleAdjusted,
                ev.PlanReviewRequested,
                ev.PlanReplaced,
                ev.PlanPostponed,
                ev.PlanInstalmentKept,
                ev.PlanInstalmentMissed,
                ev.PlanBroken,
                ev.PlanCompleted,
                ev.PlanEnded,
                ev.CollectionStopped,
                ev.CollectionResumed,
                ev.CreditStandingChanged,
                ev.PaymentFailureReported,
            ),
            False,
        ),
        Topic("decisions", "borrower_id", (ev.DecisionLogged, ev.AnswerNotApplied, ev.ContactBreached), False),
        Topic("audit", "borrower_id", (ev.PersonalDataErased, ev.PersonalDataRead), False),
        Topic("dead-letters", None, (ev.DeadLetter,), False),
    )
}

# What people say of themselves, and others of them.
PERSONAL_TOPICS = frozenset({"profiles", "feedback"})
TOPIC_OF: dict[type[ev.Event], Topic] = {record: topic for topic in TOPICS.values() for record in topic.records}


def key_of(event: ev.Event) -> str | None:
    """Return the partition key of an event, or None for a topic without one."""
    key = TOPIC_OF[type(event)].key
    return None if key is None else getattr(event, key)
