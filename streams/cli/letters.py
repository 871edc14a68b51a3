"""`reprieve dead-letters`: what was refused, and sending it in again."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from streams.cli.common import data_option, json_option, opened, say_json
from streams.local.letters import Letter, letters, send_again


@click.group("dead-letters")
def dead_letters_group() -> None:
    """Inputs that were refused: kept as they came, with the reason."""


def _chosen(found: list[Letter], code: str | None, name: str | None) -> list[Letter]:
    return [x for x in found if (code is None or x.letter.code == code) and (name is None or x.letter.event_id == name)]


code_option = click.option("--code", default=None, help="Only those of one error code.")
id_option = click.option("--id", "name", default=None, help="Only the one with this event id.")


@dead_letters_group.command("list")
@data_option
@code_option
@id_option
@click.option("--all", "everything", is_flag=True, help="Also those that were sent in again since.")
@json_option
def list_command(data: Path, code: str | None, name: str | None, everything: bool, as_json: bool) -> None:
    """List what was refused and why."""
    with opened(data) as runtime:
        found = _chosen([x for x in letters(runtime) if everything or not x.resolved], code, name)
    if as_json:
        for x in found:
            say_json({"resolved": x.resolved, "letter": x.letter})
        return
    table = Table("id", "from", "code", "why", "sent again")
    for x in found:
        place = f"{x.letter.topic}/{x.letter.offset}"
        table.add_row(x.letter.event_id, place, x.letter.code, x.letter.message, "yes" if x.resolved else "")
    Console().print(table if found else "No dead letters.")


@dead_letters_group.command("replay")
@data_option
@code_option
@id_option
def replay_letters_command(data: Path, code: str | None, name: str | None) -> None:
    """Send what was refused in again, as it came; what is refused anew becomes a new dead letter."""
    with opened(data) as runtime:
        chosen = _chosen([x for x in letters(runtime) if not x.resolved], code, name)
        refused = send_again(runtime, chosen)
    click.echo(f"{len(chosen)} sent in again, {len(chosen) - refused} taken, {refused} refused anew", err=True)
    raise SystemExit(1 if refused else 0)
