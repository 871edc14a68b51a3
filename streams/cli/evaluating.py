"""`reprieve evaluate`: what logged decisions say of the way options were recommended, and of other ways."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from evaluation.drift import MODERATE
from evaluation.joined import Ages
from evaluation.logged import Report, report
from evaluation.page import figure, page, percent
from schemas.errors import FatalError
from streams.cli.common import Rejections, book_named, inputs_option, json_option, policy_option, say_json
from streams.cli.writing import see_apart, write


@click.command("evaluate")
@inputs_option(
    "What was said, as `reprieve replay` and `reprieve consume` write it: decisions, evidence and offers, and workout "
    "requests for whom they are."
)
@policy_option
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as a page too.")
@json_option
def evaluate_command(inputs: tuple[Path, ...], policy: str | None, html: Path | None, as_json: bool) -> None:
    """Judge logged decisions: off-policy estimates, acceptance and keeping, calibration, drift, groups.

    Rewards and keeping are reported of offers that are mature by the policy alone.
    """
    if html is not None:
        see_apart(html, [*inputs, *([policy] if policy else [])])
    rejections = Rejections()
    # As planners and the learner do, which share one maturity for all that they watch.
    rules = book_named(policy).policy_for("", "")
    try:
        found = report(rejections.events(inputs), Ages(rules.learning.maturity_days, rules.offers.open_days))
    except ValueError as error:
        raise FatalError(
            f"There is nothing to evaluate: {error}. Give files that hold DecisionLogged and OfferOutcomeReported, as "
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
        f"{found.decisions:,} decisions from {found.first} to {found.last}; {found.answered:,} offers answered, "
        f"{found.mature:,} of them mature ({found.maturity_days} days)"
    )
    for note in found.notes:
        console.print(note)
    shares = Table("recommended by", "answered", "accepted", "mature", "reward", "plans", "plans kept")
    for s in found.groups:
        mature = f"{s.mature:,}", figure(s.reward), f"{s.plans:,}", percent(s.plans_kept)
        shares.add_row(s.name, f"{s.offers:,}", percent(s.accepted), *mature)
    console.print(shares)
    if found.estimates:
        table = Table("if recommended by", "SNIPS", "doubly robust", "effective sample", title="Estimated reward")
        for name, e in found.estimates.items():
            both = (f"{x.value:.3f} ({x.low:.3f} to {x.high:.3f})" for x in (e.snips, e.doubly_robust))
            table.add_row(name, *both, f"{e.effective_sample_size:,.1f}")
        console.print(table)
    for what, calibrated in (("acceptance", found.acceptance), ("keeping", found.keeping)):
        if calibrated is not None:
            b = calibrated.overall
            console.print(
                f"{what}: {percent(b.predicted)} predicted, {percent(b.observed)} observed, of {b.offers:,}; "
                f"expected calibration error {calibrated.expected_error:.3f}"
            )
    for stability in found.drift:
        for month, shift in stability.months.items():
            if shift.psi is not None and shift.psi >= MODERATE:
                console.print(f"{shift.reading} shift of {stability.name} in {month}: PSI {shift.psi:.3f}")
    for what, groups in (("acceptance", found.acceptance_parity), ("keeping", found.keeping_parity)):
        for g in groups:
            if g.ratio is not None and g.reading == "look here":
                console.print(
                    f"look here: {what} of {g.attribute} {g.name} is {g.ratio.value:.2f} of the highest group's "
                    f"({g.ratio.low:.2f} to {g.ratio.high:.2f}, {g.offers:,} offers)"
                )
