"""Outcomes of offers, joined to what was shown: the rewards that a learner learns from.

A reward matures in stages: an acceptance, a first kept instalment, a third one; a broken plan takes it all back. The
report at the close of a day has only what moved since the last report, so that reports add up, in any order. What
happens more than the policy's maturity after an offer no longer counts. An offer that ended for reasons outside of
it, since its debts changed or a hold came, teaches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from msgspec.structs import replace

from agents.base import day_identity, derived_id
from agents.learner.ranking import RankingContext, row_of
from agents.planner import SOURCE
from schemas import events as ev
from state.borrower import BorrowerState, TrackedOffer
from state.learning import MILLI, cell_of

# The key of the only model, which planners of all jurisdictions share; stored states and topics have it.
MODEL = "lead"
ACCEPTED, FIRST_KEPT, THIRD_KEPT = 300, 600, MILLI
# How an offer ends that the borrower has let pass or refused.
REFUSED = ("declined", "countered", "expired")


def track(s: BorrowerState, offer: ev.OfferPublished, context: RankingContext, arm: str) -> None:
    """Begin to track an offer that has options."""
    if not offer.options:
        return
    rows = tuple(row_of(o, context, o.option_id == offer.recommended_option_id) for o in offer.options)
    cells = tuple(
        cell_of(
            o.instalment_amount / max(1, context.surplus),
            o.term_months,
            o.distressed_obligation_bps / 10_000,
            context.days_past_due,
        )
        for o in offer.options
    )
    names = tuple(o.option_id for o in offer.options)
    made = TrackedOffer(offer.business_date.toordinal(), arm, len(offer.account_ids), names, rows, cells)
    s.tracked = {**s.tracked, offer.offer_id: made}


def record_end(s: BorrowerState, offer_id: str, end: str, option_id: str = "") -> None:
    """Record how a tracked offer ended: with an option, refused, or for reasons outside of it.

    It may still be accepted in time after it was reports to have expired.
    """
    found = s.tracked.get(offer_id)
    if found is None or (found.settled and not (option_id and not found.accepted)):
        return
    if not option_id and end not in REFUSED:
        s.tracked = {name: w for name, w in s.tracked.items() if name != offer_id}
        return
    chosen = found.options.index(option_id) + 1 if option_id else 0
    s.tracked = {**s.tracked, offer_id: replace(found, settled=True, accepted=chosen)}


def record_complaint(s: BorrowerState, offer_id: str) -> None:
    """Record that an offer met distrust, or the worst rating."""
    found = s.tracked.get(offer_id)
    if found is not None:
        s.tracked = {**s.tracked, offer_id: replace(found, complained=True)}


def record_plan_event(s: BorrowerState, event: ev.PlanProgressed, maturity: int) -> None:
    """Count what became of a plan, where its offer is still tracked."""
    found = s.tracked.get(event.offer_id)
    if found is None or event.business_date.toordinal() - found.published > maturity:
        return
    by = -1 if event.taken_back else 1
    match event.outcome:
        case "kept":
            found = replace(found, kept=found.kept + by)
        case "missed":
            found = replace(found, missed=found.missed + by)
        case "broken":
            found = replace(found, broken=found.broken + by)
    s.tracked = {**s.tracked, event.offer_id: found}


def reward_of(w: TrackedOffer) -> int:
    """Return what an offer is worth so far, in thousandths."""
    if not w.accepted or w.broken > 0:
        return 0
    if w.kept >= 3 * w.accounts:
        return THIRD_KEPT
    return FIRST_KEPT if w.kept >= w.accounts else ACCEPTED


def has_unreported(s: BorrowerState) -> bool:
    """Say whether anything is to be reported."""
    return any(_counted(w) != w.reported for w in s.tracked.values() if w.settled)


def report(s: BorrowerState, day: ev.DayClosed, maturity: int) -> list[ev.Event]:
    """Return what is new since the last report, an event per offer, and forget offers that have matured."""
    today = day.business_date.toordinal()
    reports: list[ev.Event] = []
    kept: dict[str, TrackedOffer] = {}
    for offer_id, w in sorted(s.tracked.items()):
        if w.settled and _counted(w) != w.reported:
            reports.append(_outcome_report(s, w, offer_id, day))
            w = replace(w, reported=_counted(w))
        if today - w.published <= maturity:
            kept[offer_id] = w
    s.tracked = kept
    return reports


def _counted(w: TrackedOffer) -> tuple[int, ...]:
    return (1, int(w.accepted > 0), reward_of(w), w.kept, w.missed, w.broken, int(w.complained))


def _outcome_report(s: BorrowerState, w: TrackedOffer, offer_id: str, day: ev.DayClosed) -> ev.OfferOutcomeReported:
    now = _counted(w)
    before = w.reported or (0,) * len(now)
    shown, accepted, reward, kept, missed, broken, complaints = (a - b for a, b in zip(now, before, strict=True))
    rows: Sequence[ev.EvidenceRow] = [
        ev.EvidenceRow(
            x=row,
            shown=shown,
            accepted=MILLI * accepted if number == w.accepted else 0,
            reward=reward if number == w.accepted else 0,
        )
        for number, row in enumerate(w.rows, 1)
        if shown or number == w.accepted
    ]
    moved = w.accepted and (kept or missed)
    counts = {
        "offers": shown,
        "accepted": accepted,
        "due": kept + missed,
        "broken": broken,
        "complaints": complaints,
    }
    return ev.OfferOutcomeReported(
        # Ids derive from the name that release 0.1.0 gave this event.
        event_id=derived_id(day_identity(day), "EvidenceGathered", offer_id),
        occurred_at=day.occurred_at,
        source=SOURCE,
        model=MODEL,
        offer_id=offer_id,
        business_date=day.business_date,
        caused_by=day.event_id,
        rows=tuple(rows),
        cells=(ev.CapacityCell(cell=w.cells[w.accepted - 1], kept=kept, missed=missed),) if moved else (),
        offered_on=date.fromordinal(w.published),
        counts={f"{w.arm}.{name}": count for name, count in counts.items() if count},
    )
