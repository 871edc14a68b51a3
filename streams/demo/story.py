"""One borrower's story: from the first missed payment to what became of it, told from the events alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from console.words import describe
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
    "good": 6,
}
_TOLD = (
    ev.AccountOpened | ev.OpeningPosition | ev.PaymentFailureReported | ev.PromiseBroken | ev.AccountEnded
    | ev.InstalmentMissed | ev.InstalmentCaughtUp | ev.DelinquencyChanged | ev.ContactAttempted | ev.BadDebtChanged
    | ev.OfferPublished | ev.OfferAnswered | ev.OfferWithdrawn | ev.PlanActivated | ev.PlanScheduleAdjusted
    | ev.PlanInstalmentKept | ev.PlanInstalmentMissed | ev.PlanBroken | ev.PlanCompleted | ev.CreditStandingChanged
)  # fmt: skip
# Lines of a story that are shown, half of them from its beginning; runs of these are drawn together.
_MOST = 40
_RUNS = ("ContactAttempted", "PlanInstalmentKept")


class StoryLine(NamedTuple):
    """A line of a story. kind: its event's."""

    day: date
    kind: str
    text: str


class Stories:
    """Collects what happened to every borrower, in order."""

    def __init__(self) -> None:
        self._borrower_of: dict[str, str] = {}
        self._currency: dict[str, str] = {}
        self._lines: dict[str, list[StoryLine]] = defaultdict(list)
        self._chapters: dict[str, set[str]] = defaultdict(set)

    def take(self, events: Iterable[ev.Event]) -> None:
        """Add events to the stories of those whom they concern."""
        for event in events:
            account: str = getattr(event, "account_id", "")
            if isinstance(event, ev.AccountOpened | ev.OpeningPosition):
                self._borrower_of[account] = event.borrower_id
                self._currency[account] = event.currency
            if not isinstance(event, _TOLD) or getattr(event, "direction", None) == "inbound":
                continue
            borrower = getattr(event, "borrower_id", None) or self._borrower_of.get(account)
            if borrower is not None:
                day: date = getattr(event, "business_date", None) or event.occurred_at.date()
                text = describe(event, self._currency.get(account, ""))["en"]
                self._lines[borrower].append(StoryLine(day, type(event).__name__, text))
                self._chapters[borrower] |= {_chapter(event)} & CHAPTERS.keys()

    def best(self) -> tuple[str, list[StoryLine]] | None:
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


def _chapter(event: ev.Event) -> str:
    match event:
        case ev.InstalmentMissed():
            return "missed"
        case ev.BadDebtChanged() | ev.CreditStandingChanged():
            return event.to
        case ev.OfferPublished():
            return "offered" if event.options else ""
        case ev.PlanActivated():
            return "accepted"
        case ev.PlanInstalmentKept():
            return "kept"
        case ev.PlanCompleted():
            return "completed"
    return ""


def shortened(lines: list[StoryLine]) -> list[StoryLine]:
    """Return a story from its first missed payment on, with runs of like lines drawn together."""
    start = next((i for i, line in enumerate(lines) if line.kind == "InstalmentMissed"), 0)
    found: list[StoryLine] = []
    run = 0
    for line in lines[start:]:
        if found and found[-1].kind == line.kind and line.kind in _RUNS:
            run += 1
            text = f"{found[-1].text.split(' … ')[0]} … and {run} more until {line.day}"
            found[-1] = found[-1]._replace(text=text)
            continue
        run = 0
        found.append(line)
    if len(found) > _MOST:
        half = _MOST // 2
        left_out = StoryLine(found[half].day, "", f"… {len(found) - _MOST} lines left out …")
        found = [*found[:half], left_out, *found[-half:]]
    return found
