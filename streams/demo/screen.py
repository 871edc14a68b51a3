"""What a demonstration shows in the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas import events as ev
from streams.demo.story import money
from streams.demo.tally import Tally

STYLES = {
    "current": "green",
    "grace": "green",
    "dpd_1_30": "yellow",
    "dpd_31_60": "dark_orange",
    "dpd_61_90": "red",
    "dpd_over_90": "bold red",
}


def accounts_table(tally: Tally) -> Table:
    """Return how many accounts are in each bucket, with bars."""
    table = Table(title="Accounts by days past due", expand=True, box=None)
    table.add_column("bucket")
    table.add_column("accounts", justify="right")
    table.add_column("", ratio=1)
    total = max(1, len(tally.buckets))
    for bucket, count in tally.bucket_counts().items():
        bar = "█" * round(30 * count / total)
        table.add_row(bucket, f"{count:,}", Text(bar, style=STYLES[bucket]))
    return table


def numbers_table(tally: Tally) -> Table:
    """Return bad debts, offers, answers and plans in numbers."""
    table = Table(title="From missed payment to cure", expand=True, box=None)
    table.add_column("")
    table.add_column("", justify="right")
    kinds = tally.kinds
    table.add_row("instalments missed", f"{kinds['InstalmentMissed']:,}")
    for status, count in tally.bad_debt_counts().items():
        table.add_row(f"bad debt: {status}", f"{count:,}")
    for kind, count in sorted(tally.offer_kinds.items()):
        table.add_row(f"offers: {kind}", f"{count:,}")
    for answer, count in sorted(tally.answers.items()):
        table.add_row(f"answers: {answer}", f"{count:,}")
    table.add_row("plans activated", f"{kinds['PlanActivated']:,}")
    table.add_row("plan instalments kept", f"{kinds['PlanInstalmentKept']:,}")
    table.add_row("plan instalments missed", f"{kinds['PlanInstalmentMissed']:,}")
    table.add_row("plans broken", f"{kinds['PlanBroken']:,}")
    table.add_row("plans completed", f"{kinds['PlanCompleted']:,}")
    for currency, amount in sorted(tally.allowance().items()):
        table.add_row("impairment allowance", money(amount, currency))
    if kinds["DeadLetter"]:
        table.add_row("dead letters", f"{kinds['DeadLetter']:,}")
    return table


def offer_table(offer: ev.OfferPublished) -> Table:
    """Return the options of an offer side by side."""
    title = f"Offer to {offer.borrower_id} ({offer.tone}), open until {offer.expires_on}; ● is recommended"
    table = Table(title=title, expand=True)
    for column in ("option", "term", "a month", "rate", "waived", "total", ""):
        table.add_column(column, justify="left" if column == "option" else "right", overflow="fold")
    for option in offer.options:
        waived = option.waived.penalty + option.waived.interest + option.waived.fees + option.waived.principal
        table.add_row(
            option.label,
            f"{option.term_months} m",
            money(option.instalment_amount, offer.currency),
            f"{option.annual_rate_bps / 100:.2f} %",
            money(waived, offer.currency) if waived else "–",
            money(option.total_cost, offer.currency),
            "●" if option.option_id == offer.recommended_option_id else "",
        )
    return table


def news(event: ev.Event) -> str:
    """Return one line about an event."""
    match event:
        case ev.BadDebtChanged():
            return f"{event.account_id} bad debt {event.from_} -> {event.to} ({event.days_past_due} days past due)"
        case ev.OfferPublished():
            return f"{event.borrower_id} is offered {len(event.options)} options ({event.kind})"
        case ev.OfferAnswered():
            return f"{event.borrower_id} answers {event.answer} {' '.join(event.reasons)}"
        case ev.PlanActivated():
            return f"{event.account_id} plan of {len(event.instalments)} instalments active"
        case ev.PlanBroken():
            return f"{event.account_id} plan broken after {event.kept} kept instalments"
        case ev.PlanCompleted():
            return f"{event.account_id} plan completed"
    return type(event).__name__


def frame(tally: Tally, events_a_second: float) -> RenderableType:
    """Return the whole screen."""
    head = Text(
        f"{tally.day or ''}   {len(tally.buckets):,} accounts   {tally.events_in:,} events in, "
        f"{tally.events_out:,} out   {events_a_second:,.0f} events/s",
        style="bold",
    )
    columns = Table.grid(expand=True, padding=(0, 2))
    columns.add_column(ratio=1)
    columns.add_column(ratio=1)
    columns.add_row(accounts_table(tally), numbers_table(tally))
    parts: list[RenderableType] = [head, columns]
    if tally.last_offer is not None:
        parts.append(offer_table(tally.last_offer))
    parts.append(Panel("\n".join(news(e) for e in tally.latest) or "…", title="Latest"))
    return Group(*parts)
