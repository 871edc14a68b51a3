"""`reprieve audit`: who was shown personal data, and whether that record is whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from schemas import events as ev
from streams.cli.cluster import run_on_kafka, settings_of
from streams.cli.common import Unreadable, json_option, opened, say_json, source_options
from streams.security.audit import PURPOSES, file_records, operator
from streams.security.audit_chain import Head, breaks, heads

purpose_option = click.option(
    "--purpose",
    type=click.Choice(PURPOSES),
    envvar="REPRIEVE_PURPOSE",
    show_envvar=True,
    help="What personal data are looked at for; it goes on record.",
)
actor_option = click.option("--as", "actor", metavar="NAME", default=operator, help="Who looks. [default: you]")


@click.group("audit")
def audit_group() -> None:
    """Who was shown personal data, of whom and what for; and the proofs of erasures."""


@audit_group.command("verify")
@source_options
@click.option(
    "--expect",
    "expected",
    metavar="CHAIN:NUMBER:DIGEST",
    multiple=True,
    help="A head that was noted before: the chain must still have it.",
)
def verify_command(data: Path, kafka: bool, config: Path | None, expected: tuple[str, ...]) -> None:
    """Check every chain, and name the first record of each that was changed, left out or put in."""
    noted = dict(_head(text) for text in expected)
    records = [e for e in _records(data, kafka, config) if isinstance(e, ev.PersonalDataRead)]
    wrong = breaks(records, noted)
    for broken in wrong:
        click.echo(f"{broken.chain} is broken at {broken.number}: {broken.why}.", err=True)
    for chain, head in sorted(heads(records).items()):
        click.echo(f"{chain}:{head.number}:{head.digest}")
    click.echo(f"{len(records)} records, {len(wrong)} broken chains", err=True)
    raise SystemExit(1 if wrong else 0)


@audit_group.command("list")
@source_options
@click.option("--borrower", default=None, help="Only of one borrower.")
@json_option
def list_command(data: Path, kafka: bool, config: Path | None, borrower: str | None, as_json: bool) -> None:
    """List what is on record: who was shown what, and what was erased."""
    found = [e for e in _records(data, kafka, config) if borrower is None or getattr(e, "borrower_id", "") == borrower]
    if as_json:
        for event in found:
            say_json(event)
        return
    table = Table("when", "borrower", "who", "what for", "what")
    for event in found:
        if isinstance(event, ev.PersonalDataRead):
            what = " ".join(event.fields)
            table.add_row(str(event.occurred_at), event.borrower_id, event.actor, event.purpose, what)
        elif isinstance(event, ev.PersonalDataErased):
            what = f"erased: {event.readings} readings, {event.reports} reports, {event.answers} answers"
            table.add_row(str(event.occurred_at), event.borrower_id, event.source, "erasure", what)
    Console().print(table)


def _records(data: Path, kafka: bool, config: Path | None) -> Iterable[ev.Event]:
    if kafka:
        from streams.kafka.publishing import consume
        from streams.registry import codec_for

        settings = settings_of(config)
        unreadable = Unreadable()

        async def run() -> list[ev.Event]:
            found = consume(settings, codec_for(settings), ["audit"], follow=False, skip=unreadable.skip)
            return [event async for event in found]

        records = run_on_kafka(run(), settings)
        unreadable.exit_code()
        return records
    with opened(data) as runtime:
        erased: list[ev.Event] = [event for _, event in runtime.outputs("audit")]
    return [*erased, *file_records(data)]


def _head(text: str) -> tuple[str, Head]:
    chain, number, digest = [*text.rsplit(":", 2), "", ""][:3]
    if not number.isdigit() or len(digest) != 64:
        raise click.UsageError(f"--expect {text} is no head. Give one as `reprieve audit verify` prints it.")
    return chain, Head(int(number), digest)
