"""One borrower's story: from the first missed payment to what became of it, told from the events alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from agents import amounts
from schemas import events as ev

# What makes a story worth telling: each chapter that a borrower went through, and how much it adds.
CHAPTERS: dict[str, int] = {
    "missed": 1,
    "candidate": 2,
    "recognised": 3,
    "offered": 3,
    "accepted": 4,
    "kept": 2,
    "completed": 8,
    "cured": 12,
    "good_again": 6,
}


def money(amount: int, currency: str) -> str:
    """Return minor units as people write them, with their currency."""
    return f"{amounts.money(amount, currency)} {currency}"


class Stories:
    """Collects what happened to every borrower, in order."""

    def __init__(self) -> None:
        self._borrower_of: dict[str, str] = {}
        self._currency: dict[str, str] = {}
        self._lines: dict[str, list[tuple[date, str]]] = defaultdict(list)
        self._chapters: dict[str, set[str]] = defaultdict(set)

    def take(self, events: Iterable[ev.Event]) -> None:
        """Add events to the stories of those whom they concern."""
        for event in events:
            if isinstance(event, ev.AccountOpened | ev.OpeningPosition):
                self._borrower_of[event.account_id] = event.borrower_id
                self._currency[event.account_id] = event.currency
            told = self._tell(event)
            borrower = self._concerns(event)
            if told is None or borrower is None:
                continue
            line, chapter = told
            if chapter:
                self._chapters[borrower].add(chapter)
            self._lines[borrower].append((_day_of(event), line))

    def best(self) -> tuple[str, list[tuple[date, str]]] | None:
        """Return the borrower whose story has most chapters, with its lines; None if nobody missed anything."""
        scored = [
            (sum(CHAPTERS[c] for c in chapters), -len(self._lines[borrower]), borrower)
            for borrower, chapters in self._chapters.items()
            if "missed" in chapters
        ]
        if not scored:
            return None
        borrower = max(scored)[2]
        return borrower, self._lines[borrower]

    def _concerns(self, event: ev.Event) -> str | None:
        borrower: str | None = getattr(event, "borrower_id", None)
        return borrower or self._borrower_of.get(getattr(event, "account_id", ""))

    def _tell(self, event: ev.Event) -> tuple[str, str | None] | None:
        currency = self._currency.get(getattr(event, "account_id", ""), "")
        match event:
            case ev.AccountOpened():
                return f"opens account {event.account_id} ({event.product}, {money(event.principal, currency)})", None
            case ev.OpeningPosition():
                return f"comes with account {event.account_id} ({event.product}), as of {event.as_of}", None
            case ev.PaymentFailureReported():
                return f"has a payment of {money(event.amount, currency)} fail: {event.reason}", None
            case ev.PromiseBroken():
                return f"breaks a promise of {money(event.amount, currency)}", None
            case ev.AccountEnded():
                return f"is done with account {event.account_id}: {event.reason}", None
            case ev.InstalmentMissed():
                return f"misses instalment {event.number}: {money(event.overdue_amount, currency)} unpaid", "missed"
            case ev.InstalmentCaughtUp():
                return f"catches up instalment {event.number}, {event.days_late} days late", None
            case ev.DelinquencyChanged():
                days = "1 day" if event.days_past_due == 1 else f"{event.days_past_due} days"
                return f"is {days} past due: {event.from_} -> {event.to}", None
            case ev.ContactAttempted(direction="outbound"):
                return f"is contacted by {event.channel}: {event.outcome}", None
            case ev.BadDebtChanged():
                return f"bad debt {event.from_} -> {event.to}: {'; '.join(event.reasons)}", _chapter(event.to)
            case ev.OfferPublished():
                best = next((o for o in event.options if o.option_id == event.recommended_option_id), None)
                terms = ""
                if best is not None:
                    terms = f", recommended {best.term_months} × {money(best.instalment_amount, event.currency)}"
                if not event.options:
                    return f"gets no plan, since none could be kept ({event.kind})", None
                return f"is offered {len(event.options)} options{terms}", "offered"
            case ev.OfferAnswered():
                why = f" ({', '.join(event.reasons)})" if event.reasons else ""
                how = "online" if event.channel == "online" else "on the hotline"
                return f"answers {how}: {event.answer}{why}", None
            case ev.OfferWithdrawn():
                return f"has the offer withdrawn: {event.reason}", None
            case ev.PlanActivated():
                number = len(event.instalments)
                return f"has a plan of {number} instalments for {event.account_id}; collection stops", "accepted"
            case ev.PlanScheduleAdjusted():
                by = money(event.difference, currency)
                return f"has {len(event.instalments)} plan instalments, since the debt changed by {by}", None
            case ev.PlanInstalmentKept():
                return f"keeps plan instalment {event.number}", "kept"
            case ev.PlanInstalmentMissed():
                return f"misses plan instalment {event.number}", None
            case ev.PlanBroken():
                return f"plan broken after {event.kept} kept instalments", None
            case ev.PlanCompleted():
                return f"plan completed: {event.kept} kept, {event.missed} missed", "completed"
            case ev.CreditStandingChanged():
                return f"credit standing {event.from_} -> {event.to}", "good_again" if event.to == "good" else None
        return None


def _chapter(status: str) -> str | None:
    return status if status in CHAPTERS else None


def _day_of(event: ev.Event) -> date:
    day: date | None = getattr(event, "business_date", None)
    return day or event.occurred_at.date()


def shortened(lines: list[tuple[date, str]], most: int = 40) -> list[tuple[date, str]]:
    """Return a story from its first missed payment on, with runs of like lines drawn together."""
    start = next((i for i, (_, line) in enumerate(lines) if line.startswith("misses instalment")), 0)
    kept: list[tuple[date, str]] = []
    run = 0
    for day, line in lines[start:]:
        head = " ".join(line.split()[:3])
        if kept and " ".join(kept[-1][1].split()[:3]) == head and head.startswith(("is contacted", "keeps plan")):
            run += 1
            kept[-1] = (kept[-1][0], f"{kept[-1][1].split(' … ')[0]} … and {run} more until {day}")
            continue
        run = 0
        kept.append((day, line))
    if len(kept) > most:
        half = most // 2
        kept = [*kept[:half], (kept[half][0], f"… {len(kept) - most} lines left out …"), *kept[-half:]]
    return kept
