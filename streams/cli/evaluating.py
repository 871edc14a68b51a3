"""`reprieve evaluate`: what logged decisions say of the way options were led, and of other ways."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from evaluation.logged import Report, report
from evaluation.page import page
from schemas.errors import Fatal
from streams.cli.common import Rejections, json_option, say_json
from streams.cli.writing import see_apart, write


@click.command("evaluate")
@click.option(
    "--input",
    "inputs",
    metavar="FILE",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="What was said, as `reprieve replay` and `reprieve consume` write it: decisions and evidence.",
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as a page too.")
@json_option
def evaluate_command(inputs: tuple[Path, ...], html: Path | None, as_json: bool) -> None:
    """Judge logged decisions: off-policy estimates with their intervals, acceptance and keeping, calibration."""
    if html is not None:
        see_apart(html, inputs)
    rejections = Rejections()
    try:
        found = report(rejections.events(inputs))
    except ValueError as error:
        raise Fatal(
            f"There is nothing to evaluate: {error}. Give files that hold DecisionLogged and EvidenceGathered, as "
            "`reprieve replay --output` writes them."
        ) from error
    if html is not None:
        write(html, page(found).encode())
        click.echo(f"wrote {html}", err=True)
    if as_json:
        say_json(found)
    else:
        _print(found)
    raise SystemExit(rejections.exit_code())


def _print(found: Report) -> None:
    console = Console()
    console.print(
        f"{found.decisions:,} decisions from {found.first} to {found.last}; of {found.answered:,} it is known what came"
    )
    for note in found.notes:
        console.print(note)
    shares = Table("lead chosen by", "offers", "accepted", "reward", "kept", "missed")
    for s in found.groups:
        shares.add_row(s.name, f"{s.offers:,}", f"{s.accepted:.1%}", f"{s.reward:.3f}", f"{s.kept:,}", f"{s.missed:,}")
    console.print(shares)
    if found.estimates:
        table = Table("had options been led by", "SNIPS", "doubly robust", "effective sample", title="Estimated reward")
        for name, e in found.estimates.items():
            both = (f"{x.value:.3f} ({x.low:.3f} to {x.high:.3f})" for x in (e.snips, e.doubly_robust))
            table.add_row(name, *both, f"{e.effective_sample_size:,.0f}")
        console.print(table)
