"""`reprieve replay`: history through the same agents, and what another policy would have made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from agents.amounts import money
from schemas.events import Event
from schemas.jsonlines import read_events, to_line
from state.policy import PolicyBook
from state.policy_packs.book import book_of
from state.policy_packs.loader import DEFAULT_BOOK, is_book
from streams.cli.common import (
    Rejections,
    book_named,
    files_of_change,
    inputs_option,
    is_change,
    json_option,
    progress,
    say_json,
)
from streams.cli.writing import replacing
from streams.local.replay import Difference, Outcome, replay


@click.command("replay")
@inputs_option("JSON lines or an Avro container file; several are read one behind the other.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where outputs go.")
@click.option(
    "--policy",
    metavar="PACK",
    default=None,
    help="A pack (over the default policy, for every account), a book, or a change that `reprieve policy change` "
    "wrote; without it, the default book, by jurisdiction and product.",
)
@click.option(
    "--compare", metavar="PACK", default=None, help="Report what this policy, given as for --policy, changes."
)
@json_option
def replay_command(
    inputs: tuple[Path, ...], output: Path, policy: str | None, compare: str | None, as_json: bool
) -> None:
    """Run events through the agents in one process, and write every output event as a JSON line.

    The same input under the same policy gives the same bytes.
    """
    rejections = Rejections()
    ours, theirs = Outcome(), Outcome()
    first = _book(policy)
    second = _book(compare) if compare else None
    if compare and compare != DEFAULT_BOOK and not is_change(compare) and not is_book(compare):
        click.echo(
            f"{compare} is one pack, and is compared as the policy of every account. To compare it for some accounts, "
            "give what `reprieve policy change` writes for them.",
            err=True,
        )
    with replacing(output, read=(*inputs, policy, compare)) as out, progress("replaying") as bar:

        def write(said: list[Event]) -> None:
            out.writelines(to_line(event) for event in said)
            ours.take(said)

        def counted(events: Iterable[Event]) -> Iterator[Event]:
            for event in events:
                bar.advance(bar.task_ids[0])
                yield event

        read = replay(counted(rejections.events(inputs)), first, write)
    if second is not None:
        with progress(f"replaying under {compare}", read) as bar:
            # The first pass has told of rejected lines.
            again = _quietly(inputs)
            replay(counted(again), second, theirs.take)
        _report(ours.against(theirs, (first.name, second.name)), as_json)
    written = sum(ours.counts.values())
    click.echo(f"{read} events in, {written} out to {output}, {rejections}", err=True)
    raise SystemExit(rejections.exit_code())


def _book(name: str | None) -> PolicyBook:
    """Return the rules of a pack or book by its name or file, or those of a change, from the first day on."""
    if name is None or not is_change(name):
        return book_named(name)
    return book_of(files_of_change(name)).named(Path(name).name)


def _quietly(inputs: tuple[Path, ...]) -> Iterator[Event]:
    for file in inputs:
        for item in read_events(file):
            if isinstance(item, Event):
                yield item


def _report(found: Difference, as_json: bool) -> None:
    if as_json:
        say_json(found)
        return
    ours, theirs = found.policies
    console = Console()
    table = Table("output", ours, theirs, "more or fewer", title="What another policy would have published")
    for name, (one, other) in found.counts.items():
        table.add_row(name, str(one), str(other), f"{other - one:+d}" if one != other else "")
    console.print(table)
    table = Table("what was offered", ours, theirs, title="By the recommended options of offers")
    for currency, both in found.offered.items():
        table.add_row(f"{currency}: offers, with a plan", *(f"{o.offers:,}, {o.with_plan:,}" for o in both))
        for name, what in (("owed", "owed"), ("cost", "cost to borrowers"), ("waived", "waived"), ("value", "value")):
            table.add_row(f"{currency}: {what}", *(money(getattr(o, name), currency) for o in both))
    console.print(table)
    console.print(
        f"{len(found.bad_debts)} accounts end in another bad-debt status, "
        f"{len(found.offers)} borrowers have another last offer."
    )
    for title, rows in (("bad debt", found.bad_debts), ("last offer", found.offers)):
        if rows:
            table = Table(title, ours, theirs, title=f"The first of {len(rows)}" if len(rows) > 20 else None)
            for key, (under_ours, under_theirs) in list(rows.items())[:20]:
                table.add_row(key, under_ours, under_theirs)
            console.print(table)
