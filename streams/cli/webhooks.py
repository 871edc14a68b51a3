"""`reprieve webhooks`: offers and plans out to partners, signed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.errors import RetryableError
from streams.cli.cluster import config_option, health_flags, health_port_option, run_on_kafka, settings_of
from streams.cli.common import json_option, say_json
from streams.shutdown import run_until_signal

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.webhooks.outbox import Outbox

partners_option = click.option(
    "--partners", type=click.Path(path_type=Path, dir_okay=False), help="The partners' file (webhooks.partners_file)."
)


@click.group("webhooks")
def webhooks_group() -> None:
    """Deliver offers and plans to partners, each as far as the borrower consents."""


@webhooks_group.command("run")
@config_option
@partners_option
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="A local runtime's, instead of Kafka.")
@health_port_option
@click.option("--skip-lost", is_flag=True, help="Go on where records are gone before they were read.")
def run_command(
    config: Path | None, partners: Path | None, data: Path | None, health_port: int | None, skip_lost: bool
) -> None:
    """Deliver what is committed, as it comes, until told to stop."""
    from streams.logs import set_up_logging
    from streams.partners.partner_registry import read_partners
    from streams.webhooks.service import run_webhooks

    settings = _settings(config, partners, **health_flags(health_port))
    roster = read_partners(settings.webhooks.partners_file, "webhooks.partners_file")
    set_up_logging(settings.worker.log_level, settings.worker.log_format)
    receiving = sum(partner.receives is not None for partner in roster.values())
    click.echo(f"delivering to {receiving} partners; Ctrl-C ends it", err=True)
    work = run_webhooks(settings, roster, data=data, skip_lost=skip_lost)
    try:
        if data is None:
            run_on_kafka(work, settings)
        else:
            run_until_signal(work)
    except KeyboardInterrupt:
        # Told to end, which is what was asked for.
        return


@webhooks_group.command("check")
@config_option
@partners_option
@json_option
def check_command(config: Path | None, partners: Path | None, as_json: bool) -> None:
    """Check the partners' file and that every secret can be had; say who gets what on which ground."""
    from streams.partners.partner_registry import read_partners
    from streams.partners.secrets import Keyring

    settings = _settings(config, partners)
    roster = read_partners(settings.webhooks.partners_file, "webhooks.partners_file")
    missing = []
    for partner in roster.values():
        for part in (partner.receives, partner.sends):
            try:
                _ = None if part is None else Keyring(part.secrets).keys()
            except RetryableError as error:
                missing.append(f"{partner.id}: {error}")
    if as_json:
        say_json({"partners": [_described(partner) for partner in roster.values()], "problems": missing})
    else:
        for partner in roster.values():
            for name, value in _described(partner).items():
                click.echo(f"{name:<10} {value}")
            click.echo()
        click.echo("\n".join(missing), err=True, nl=bool(missing))
    raise SystemExit(1 if missing else 0)


@webhooks_group.command("list")
@config_option
@click.option("--partner", metavar="ID", help="Of one partner.")
@click.option(
    "--state",
    "states",
    type=click.Choice(("pending", "delivered", "parked", "withheld")),
    multiple=True,
    default=("pending", "parked"),
    show_default=True,
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@json_option
def list_command(config: Path | None, partner: str | None, states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List deliveries: what waits, what was given up and why. No borrower is named."""
    with _outbox(settings_of(config)) as outbox:
        found, gone = outbox.listed(partner, states, limit), outbox.all_gone()
    rows = [
        {
            "partner": one.partner,
            "event_id": one.event_id,
            "type": one.type,
            "state": one.state,
            "attempts": one.attempts,
            "queued": _instant(one.queued),
            "next": _instant(one.next) if one.state == "pending" else None,
            "why": one.why,
        }
        for one in found
    ]
    if as_json:
        say_json({"gone": {name: _instant(at) for name, at in gone.items()}, "deliveries": rows})
        return
    for name, at in gone.items():
        click.echo(f"{name} is gone since {_instant(at)}; `reprieve webhooks resend --partner {name}` tries it again")
    for row in rows:
        click.echo(
            f"{row['partner']:<20} {row['event_id']}  {row['type']:<22} {row['state']:<9} "
            f"{row['attempts']:>3} attempts  {row['why']}"
        )


@webhooks_group.command("resend")
@click.argument("event_ids", nargs=-1, metavar="[EVENT_ID…]")
@config_option
@click.option("--partner", metavar="ID", help="To one partner.")
@click.option("--all", "every", is_flag=True, help="All that is parked, of all partners.")
def resend_command(event_ids: tuple[str, ...], config: Path | None, partner: str | None, every: bool) -> None:
    """Send parked deliveries again: by event, by partner, or all. A partner that was gone is tried again."""
    if not (event_ids or partner or every):
        raise click.UsageError("Say what to send again: event ids, --partner or --all.")
    with _outbox(settings_of(config)) as outbox:
        count = outbox.resend(partner, event_ids, int(time.time() * 1000))
    click.echo(f"{count} deliveries are pending again; `reprieve webhooks run` sends them")


@contextmanager
def _outbox(settings: Settings) -> Iterator[Outbox]:
    """Open the outbox beside the process that delivers."""
    from streams.webhooks.outbox import Outbox

    outbox = Outbox(settings.webhooks.data_dir, owned=False)
    try:
        yield outbox
    finally:
        outbox.close()


def _settings(config: Path | None, partners: Path | None, **flags: Any) -> Settings:
    named = {} if partners is None else {"webhooks": {"partners_file": partners}}
    return settings_of(config, **named, **flags)


def _described(partner: Any) -> dict[str, str]:
    said = {"partner": partner.id}
    if partner.receives is not None:
        part = partner.receives
        basis = f"with consent for {part.purpose}" if part.consent == "needed" else f"as processor: {part.ground}"
        said |= {"receives": ", ".join(part.events), "at": part.url, "basis": basis}
    if partner.sends is not None:
        said["sends"] = "; ".join(
            name + "".join(f" ({field}: {', '.join(values)})" for field, values in limits.items())
            for name, limits in partner.sends.records.items()
        )
    return said


def _instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
