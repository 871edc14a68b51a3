"""How a history comes in, what Reprieve says of it, and how that differs from the recomputation."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

from schemas import events as ev
from tests.recomputation.histories import History
from tests.recomputation.life import recompute
from tests.recomputation.said import REPORTED, Record, of_event
from tests.support.agent_driver import AccountDriver


class OpeningDriver(AccountDriver):
    """A driver that releases parked facts behind an opening position as well, as a runtime does."""

    def handle(self, event: ev.Event) -> None:
        """Handle an event, and the facts that wait for it."""
        super().handle(event)
        if isinstance(event, ev.OpeningPosition) and event.account_id in self.states:
            self.release_parked(event.account_id)


def closed(history: History, day: int) -> ev.DayClosed:
    """Return the close of a day, by its offset."""
    on = history.start + timedelta(days=day)
    return ev.DayClosed(
        event_id=f"close-{on}",
        occurred_at=datetime(on.year, on.month, on.day, 23, tzinfo=UTC),
        source="drawn",
        business_date=on,
        calendar="none",
    )


def delivered(history: History) -> list[list[ev.Event]]:
    """Return a history in batches: out of order, repeated, with days that are skipped and closes that come again."""
    rng = Random(history.seed + 1)
    by_day: dict[int, list[ev.Event]] = {}
    for day, fact in history.facts:
        by_day.setdefault(day, []).append(fact)
    skips, repeats = rng.choice((0.0, 0.0, 0.3, 0.9)), rng.choice((0.0, 0.02))
    batches: list[list[ev.Event]] = [[]]
    seen: list[ev.Event] = []
    for day in range(history.days + 1):
        today = by_day.get(day, [])
        rng.shuffle(today)
        batches[-1] += today
        seen += today
        if seen and rng.random() < repeats:
            batches[-1] += rng.sample(seen, min(len(seen), rng.randint(1, 4)))
        if day < history.days and rng.random() < skips and day % 60:
            continue
        batches[-1].append(closed(history, day))
        if rng.random() < repeats:
            batches[-1] += [closed(history, rng.randint(0, day)), *rng.sample(seen, min(len(seen), 2))]
        if rng.random() < 0.5:
            batches.append([])
    return batches


def in_order(history: History) -> list[list[ev.Event]]:
    """Return a history as it would come in where nothing goes wrong."""
    batches = []
    for day in range(history.days + 1):
        facts = [fact for on, fact in history.facts if on == day]
        batches.append([*sorted(facts, key=lambda f: (f.occurred_at, f.event_id)), closed(history, day)])
    return batches


def reported(history: History, batches: list[list[ev.Event]]) -> Counter[Record]:
    """Return what stands of what Reprieve says, through a driver."""
    driver = OpeningDriver(history.book)
    for batch in batches:
        driver.feed(*batch)
    standing = (of_event(e) for e in driver.standing() if isinstance(e, REPORTED))
    # Good news of a day that is not closed yet is provisional.
    return Counter(r for r in standing if r[0] <= history.last)


def expected(history: History) -> Counter[Record]:
    """Return what the recomputation says."""
    return Counter(recompute([fact for _, fact in history.facts], history.book, history.last))


def difference(history: History, batches: list[list[ev.Event]] | None = None) -> tuple[list[Record], list[Record]]:
    """Return what only Reprieve says, and what only the recomputation says, oldest first."""
    theirs = reported(history, delivered(history) if batches is None else batches)
    ours = expected(history)
    only = ((theirs - ours).elements(), (ours - theirs).elements())
    return tuple(sorted(side, key=repr) for side in only)  # type: ignore[return-value]
