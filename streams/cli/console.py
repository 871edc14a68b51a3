"""`reprieve console`: the page, over a data directory or over Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.cluster import config_option, health_flags, health_port_option, settings_of
from streams.cli.common import book_named
from streams.shutdown import exit_after_grace

if TYPE_CHECKING:
    from console.source import Source
    from streams.settings import Settings


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
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes any free port.  [default: console.port, 8700]")
@health_port_option
def console_command(
    data: Path | None, kafka: bool, config: Path | None, port: int | None, health_port: int | None
) -> None:
    """Serve the console: what goes on, and one account's or borrower's story.

    On this machine alone unless `console.host` says otherwise; then `access` must say who may see it.
    """
    # Imported where it is needed: no other command serves pages.
    from console.server import ConsoleServer

    settings = settings_of(config, **health_flags(health_port))
    source = _deployment(data, settings) if kafka else data or Path("data")
    own, chosen = settings.console, settings.console.port if port is None else port
    access, probes, limits = settings.access, settings.health, settings.http
    try:
        with ConsoleServer(
            source, own.host, chosen, access=access, console=own, probes=probes, limits=limits
        ) as served:
            click.echo(f"The console is at {served.url}; Ctrl-C ends it.")
            try:
                served.wait()
            except KeyboardInterrupt:
                # Also where a thread of it waits for a neighbour that hangs.
                exit_after_grace(0)
                click.echo("Stopped.")
    except KeyboardInterrupt:
        raise SystemExit(0) from None


def _deployment(data: Path | None, settings: Settings) -> Source:
    from console.kafka_source import KafkaSource
    from streams.logs import set_up_logging

    set_up_logging(settings.worker.log_level, settings.worker.log_format)
    return KafkaSource(settings, book_named(settings.worker.policy).name, data)
