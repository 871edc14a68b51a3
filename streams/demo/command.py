"""`reprieve demo`: a seeded population on the local runtime, day by day, shown in the terminal and the console."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agents.amounts import priced
from console.overview_projection import OverviewProjection
from schemas import events as ev
from simulator.world import World
from state.policy_packs.loader import default_book
from streams.demo.story import Stories, shortened
from streams.local.runtime import LocalRuntime

START = date(2026, 1, 1)
STYLES = {
    "current": "green",
    "grace": "green",
    "dpd_1_30": "yellow",
    "dpd_31_60": "dark_orange",
    "dpd_61_90": "red",
    "dpd_over_90": "bold red",
}


@dataclass(slots=True)
class Demonstration:
    """A demonstration under way: what it comes to, the stories, the last offer, and the time that processing took."""

    overview: OverviewProjection = field(default_factory=OverviewProjection)
    stories: Stories = field(default_factory=Stories)
    last_offer: ev.OfferPublished | None = None
    seconds: float = 0.0

    def take(self, events: list[ev.Event]) -> None:
        """Take what arrived, or what was published of it."""
        for event in events:
            self.overview.apply(event)
            if isinstance(event, ev.OfferPublished) and event.options:
                self.last_offer = event
        self.stories.take(events)

    def rate(self) -> float:
        """Return the events processed in a second of processing."""
        return self.overview.events_in / self.seconds if self.seconds else 0.0


def days(accounts: int, seed: int, start: date, data: Path) -> Generator[Demonstration, None, None]:
    """Run one business date after the other for ever, over a data directory; yields after each."""
    world = World(accounts=accounts, seed=seed, start=start)
    shown = Demonstration()
    with LocalRuntime.open(data, book=default_book()) as runtime:

        def process(arrived: list[ev.Event]) -> list[ev.Event]:
            began = time.perf_counter()
            published = runtime.feed(arrived)
            shown.seconds += time.perf_counter() - began
            shown.take(arrived)
            shown.take(published)
            return published

        published = process(list(world.opening()))
        today = start
        while True:
            published = process(list(world.day(today, published)))
            yield shown
            today += timedelta(days=1)


@click.command("demo")
@click.option("--days", "count", type=click.IntRange(1, 3650), default=180, show_default=True, help="Days to run.")
@click.option(
    "--history",
    type=click.IntRange(0, 3650),
    default=270,
    show_default=True,
    help="Days that passed before: a lender does not begin with a clean book.",
)
@click.option("--accounts", type=click.IntRange(1, 100_000), default=300, show_default=True, help="Loan accounts.")
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed is another population.")
@click.option("--exit", "leave", is_flag=True, help="Stop after the days and print the summary.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the page; any free one unless said.")
def demo_command(count: int, history: int, accounts: int, seed: int, leave: bool, port: int) -> None:
    """Show the whole loop on this machine alone: payments, missed instalments, bad debts, offers, plans.

    Borrowers are simulated; everything else is what runs in production.
    """
    # Imported where it is needed: no other command serves pages.
    from console.server import ConsoleServer

    console = Console()
    with tempfile.TemporaryDirectory(prefix="reprieve-demo-") as folder:
        run = days(accounts, seed, START, Path(folder))
        with console.status(f"{history} days of {accounts} accounts pass …"):
            for _ in islice(run, history):
                pass
            # One day more, so that there is a data directory to look at whatever the history.
            next(run)
        with ConsoleServer(Path(folder), port=port) as served:
            console.print(f"The page is at {served.url}", highlight=False)
            if sys.stdout.isatty() and not leave:
                show_page(served.url)
            shown = _show(console, run, count, leave)
        run.close()
    _summary(console, shown)


def show_page(url: str) -> None:
    """Open a page in a browser where there is one that has a window; where there is none, its address was printed.

    It is opened beside what goes on in the terminal, and whatever goes wrong with it stops nothing.
    """
    threading.Thread(target=_opened, args=(url,), name="browser", daemon=True).start()


def _opened(url: str) -> bool:
    windows = sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if not windows:
        return False
    try:
        browser = webbrowser.get()
        # Lynx and its like would take the terminal in which the demonstration is shown.
        return type(browser) is not webbrowser.GenericBrowser and browser.open(url)
    except (webbrowser.Error, OSError, ValueError):
        return False


def _show(console: Console, run: Generator[Demonstration, None, None], count: int, leave: bool) -> Demonstration:
    shown = next(run)
    steps = islice(run, count - 1) if leave else run
    try:
        if console.is_terminal:
            with Live(_frame(shown), console=console, refresh_per_second=8) as live:
                for number, shown in enumerate(steps, 2):
                    live.update(_frame(shown))
                    if number >= count:
                        # The show is over; go on at a pace that can be watched.
                        time.sleep(0.25)
        else:
            for number, shown in enumerate(steps, 2):
                if number % 30 == 0:
                    console.print(_line(shown), highlight=False)
    except KeyboardInterrupt:
        console.print("Stopped.")
    return shown


def _line(shown: Demonstration) -> str:
    overview = shown.overview
    kinds = overview.kinds
    behind = sum(n for bucket, n in overview.in_bucket.items() if bucket.startswith("dpd"))
    return (
        f"{overview.day}  {overview.events_in:,} events in, {overview.events_out:,} out; {behind} accounts behind, "
        f"{kinds['BadDebtChanged']} bad-debt changes, {kinds['OfferPublished']} offers, "
        f"{kinds['PlanActivated']} plans, {kinds['PlanInstalmentKept']} plan instalments kept"
    )


def _head(found: dict[str, Any], shown: Demonstration) -> str:
    events = found["events"]
    return (
        f"{found['accounts']:,} accounts, {events['in']:,} events in, {events['out']:,} out, "
        f"{shown.rate():,.0f} events/s from bytes to durable state"
    )


def _frame(shown: Demonstration) -> RenderableType:
    """Return the whole screen."""
    found = shown.overview.overview()
    columns = Table.grid(expand=True, padding=(0, 2))
    columns.add_column(ratio=1)
    columns.add_column(ratio=1)
    columns.add_row(_accounts(found), _numbers(found))
    parts: list[RenderableType] = [Text(f"{found['day'] or ''}   {_head(found, shown)}", style="bold"), columns]
    if shown.last_offer is not None:
        parts.append(offer_table(shown.last_offer))
    news = (f"{item['account'] or item['borrower']}  {item['words']['en']}" for item in found["news"][:12])
    parts.append(Panel("\n".join(news) or "…", title="Latest"))
    return Group(*parts)


def _accounts(found: dict[str, Any]) -> Table:
    """Return how many accounts are in each bucket, with bars."""
    table = Table("bucket", "accounts", "", title="Accounts by days past due", expand=True, box=None)
    table.columns[1].justify = "right"
    table.columns[2].ratio = 1
    for bucket, count in found["buckets"].items():
        bar = "█" * round(30 * count / max(1, found["accounts"]))
        table.add_row(bucket, f"{count:,}", Text(bar, style=STYLES[bucket]))
    return table


def _numbers(found: dict[str, Any]) -> Table:
    """Return the way from a missed payment to cure, bad debts, answers and plans in numbers."""
    table = Table("", "", title="From missed payment to cure", expand=True, box=None)
    table.columns[1].justify = "right"
    groups = (("accounts", "funnel"), ("bad debt", "bad_debt"), ("answers", "answers"), ("plans", "plans"))
    for title, name in groups:
        for what, count in found[name].items():
            table.add_row(f"{title}: {what}", f"{count:,}")
    for currency, amount in found["allowance"].items():
        table.add_row("impairment allowance", priced(amount, currency))
    for code, count in found["dead_letters"].items():
        table.add_row(f"dead letters: {code}", f"{count:,}")
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
            priced(option.instalment_amount, offer.currency),
            f"{option.annual_rate_bps / 100:.2f} %",
            priced(waived, offer.currency) if waived else "–",
            priced(option.total_cost, offer.currency),
            "●" if option.option_id == offer.recommended_option_id else "",
        )
    return table


def _summary(console: Console, shown: Demonstration) -> None:
    found = shown.overview.overview()
    console.rule(f"After {found['day']}")
    console.print(_head(found, shown), highlight=False)
    console.print(_accounts(found))
    console.print(_numbers(found))
    if shown.last_offer is not None:
        console.print(offer_table(shown.last_offer))
        console.print(shown.last_offer.message, highlight=False)
    best = shown.stories.best()
    if best is None:
        console.print("Nobody has missed an instalment yet; run more days.")
        return
    borrower, lines = best
    table = Table("day", "what happened", title=f"One borrower's story: {borrower}", box=None)
    for line in shortened(lines):
        table.add_row(str(line.day), line.text)
    console.print(table)
