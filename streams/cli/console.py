"""`reprieve console`: the page, over a data directory or over Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.cluster import config_option, settings_of
from streams.cli.common import book_named

if TYPE_CHECKING:
    from console.source import Source


@click.command("console")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    envvar="REPRIEVE_DATA",
    show_envvar=True,
    help="The data directory of the local runtime (data unless said); with --kafka, the folder of the console's file.",
)
@click.option("--kafka", is_flag=True, help="Follow a deployment on Kafka.")
@config_option
@click.option("--port", type=click.IntRange(0, 65535), default=8700, show_default=True, help="0 takes any free port.")
def console_command(data: Path | None, kafka: bool, config: Path | None, port: int) -> None:
    """Serve the console on this machine: what goes on, and one account's or borrower's story."""
    # Imported where it is needed: no other command serves pages.
    from console.serving import ServedConsole

    source = _deployment(data, config) if kafka else data or Path("data")
    with ServedConsole(source, port=port) as served:
        click.echo(f"The console is at {served.url}; Ctrl-C ends it.")
        try:
            served.wait()
        except KeyboardInterrupt:
            click.echo("Stopped.")


def _deployment(data: Path | None, config: Path | None) -> Source:
    from console.deployment import KafkaSource
    from streams.kafka.worker import set_up_logging

    settings = settings_of(config)
    set_up_logging(settings)
    return KafkaSource(settings, book_named(settings.worker.policy).name, data)
