"""`reprieve quarantine`: accounts and borrowers on which an agent failed, and letting them go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click
from rich.console import Console
from rich.table import Table

from schemas import events as ev
from schemas.errors import FatalError, UsageError
from streams.cli.cluster import kafka_settings, run_on_kafka
from streams.cli.common import json_option, opened, say_json, source_options
from streams.engine.agents import all_agents
from streams.engine.quarantine import Held, HeldItem, held_in, items_of, place_of
from streams.security.audit import operator

if TYPE_CHECKING:
    from streams.settings import Settings

# The rows of one partition's quarantine, by number.
Rows = Sequence[tuple[int, bytes]]

agent_option = click.option("--agent", default=None, help="Only the keys of one agent.")


@click.group("quarantine")
def quarantine_group() -> None:
    """Accounts and borrowers on which an agent failed: what they wait for, and letting them go on."""


@quarantine_group.command("list")
@source_options
@json_option
def list_command(data: Path, kafka: bool, config: Path | None, as_json: bool) -> None:
    """List the keys in quarantine, since which record, why, and what waits."""
    found = [held for rows in _rows(data, kafka_settings(kafka, config)) for held in held_in(rows).values()]
    if as_json:
        for held in found:
            say_json(_shown(held))
        return
    for held in found:
        # Lines, and no table: places are whole on a terminal of any width.
        shown = _shown(held)
        click.echo("{agent} {key}: {error}".format(**shown))
        click.echo("  failed at {place}, since {since}; waiting: {records} records, {days} closes".format(**shown))
    if not found:
        click.echo("No key is in quarantine.")


@quarantine_group.command("show")
@click.argument("key")
@source_options
@agent_option
@json_option
def show_command(key: str, data: Path, kafka: bool, config: Path | None, agent: str | None, as_json: bool) -> None:
    """Show a key in quarantine, and the records and closes that wait, in order."""
    shown = False
    for rows in _rows(data, kafka_settings(kafka, config)):
        for held in _chosen(held_in(rows).values(), key, agent):
            shown = True
            items = [_item(item) for item in items_of(rows, held)]
            if as_json:
                say_json(_shown(held) | {"items": items})
                continue
            table = Table("record", "the day closed before it", title=f"{held.row.agent} {key}: {held.row.error}")
            for item in items:
                table.add_row(item["what"], item["closed_through"] or "none")
            Console().print(table)
    if not shown:
        raise _none(key)


@quarantine_group.command("release")
@click.argument("key", required=False)
@source_options
@agent_option
@click.option("--all", "everything", is_flag=True, help="All keys that are in quarantine.")
@click.option("--as", "actor", metavar="NAME", default=operator, help="Who releases. [default: you]")
@click.option("--reason", default=None, help="What was mended, for the record.")
def release_command(
    key: str | None,
    data: Path,
    kafka: bool,
    config: Path | None,
    agent: str | None,
    everything: bool,
    actor: str,
    reason: str | None,
) -> None:
    """Process what waits for a key, as it would have been when it came; run it once the fault is mended.

    A key on which the agent fails again stays in quarantine, and nothing of the attempt is kept. That it was released,
    by whom and why, is a record of the topic `clock`.
    """
    if (key is None) != everything:
        raise click.UsageError("Name a key, or release all with --all.")
    settings = kafka_settings(kafka, config)
    found = [held for rows in _rows(data, settings) for held in held_in(rows).values()]
    chosen = _chosen(found, key, agent)
    if not chosen:
        if key is not None:
            raise _none(key)
        click.echo("No key is in quarantine.", err=True)
        return
    now = datetime.now(UTC)
    events = [
        ev.QuarantineReleased(
            event_id=str(uuid4()),
            occurred_at=now,
            source="reprieve.cli",
            agent=held.row.agent,
            key=held.row.key,
            actor=actor,
            reason=reason,
        )
        for held in chosen
    ]
    if settings is not None:
        from streams.kafka.publishing import publish
        from streams.registry import codec_for

        run_on_kafka(publish(settings, codec_for(settings), events), settings)
        click.echo(
            f"{len(events)} released; workers take them as they come. `reprieve quarantine list --kafka` names those "
            "that failed again.",
            err=True,
        )
        return
    with opened(data) as runtime:
        runtime.feed(events)
        left = [held for held in chosen if (held.row.agent, held.row.key) in runtime.quarantined]
    click.echo(f"{len(chosen) - len(left)} released, {len(left)} failed again", err=True)
    if left:
        names = ", ".join(held.row.key for held in left)
        raise FatalError(f"The fault is not mended for {names}: `reprieve quarantine list` says where it is.")


def _chosen(found: Iterable[Held], key: str | None, agent: str | None) -> list[Held]:
    return [held for held in found if key in (None, held.row.key) and agent in (None, held.row.agent)]


def _none(key: str) -> UsageError:
    return UsageError(f"{key} is in no quarantine. `reprieve quarantine list` names all that are.")


def _shown(held: Held) -> dict[str, object]:
    row = held.row
    return {
        "agent": row.agent,
        "key": row.key,
        "place": row.place,
        "since": datetime.fromtimestamp(row.since / 1000, UTC).isoformat(timespec="seconds"),
        "error": row.error,
        "records": held.records,
        "days": held.closes,
    }


def _item(item: HeldItem) -> dict[str, str | None]:
    """Return what waits, without what is in it: that may be personal."""
    through = None if item.closed_through is None else date.fromordinal(item.closed_through).isoformat()
    what = place_of(item.record) if item.day is None else f"close of {date.fromordinal(item.day)}"
    return {"what": what, "closed_through": through}


def _rows(data: Path, settings: Settings | None) -> Sequence[Rows]:
    """Return the rows of the quarantine of each partition."""
    if settings is None:
        with opened(data) as runtime:
            return [runtime.quarantine_rows()]
    return run_on_kafka(rows_on_kafka(settings), settings)


async def rows_on_kafka(settings: Settings) -> Sequence[Rows]:
    """Return the rows of the quarantine by partition, each with its number, the lowest first."""
    from streams.kafka.changelog_format import QUARANTINE
    from streams.kafka.committed_reader import read_committed

    found: dict[int, dict[int, bytes]] = {}
    # What belongs to a task stands in the changelog of its first agent.
    async with aclosing(read_committed(settings, [f"{all_agents()[0][0].name}-changelog"])) as records:
        async for record in records:
            if record.key[:1] == QUARANTINE:
                number = int.from_bytes(record.key[1:], "big")
                if record.value is None:
                    found.get(record.partition, {}).pop(number, None)
                else:
                    found.setdefault(record.partition, {})[number] = record.value
    return [sorted(rows.items()) for _, rows in sorted(found.items())]
