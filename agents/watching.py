"""What becomes of an offer, joined to what was shown: the rewards that a learner learns from.

A reward matures in stages: an acceptance, a first kept instalment, a third one; a broken plan takes it all back. What
is told at the close of a day is only what moved since it was last told, so that evidence adds up, in any order. What
happens more than the policy's maturity after an offer no longer counts. An offer that ended for reasons outside of
it, since its debts changed or a hold came, teaches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from msgspec.structs import replace

from agents.base import derived_id
from agents.leading import row_of
from agents.ranking import RankingContext
from schemas import events as ev
from state.borrower import BorrowerState, Watched
from state.keeping import cell_of
from state.learning import MILLI

SOURCE = "reprieve.planner"
# The one model that there is; planners of all jurisdictions share it.
MODEL = "lead"
ACCEPTED, FIRST_KEPT, THIRD_KEPT = 300, 600, MILLI
# How an offer ends that the borrower has let pass or refused.
REFUSED = ("declined", "countered", "expired")


def watch(s: BorrowerState, offer: ev.OfferPublished, context: RankingContext, group: str) -> None:
    """Begin to watch an offer that has options."""
    if not offer.options:
        return
    rows = tuple(row_of(o, context, o.option_id == offer.lead_option_id) for o in offer.options)
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
    made = Watched(offer.business_date.toordinal(), group, len(offer.account_ids), names, rows, cells)
    s.watched = {**s.watched, offer.offer_id: made}


def ended(s: BorrowerState, offer_id: str, end: str, option_id: str = "") -> None:
    """Note how a watched offer ended: with an option, refused, or for reasons outside of it.

    It may still be accepted in time after it was said to have expired.
    """
    found = s.watched.get(offer_id)
    if found is None or (found.settled and not (option_id and not found.accepted)):
        return
    if not option_id and end not in REFUSED:
        s.watched = {name: w for name, w in s.watched.items() if name != offer_id}
        return
    chosen = found.options.index(option_id) + 1 if option_id else 0
    s.watched = {**s.watched, offer_id: replace(found, settled=True, accepted=chosen)}


def complained(s: BorrowerState, offer_id: str) -> None:
    """Note that an offer met distrust, or the worst rating."""
    found = s.watched.get(offer_id)
    if found is not None:
        s.watched = {**s.watched, offer_id: replace(found, complained=True)}


def progressed(s: BorrowerState, event: ev.PlanProgressed, maturity: int) -> None:
    """Count what became of a plan, where its offer is still watched."""
    found = s.watched.get(event.offer_id)
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
    s.watched = {**s.watched, event.offer_id: found}


def reward_of(w: Watched) -> int:
    """Return what an offer is worth so far, in thousandths."""
    if not w.accepted or w.broken > 0:
        return 0
    if w.kept >= 3 * w.accounts:
        return THIRD_KEPT
    return FIRST_KEPT if w.kept >= w.accounts else ACCEPTED


def untold(s: BorrowerState) -> bool:
    """Say whether something is to be told."""
    return any(_told(w) != w.told for w in s.watched.values() if w.settled)


def tell(s: BorrowerState, day: ev.DayClosed, maturity: int) -> list[ev.Event]:
    """Return what was learned since it was last told, an event an offer, and forget offers that have matured."""
    today = day.business_date.toordinal()
    said: list[ev.Event] = []
    kept: dict[str, Watched] = {}
    for offer_id, w in sorted(s.watched.items()):
        if w.settled and _told(w) != w.told:
            said.append(_evidence(s, w, offer_id, day))
            w = replace(w, told=_told(w))
        if today - w.published <= maturity:
            kept[offer_id] = w
    s.watched = kept
    return said


def _told(w: Watched) -> tuple[int, ...]:
    return (1, int(w.accepted > 0), reward_of(w), w.kept, w.missed, w.broken, int(w.complained))


def _evidence(s: BorrowerState, w: Watched, offer_id: str, day: ev.DayClosed) -> ev.EvidenceGathered:
    now = _told(w)
    before = w.told or (0,) * len(now)
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
    return ev.EvidenceGathered(
        event_id=derived_id(day.event_id, "EvidenceGathered", offer_id),
        occurred_at=day.occurred_at,
        source=SOURCE,
        model=MODEL,
        offer_id=offer_id,
        business_date=day.business_date,
        caused_by=day.event_id,
        rows=tuple(rows),
        cells=(ev.CapacityCell(cell=w.cells[w.accepted - 1], kept=kept, missed=missed),) if moved else (),
        offered_on=date.fromordinal(w.published),
        counts={f"{w.group}.{name}": count for name, count in counts.items() if count},
    )
