"""`reprieve simulate`: a borrower population as an event stream."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from schemas.jsonlines import to_line
from simulator import simulate
from simulator.runs import Events
from streams.cli.common import progress
from streams.cli.writing import replacing


@click.command("simulate")
@click.option("--accounts", type=click.IntRange(1), default=1_000, show_default=True, help="Loan accounts.")
@click.option("--days", type=click.IntRange(1, 3650), default=180, show_default=True, help="Business dates.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--events",
    type=click.Choice(["usual", "rich"]),
    default="usual",
    show_default=True,
    help="rich: lenders also correct statements, adjust and revise, refund, sell, reopen and take accounts over.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), required=True, help="- is stdout."
)
def simulate_command(accounts: int, days: int, seed: int, events: Events, output: Path) -> None:
    """Write a seeded borrower population as JSON lines, in the order of arrival, each day's close included.

    Answers are to the offers that Reprieve makes of these very events, so a replay of the file meets them.
    """
    written = 0
    opened = nullcontext(click.get_binary_stream("stdout")) if str(output) == "-" else replacing(output)
    with opened as out, progress("simulating") as bar:
        for event in simulate(accounts=accounts, days=days, seed=seed, events=events):
            out.write(to_line(event))
            written += 1
            bar.advance(bar.task_ids[0])
    click.echo(f"{written} events written to {output}", err=True)
