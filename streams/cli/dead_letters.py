"""`reprieve dead-letters`: what was refused, and sending it in again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas import events as ev
from schemas.errors import UsageError
from streams.cli.cluster import kafka_settings, run_on_kafka
from streams.cli.common import json_option, opened, say_json, source_options
from streams.engine.dead_letters import QUARANTINED, DeadLetterEntry, can_be_sent_again
from streams.local.dead_letters import read_dead_letters, redrive

if TYPE_CHECKING:
    from streams.settings import Settings

code_option = click.option("--code", default=None, help="Only those of one error code.")
id_option = click.option("--id", "name", default=None, help="Only the one with this event id.")


@click.group("dead-letters")
def dead_letters_group() -> None:
    """Rejected events: stored as they came, with the reason."""


def _wanted(code: str | None, name: str | None) -> Callable[[ev.DeadLetter], bool]:
    return lambda x: (code is None or x.code == code) and (name is None or x.event_id == name)


@dead_letters_group.command("list")
@source_options
@code_option
@id_option
@click.option("--all", "everything", is_flag=True, help="Also those that were replayed since.")
@json_option
def list_command(
    data: Path, kafka: bool, config: Path | None, code: str | None, name: str | None, everything: bool, as_json: bool
) -> None:
    """List rejected events: id, topic and offset, code; and below it the reason and the remedy."""
    wanted = _wanted(code, name)
    with _found(data, kafka_settings(kafka, config)) as found:
        chosen = [x for x in found if (everything or not x.resolved) and wanted(x.letter)]
        if as_json:
            for x in chosen:
                say_json({"resolved": x.resolved, "letter": x.letter})
            return
        for x in chosen:
            # Lines, and no table: ids, places and remedies are whole on a terminal of any width.
            partition = f"{x.letter.partition}/" if kafka else ""
            place = f"{x.letter.topic}/{partition}{x.letter.offset}"
            click.echo(f"{x.letter.event_id}  {place}  {x.letter.code}{'  (sent again)' if x.resolved else ''}")
            click.echo(f"  {x.letter.message}")
    if not chosen:
        click.echo("No dead letters.")


@dead_letters_group.command("replay")
@source_options
@code_option
@id_option
def replay_letters_command(data: Path, kafka: bool, config: Path | None, code: str | None, name: str | None) -> None:
    """Publish rejected events again, as they came; one that is rejected again becomes a new dead letter."""
    if code == QUARANTINED:
        raise UsageError("What is in quarantine goes on by its release: reprieve quarantine release.")
    wanted, settings = _wanted(code, name), kafka_settings(kafka, config)
    if settings is not None:
        from streams.kafka import dead_letters as on_kafka
        from streams.registry import codec_for
        from streams.security.vault_factory import vault_of

        vault = vault_of(settings.privacy)
        sent = run_on_kafka(on_kafka.redrive(settings, codec_for(settings), vault, wanted), settings)
        if not sent.sent and not sent.before:
            _none(code, name)
        click.echo(
            f"{sent.sent} sent in again, {sent.before} had been before; workers take them as they come", err=True
        )
        return
    with opened(data) as runtime:
        found = [x for x in read_dead_letters(runtime) if wanted(x.letter)]
        if not found:
            _none(code, name)
        chosen = [x for x in found if not x.resolved and can_be_sent_again(x.letter)]
        refused = redrive(runtime, chosen)
    before = f", {len(found) - len(chosen)} had been before" if name and len(found) > len(chosen) else ""
    click.echo(f"{len(chosen)} sent in again{before}, {len(chosen) - refused} taken, {refused} refused anew", err=True)
    raise SystemExit(1 if refused else 0)


def _none(code: str | None, name: str | None) -> None:
    """Say that no letter is as it was asked for. Raises UsageError where one was named."""
    of_code = f" of code {code}" if code else ""
    if name is not None:
        raise UsageError(f"There is no dead letter {name}{of_code}. `reprieve dead-letters list --all` names all.")
    if code is not None:
        click.echo(f"There is no dead letter{of_code}; `reprieve dead-letters list` has the codes.", err=True)


@contextmanager
def _found(data: Path, settings: Settings | None) -> Iterator[list[DeadLetterEntry]]:
    """Yield all dead letters of a data directory, or of Kafka where there are settings for it."""
    if settings is None:
        with opened(data) as runtime:
            yield read_dead_letters(runtime)
        return
    from streams.kafka import dead_letters as on_kafka
    from streams.registry import codec_for

    async def read() -> list[DeadLetterEntry]:
        return [x async for x in on_kafka.read_dead_letters(settings, codec_for(settings))]

    yield run_on_kafka(read(), settings)
