"""Logged decisions joined by offer to what came of them, and to what the log tells of whom they are for.

Two things are not known at once. Whether an offer is accepted is known once its time to be answered is over; what it is
worth only once it is mature, when nothing more counts. Whoever averages what came of offers leaves out those that are
not so far: of young offers quick answers are known before slow ones, and rewards have not all come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from msgspec import Struct

from schemas import events as ev
from state.learning import FIRST_INSTALMENTS, MILLI

SEVERAL = "several"


class Ages(Struct, frozen=True):
    """Days after which an offer is mature, and in which it may be answered where no offer says until when."""

    maturity: int
    answer: int


class Judged(Struct, frozen=True):
    """A decision with what is known of its offer.

    accepted: whether any option was. option: which one, empty for none and where it is not known. reward: 0 to 1.
    kept, missed: single instalments, over all of the plan's accounts. first_kept: whether the first three instalments
    of every account were all kept, None where that is not known. answered: its time to be answered is over. mature:
    nothing more counts. traits: the group it belongs to, by attribute.
    """

    logged: ev.DecisionLogged
    accepted: bool
    option: str
    reward: float
    kept: int
    missed: int
    first_kept: bool | None
    answered: bool
    mature: bool
    traits: dict[str, str]

    def candidate(self, option_id: str) -> ev.Candidate | None:
        """Return what was predicted of an option; None where it was not weighed, as where the borrower proposed it."""
        for candidate in self.logged.candidates:
            if candidate.option_id == option_id and candidate.verdict == "kept":
                return candidate
        return None


class Joined(Struct, frozen=True):
    """All decisions with options, those of which something is known, and the last business date of the log."""

    decisions: list[ev.DecisionLogged]
    judged: list[Judged]
    through: date


def joined(events: Iterable[ev.Event], ages: Ages) -> Joined:
    """Return decisions and what came of them, in the order of the log. Raises ValueError where none was logged."""
    decisions: dict[str, ev.DecisionLogged] = {}
    outcomes: dict[str, dict[str, ev.OfferOutcomeReported]] = {}
    offers: dict[str, ev.OfferPublished] = {}
    accounts: dict[str, tuple[str, str]] = {}
    through = date.min
    for event in events:
        through = max(through, getattr(event, "business_date", through))
        match event:
            case ev.DecisionLogged() if event.shown:
                decisions[event.offer_id] = event
            case ev.OfferOutcomeReported():
                # Evidence adds up, so an event that a log holds twice must count once.
                outcomes.setdefault(event.offer_id, {})[event.event_id] = event
            case ev.OfferPublished():
                offers[event.offer_id] = event
            case ev.WorkoutRequested(debt=debt):
                accounts[debt.account_id] = debt.jurisdiction, debt.product
            case ev.AccountOpened() | ev.OpeningPosition():
                accounts.setdefault(event.account_id, (event.jurisdiction, event.product))
    if not decisions:
        raise ValueError("no decision with options was logged")
    found = []
    for offer_id, decision in decisions.items():
        if offer_id in outcomes:
            evidence = sorted(outcomes[offer_id].values(), key=lambda e: e.business_date)
            found.append(_judged(decision, evidence, offers.get(offer_id), accounts, through, ages))
    return Joined(list(decisions.values()), found, through)


def _judged(
    decision: ev.DecisionLogged,
    evidence: Sequence[ev.OfferOutcomeReported],
    offer: ev.OfferPublished | None,
    accounts: dict[str, tuple[str, str]],
    through: date,
    ages: Ages,
) -> Judged:
    accepted, reward = 0, 0
    by_option: dict[str, int] = {}
    for event in evidence:
        for number, row in enumerate(event.rows):
            accepted += row.accepted
            reward += row.reward
            if row.accepted:
                name = _option(decision, event, number)
                by_option[name] = by_option.get(name, 0) + row.accepted
    cells = [cell for event in evidence for cell in event.cells]
    age = (through - decision.business_date).days
    return Judged(
        decision,
        accepted > 0,
        max(by_option, key=by_option.__getitem__) if accepted > 0 else "",
        reward / MILLI,
        sum(cell.kept for cell in cells),
        sum(cell.missed for cell in cells),
        first_kept(cells, FIRST_INSTALMENTS * len(offer.account_ids)) if offer is not None else None,
        through > offer.expires_on if offer is not None else age > ages.answer,
        age >= ages.maturity,
        _traits(offer, accounts) if offer is not None else {},
    )


def _option(decision: ev.DecisionLogged, event: ev.OfferOutcomeReported, number: int) -> str:
    """Return the option of a row of evidence: by its place where all are reported, else by what it is like."""
    if len(event.rows) == len(decision.shown):
        return decision.shown[number].option_id
    return next((o.option_id for o in decision.shown if o.x == event.rows[number].x), "")


def first_kept(cells: Sequence[ev.CapacityCell], first: int) -> bool | None:
    """Say whether the first so many instalments were all kept, by what was reported of them in the order of days.

    None where too few are known. An instalment that was said to be missed and was paid in time after all is taken to be
    the oldest that was missed, since payments go to what is oldest.
    """
    kept_so_far: list[bool] = []
    for cell in cells:
        kept = cell.kept
        for _ in range(max(0, -cell.missed)):
            if False not in kept_so_far:
                break
            at = kept_so_far.index(False)
            if kept > 0:
                kept_so_far[at] = True
                kept -= 1
            else:
                del kept_so_far[at]
        kept_so_far += [False] * max(0, cell.missed)
        kept_so_far += [True] * max(0, kept)
        for _ in range(max(0, -kept)):
            if True in kept_so_far:
                # Of kept instalments it is the newest that a reversed payment leaves unpaid.
                del kept_so_far[len(kept_so_far) - 1 - kept_so_far[::-1].index(True)]
    if False in kept_so_far[:first]:
        return False
    return True if len(kept_so_far) >= first else None


def _traits(offer: ev.OfferPublished, accounts: dict[str, tuple[str, str]]) -> dict[str, str]:
    traits = {
        "language": offer.locale,
        "tone": offer.tone,
        "accounts": "one" if len(offer.account_ids) == 1 else SEVERAL,
    }
    known = [accounts[a] for a in offer.account_ids if a in accounts]
    if len(known) == len(offer.account_ids):
        for name, values in zip(("jurisdiction", "product"), zip(*known, strict=True), strict=True):
            traits[name] = values[0] if len(set(values)) == 1 else SEVERAL
    return traits
