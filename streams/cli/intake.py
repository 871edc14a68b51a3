"""`reprieve intake`: signed events of partners, in over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from streams.cli.cluster import config_option, health_flags, health_port_option, run_on_kafka, settings_of
from streams.cli.common import book_named, policy_option
from streams.shutdown import run_until_signal


@click.command("intake")
@config_option
@click.option(
    "--partners", type=click.Path(path_type=Path, dir_okay=False), help="The partners' file (intake.partners_file)."
)
@click.option("--port", type=click.IntRange(0, 65535), help="Where it listens (intake.port); 0 takes any free port.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="A local runtime's, instead of Kafka.")
@health_port_option
@policy_option
def intake_command(
    config: Path | None,
    partners: Path | None,
    port: int | None,
    data: Path | None,
    health_port: int | None,
    policy: str | None,
) -> None:
    """Take signed events of partners in, over HTTP, until told to stop."""
    from streams.http.intake.server import EventSink, run_intake
    from streams.kafka.event_sink import KafkaSink
    from streams.local.event_sink import LocalSink
    from streams.local.store import book_of
    from streams.logs import set_up_logging
    from streams.partners.partner_registry import read_partners
    from streams.registry import codec_for

    flags: dict[str, Any] = {"partners_file": partners, "port": port}
    flags = {name: value for name, value in flags.items() if value is not None}
    settings = settings_of(config, intake=flags, **health_flags(health_port))
    file = settings.intake.partners_file or settings.webhooks.partners_file
    roster = read_partners(file, "intake.partners_file")
    set_up_logging(settings.worker.log_level, settings.worker.log_format)
    sink: EventSink = (
        KafkaSink(settings, codec_for(settings))
        if data is None
        else LocalSink(data, book_named(policy or book_of(data)))
    )
    sending = sum(partner.sends is not None for partner in roster.values())

    def ready(address: str) -> None:
        click.echo(f"taking events of {sending} sources at {address}/v1/events; Ctrl-C ends it", err=True)

    work = run_intake(settings, roster, sink, ready)
    if data is None:
        run_on_kafka(work, settings, graceful=True)
    else:
        run_until_signal(work, graceful=True)
