"""What one borrower is offered before and after each kind of answer, side by side.

`python -m tests.evaluation.answers_page` prints it. All of it comes from the real agents on the local runtime.
`docs/integration.md` has what this prints; a test compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec import Struct

from agents.amounts import money
from schemas import events as ev
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

OPENED = date(2026, 1, 5)
ANSWERED = 64
LOOKED_AHEAD = 40


class Answer(Struct, frozen=True):
    """An answer to show: its title, what is said, and anything else that arrives with it."""

    title: str
    said: ev.Answer
    reasons: tuple[ev.AnswerReason, ...] = ()
    more: dict[str, Any] = {}
    report: dict[str, Any] = {}


ANSWERS = (
    Answer("accepted online", "accepted"),
    Answer("accepted on the telephone, no recording", "accepted", more={"channel": "hotline"}),
    Answer("declined: too high", "declined", ("too_high",)),
    Answer("declined: too long", "declined", ("too_long",)),
    Answer("declined: the rate", "declined", ("rate",)),
    Answer("declined: distrust", "declined", ("distrust",)),
    Answer("declined: income has changed", "declined", ("income_change",)),
    Answer(
        "income has changed, and is reported",
        "declined",
        ("income_change",),
        report={"monthly_income": 620_000, "monthly_expenses": 420_000},
    ),
    Answer("declined: a dispute", "declined", ("dispute",)),
    Answer("declined: distress", "declined", ("distress",)),
    Answer("declined, no reason", "declined"),
    Answer("countered with 500.00 a month", "countered", more={"counter_amount": 50_000}),
    Answer("countered with 100.00 a month", "countered", more={"counter_amount": 10_000}),
    Answer("no answer", "no_answer"),
)


def on(day: int, hour: int = 9) -> datetime:
    """Return an instant of a day after the account was opened."""
    moment = OPENED + timedelta(days=day)
    return datetime(moment.year, moment.month, moment.day, hour, tzinfo=UTC)


def _base(name: str, day: int, hour: int = 9) -> dict[str, Any]:
    return {"event_id": name, "occurred_at": on(day, hour), "source": "docs"}


def _opened() -> list[ev.Event]:
    due = [OPENED + timedelta(days=30 * n) for n in range(1, 25)]
    instalments = tuple(
        ev.Instalment(number=n, due_on=d, principal=75_000, interest=20_000, fees=0) for n, d in enumerate(due, 1)
    )
    account = ev.AccountOpened(
        **_base("open", 0),
        account_id="A1",
        borrower_id="B1",
        product="credit_card",
        jurisdiction="CN",
        currency="CNY",
        opened_on=OPENED,
        annual_rate_bps=1_825,
        principal=24 * 75_000,
        instalments=instalments,
    )
    consent = ev.ConsentGranted(**_base("consent", 0), borrower_id="B1", consent_id="c1", purpose="repayment_planning")
    return [account, consent, means_reported("means", 0, monthly_income=800_000, monthly_expenses=420_000)]


def means_reported(name: str, day: int, **means: Any) -> ev.ProfileReported:
    """Return what the borrower says of their means."""
    return ev.ProfileReported(
        **_base(name, day, 8),
        borrower_id="B1",
        kind="interview",
        as_of=OPENED + timedelta(days=day),
        consent_id="c1",
        household_size=2,
        locale="en",
        **means,
    )


def _close(day: int) -> ev.DayClosed:
    return ev.DayClosed(**_base(f"close-{day}", day, 15), business_date=OPENED + timedelta(days=day), calendar="CN")


def before(runtime: LocalRuntime) -> ev.OfferPublished:
    """Let the borrower fall behind; return the offer that they get."""
    said = runtime.feed(_opened())
    for day in range(ANSWERED):
        said += runtime.feed([_close(day)])
    return [e for e in said if isinstance(e, ev.OfferPublished)][-1]


def after(answer: Answer) -> tuple[ev.OfferPublished, list[ev.Event]]:
    """Return the offer, and all that is said of it from the answer on, other than the logs of decisions."""
    with LocalRuntime.open(None, default_book()) as runtime:
        offer = before(runtime)
        option = offer.recommended_option_id if answer.said == "accepted" else None
        fields: dict[str, Any] = {"channel": "online", "option_id": option} | answer.more
        reply = ev.OfferAnswered(
            **_base("answer", ANSWERED, 10),
            feedback_id="f1",
            offer_id=offer.offer_id,
            borrower_id="B1",
            answer=answer.said,
            reasons=answer.reasons,
            **fields,
        )
        events: list[ev.Event] = [reply]
        if answer.report:
            events.append(means_reported("new-means", ANSWERED, **answer.report))
        said = runtime.feed(events)
        for day in range(ANSWERED, ANSWERED + LOOKED_AHEAD):
            said += runtime.feed([_close(day)])
    kinds = (ev.OfferPublished, ev.OfferWithdrawn, ev.OfferExpired, ev.PlanActivated)
    return offer, [e for e in said if isinstance(e, kinds)]


def answers_section() -> str:
    """Return the section."""
    first, _ = after(ANSWERS[0])
    lines = [
        "## Answers: one borrower, each kind",
        "",
        "`python -m tests.evaluation.answers_page` prints this section from the real agents, and a test compares them.",
        "A card of 18,000.00 CNY at 18.25 %, two instalments missed; 8,000.00 of income, 4,200.00 of expenses,",
        f"household of two. The answer is given on {on(ANSWERED).date()}. Amounts are CNY.",
        "",
        "### The offer",
        "",
        *_option_rows(first),
        "",
        "### What follows each answer",
        "",
        "| answer | when | ways to repay (the first is recommended) | text |",
        "|---|---|---|---|",
    ]
    for answer in ANSWERS:
        offer, said = after(answer)
        lines.append(f"| {answer.title} | {_when(said)} | {_next(offer, said)} | {_words(offer, said)} |")
    return "\n".join(lines) + "\n"


def _option_rows(offer: ev.OfferPublished) -> list[str]:
    rows = ["| | months | a month, at most | in all | rate | forgiven | why |", "|---|---:|---:|---:|---:|---:|---|"]
    for number, o in enumerate(offer.options, 1):
        forgiven = o.waived.interest + o.waived.penalty
        rows.append(
            f"| {number}{' (recommended)' if o.option_id == offer.recommended_option_id else ''} | {o.term_months} | "
            f"{money(o.instalment_amount, offer.currency)} | {money(o.total_cost, offer.currency)} | "
            f"{o.annual_rate_bps / 100:.2f} % | "
            f"{money(forgiven, offer.currency)} | {' '.join(o.reasons)} |"
        )
    return rows


Next = ev.OfferPublished | ev.PlanActivated


def _followed(said: Sequence[ev.Event]) -> list[Next]:
    """Return what follows, at most two steps: what is said at once is sometimes only a question."""
    found = [e for e in said if isinstance(e, ev.OfferPublished | ev.PlanActivated)][:2]
    asks = bool(found) and isinstance(found[0], ev.OfferPublished) and not found[0].options
    return found if asks else found[:1]


def _joined(steps: Sequence[str]) -> str:
    return " → ".join(steps) or "-"


def _when(said: Sequence[ev.Event]) -> str:
    return _joined([_day(e) for e in _followed(said)])


def _day(found: Next) -> str:
    day = found.activated_on if isinstance(found, ev.PlanActivated) else found.business_date
    if isinstance(found, ev.OfferPublished) and found.occurred_at.hour == on(0, 15).hour:
        days = (day - on(ANSWERED).date()).days
        return "at the day's close" if days <= 0 else f"after {days} day{'s' if days > 1 else ''}"
    return "at once"


def _next(offer: ev.OfferPublished, said: Sequence[ev.Event]) -> str:
    return _joined([_ways(offer, e) for e in _followed(said)])


def _ways(offer: ev.OfferPublished, found: Next) -> str:
    if isinstance(found, ev.PlanActivated):
        each = money(found.instalments[0].amount if found.instalments else 0, found.currency)
        return f"the plan: {len(found.instalments)} × {each}; collection stops"
    if not found.options:
        return "a person"
    ways = "; ".join(f"{o.term_months} × {money(o.instalment_amount, found.currency)}" for o in found.options)
    same = [o.option_id for o in found.options] == [o.option_id for o in offer.options]
    return ways + (" (the same)" if same else "")


def _words(offer: ev.OfferPublished, said: Sequence[ev.Event]) -> str:
    return _joined([_said_with(offer, e) for e in _followed(said)])


def _said_with(offer: ev.OfferPublished, found: Next) -> str:
    if isinstance(found, ev.PlanActivated):
        return "the agreement, with all its clauses"
    new = [r for r in found.reasons if r not in offer.reasons]
    tone = " (supportive)" if found.tone == "supportive" else ""
    return (" ".join(new) or found.message.partition(" You may find")[0]) + tone


if __name__ == "__main__":
    print(answers_section(), end="")
