"""`reprieve demo`."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Generator
from datetime import date
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from streams.demo.run import Demonstration, days
from streams.demo.screen import accounts_table, frame, numbers_table, offer_table
from streams.demo.story import shortened

START = date(2026, 1, 1)


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
            with Live(frame(shown.tally, shown.rate()), console=console, refresh_per_second=8) as live:
                for number, shown in enumerate(steps, 2):
                    live.update(frame(shown.tally, shown.rate()))
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
    tally = shown.tally
    kinds = tally.kinds
    behind = sum(n for bucket, n in tally.bucket_counts().items() if bucket.startswith("dpd"))
    return (
        f"{tally.day}  {tally.events_in:,} events in, {tally.events_out:,} out; {behind} accounts behind, "
        f"{kinds['BadDebtChanged']} bad-debt changes, {kinds['OfferPublished']} offers, "
        f"{kinds['PlanActivated']} plans, {kinds['PlanInstalmentKept']} plan instalments kept"
    )


def _summary(console: Console, shown: Demonstration) -> None:
    tally = shown.tally
    console.rule(f"After {tally.day}")
    console.print(
        f"{len(tally.buckets):,} accounts, {tally.events_in:,} events in, {tally.events_out:,} out, "
        f"{shown.rate():,.0f} events/s from bytes to durable state",
        highlight=False,
    )
    console.print(accounts_table(tally))
    console.print(numbers_table(tally))
    if tally.last_offer is not None:
        console.print(offer_table(tally.last_offer))
        console.print(tally.last_offer.message, highlight=False)
    best = shown.stories.best()
    if best is None:
        console.print("Nobody has missed an instalment yet; run more days.")
        return
    borrower, lines = best
    table = Table(title=f"One borrower's story: {borrower}", box=None)
    table.add_column("day")
    table.add_column("what happened")
    for day, line in shortened(lines):
        table.add_row(str(day), line)
    console.print(table)
