"""What the planner is told of an account: what became of its plans, and who tried to reach the borrower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agents.base import derived_id
from schemas import events as ev
from state.account import AccountState

SOURCE = "reprieve.account"
OUTCOMES: dict[type[ev.Event], str] = {
    ev.PlanInstalmentKept: "kept",
    ev.PlanInstalmentMissed: "missed",
    ev.PlanBroken: "broken",
    ev.PlanCompleted: "completed",
    ev.PlanReplaced: "replaced",
    ev.PlanPostponed: "postponed",
    ev.PlanScheduleAdjusted: "adjusted",
}
Outcome = (
    ev.PlanInstalmentKept
    | ev.PlanInstalmentMissed
    | ev.PlanBroken
    | ev.PlanCompleted
    | ev.PlanReplaced
    | ev.PlanPostponed
    | ev.PlanScheduleAdjusted
)
# A conversation is by voice, and with the borrower.
SPOKEN = frozenset({"call", "visit"})
ANSWERED: frozenset[ev.ContactOutcome] = frozenset(
    {"reached", "promised", "refused", "disputed", "hardship", "complaint"}
)


def progress_of(s: AccountState, said: Iterable[ev.Event], standing: Iterable[ev.Event]) -> list[ev.Event]:
    """Return what the planner has to hear of what an account says; corrections take back what they supersede."""
    before: Mapping[str, ev.Event] = {}
    told: list[ev.Event] = []
    for event in said:
        about = event
        if isinstance(event, ev.Corrected):
            before = before or {e.event_id: e for e in standing}
            about = before[event.supersedes]
        outcome = OUTCOMES.get(type(about))
        if outcome is not None:
            told.append(_told(s, event, about, outcome))
    return told


def noted_contact(s: AccountState, fact: ev.ContactAttempted) -> list[ev.Event]:
    """Return what the contact rules count of a contact: an attempt of the lender, or that they spoke."""
    attempt = fact.direction == "outbound"
    conversation = fact.channel in SPOKEN and fact.outcome in ANSWERED
    if not attempt and not conversation:
        return []
    noted = ev.ContactNoted(
        event_id=derived_id(fact.event_id, "ContactNoted", s.account_id),
        occurred_at=fact.occurred_at,
        source=SOURCE,
        borrower_id=s.borrower_id,
        account_id=s.account_id,
        attempt_id=fact.attempt_id,
        caused_by=fact.event_id,
        attempt=attempt,
        conversation=conversation,
        jurisdiction=s.jurisdiction,
        product=s.product,
    )
    return [noted]


def _told(s: AccountState, event: ev.Event, about: ev.Event, outcome: str) -> ev.PlanProgressed:
    assert isinstance(about, Outcome)
    number = 0
    if isinstance(about, ev.PlanInstalmentKept | ev.PlanInstalmentMissed):
        number = about.number
    elif isinstance(about, ev.PlanPostponed):
        number = about.months
    elif isinstance(about, ev.PlanScheduleAdjusted):
        number = len(about.instalments) - about.agreed
    return ev.PlanProgressed(
        event_id=derived_id(event.event_id, "PlanProgressed", s.account_id),
        occurred_at=event.occurred_at,
        source=SOURCE,
        borrower_id=s.borrower_id,
        account_id=s.account_id,
        plan_id=about.plan_id,
        offer_id=about.offer_id,
        business_date=about.business_date,
        caused_by=event.event_id,
        number=number,
        outcome=outcome,
        taken_back=event is not about,
    )
