"""`reprieve views`: accounts and borrowers in Redis, for operators and for other programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import json

from agents.amounts import money
from schemas.errors import FatalError, UsageError
from streams.cli.cluster import config_option, health_flags, health_port_option, run_on_kafka, settings_of
from streams.cli.common import json_option, say_json

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from streams.settings import Settings
    from streams.views.view import Views

T = TypeVar("T")
AGENTS = {"account": "account", "borrower": "planner"}
# Fields of views that hold days (proleptic ordinals).
DAYS = frozenset({"as_of", "through", "overdue_since", "bad_debt_on", "paused_until"})


@click.group("views")
def views_group() -> None:
    """Views of accounts and borrowers in Redis: written from what is committed, never the source of truth."""


@views_group.command("run")
@config_option
@health_port_option
def run_command(config: Path | None, health_port: int | None) -> None:
    """Write what is committed on Kafka to Redis, as it comes."""
    from streams.http.health import health
    from streams.logs import set_up_logging
    from streams.views.projector import Projector

    async def run(settings: Settings, redis: Redis) -> None:
        set_up_logging(settings.worker.log_level, settings.worker.log_format)
        projector = Projector(settings, redis)
        async with health(settings.health, projector.health_status), projector:
            click.echo(f"writing views to {_address(settings)}; Ctrl-C ends it", err=True)
            await projector.run()

    _with_redis(config, run, **health_flags(health_port))


@views_group.command("rebuild")
@config_option
def rebuild_command(config: Path | None) -> None:
    """Make all views anew from Kafka, beside the old ones, and let readers go by them once they are whole."""
    from streams.views.rebuilding import rebuild

    click.echo(f"{_with_redis(config, rebuild):,} rows read; the views are made anew")


@views_group.command("show")
@click.argument("what", type=click.Choice(sorted(AGENTS)))
@click.argument("key")
@config_option
@json_option
def show_command(what: str, key: str, config: Path | None, as_json: bool) -> None:
    """Show the view of an account or a borrower."""
    found = _read(config, lambda views: views.view(AGENTS[what], key))
    if found is None:
        raise UsageError(f"There is no view of {what} {key}. Check the id, and that `reprieve views run` is at work.")
    readable = with_dates(found)
    if as_json:
        say_json(readable)
    else:
        click.echo("\n".join(f"{name:<20} {value}" for name, value in readable.items()))


def with_dates(view: dict[str, str]) -> dict[str, str]:
    """Return a view with its days as ISO dates, empty for none."""
    shown = {name: _date(value) if name in DAYS else value for name, value in view.items()}
    if shown.get("open_offer"):
        offer = json.decode(shown["open_offer"], type=dict[str, Any])
        offer |= {name: _date(str(offer[name])) for name in ("published", "expires") if name in offer}
        shown["open_offer"] = json.encode(offer).decode()
    return shown


def _date(ordinal: str) -> str:
    return date.fromordinal(int(ordinal)).isoformat() if ordinal not in ("", "0") else ""


@views_group.command("worst")
@click.option("--currency", required=True, metavar="CODE", help="Amounts of different currencies cannot be compared.")
@click.option("--count", type=click.IntRange(1, 1_000), default=20, show_default=True)
@config_option
@json_option
def worst_command(currency: str, count: int, config: Path | None, as_json: bool) -> None:
    """List the largest bad debts in a currency."""
    found = _read(config, lambda views: views.worst(currency, count))
    if as_json:
        say_json([{"account": account, "outstanding": owed} for account, owed in found])
    else:
        click.echo("\n".join(f"{account:<40} {money(owed, currency):>16} {currency}" for account, owed in found))


@views_group.command("expiring")
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="A business date.")
@config_option
@json_option
def expiring_command(day: date, config: Path | None, as_json: bool) -> None:
    """List the borrowers whose open offer ends on a day."""
    found = _read(config, lambda views: views.at("expiring", day.toordinal(), day.toordinal()))
    borrowers = [borrower for borrower, _ in found]
    if as_json:
        say_json(borrowers)
    else:
        click.echo("\n".join(borrowers))


@views_group.command("acl")
@config_option
@json_option
def acl_command(config: Path | None, as_json: bool) -> None:
    """Print what users of Redis need to write and to read views, as ACL SETUSER lines; set the passwords yourself."""
    from streams.views.keys import acl_rules

    found = acl_rules(settings_of(config).redis.prefix)
    if as_json:
        say_json(found)
    else:
        for user, rule in found.items():
            click.echo(f"ACL SETUSER {user} on >PASSWORD {rule}")


def _address(settings: Settings) -> str:
    """Return where Redis is, without a password."""
    from streams.settings import without_password

    return without_password(settings.redis.url or "")


def _read(config: Path | None, read: Callable[[Views], Awaitable[T]]) -> T:
    """Read views."""
    from streams.views.view import Views

    return _with_redis(config, lambda settings, redis: read(Views(redis, settings.redis.prefix)))


def _with_redis(config: Path | None, act: Callable[[Settings, Redis], Awaitable[T]], **flags: Any) -> T:
    """Do something with Redis, and Kafka where it is needed; what goes wrong becomes a sentence."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    settings = settings_of(config, **flags)
    if settings.redis.url is None:
        raise UsageError("There is no Redis to write views to. Set redis.url (REPRIEVE_REDIS__URL).")

    async def run() -> T:
        async with Redis.from_url(**settings.redis.client_options()) as redis:
            try:
                return await act(settings, redis)
            except RedisError as error:
                raise FatalError(
                    f"Redis at {_address(settings)} does not answer: {error}. Start it, or set redis.url."
                ) from error

    try:
        return run_on_kafka(run(), settings)
    except KeyboardInterrupt:
        raise SystemExit(0) from None
