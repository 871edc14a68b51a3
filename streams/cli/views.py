"""`reprieve views`: accounts and borrowers in Redis, for operators and for other programs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agents.amounts import money
from schemas.errors import Fatal, WrongUse
from streams.cli.cluster import asked, config_option, health_flags, health_port_option, settings_of
from streams.cli.common import json_option, say_json

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from streams.settings import Settings

T = TypeVar("T")
AGENTS = {"account": "account", "borrower": "planner"}


@click.group("views")
def views_group() -> None:
    """Views of accounts and borrowers in Redis: written from what is committed, never the source of truth."""


@views_group.command("run")
@config_option
@health_port_option
def run_command(config: Path | None, health_port: int | None) -> None:
    """Write what is committed on Kafka to Redis, as it comes."""

    async def run(settings: Settings, redis: Redis) -> None:
        from streams.health import health
        from streams.views.projector import Projector

        projector = Projector(settings, redis)
        async with health(settings.health, projector.standing), projector:
            click.echo(f"writing views to {_address(settings)}; Ctrl-C ends it", err=True)
            await projector.run()

    _on_both(config, run, **health_flags(health_port))


@views_group.command("rebuild")
@config_option
def rebuild_command(config: Path | None) -> None:
    """Make all views anew from Kafka, beside the old ones, and let readers go by them once they are whole."""

    async def run(settings: Settings, redis: Redis) -> int:
        from streams.views.projector import rebuild

        return await rebuild(settings, redis)

    click.echo(f"{_on_both(config, run):,} rows read; the views are made anew")


@views_group.command("show")
@click.argument("what", type=click.Choice(sorted(AGENTS)))
@click.argument("key")
@config_option
@json_option
def show_command(what: str, key: str, config: Path | None, as_json: bool) -> None:
    """Show the view of an account or a borrower."""

    async def run(settings: Settings, redis: Redis) -> dict[str, str] | None:
        from streams.views.reading import Views

        return await Views(redis, settings.redis.prefix).view(AGENTS[what], key)

    found = _on_both(config, run)
    if found is None:
        raise WrongUse(f"There is no view of {what} {key}. Check the id, and that `reprieve views run` is at work.")
    if as_json:
        say_json(found)
    else:
        click.echo("\n".join(f"{name:<20} {value}" for name, value in found.items()))


@views_group.command("worst")
@click.option("--currency", required=True, metavar="CODE", help="Amounts of different currencies cannot be compared.")
@click.option("--count", type=click.IntRange(1, 1_000), default=20, show_default=True)
@config_option
@json_option
def worst_command(currency: str, count: int, config: Path | None, as_json: bool) -> None:
    """List the largest bad debts in a currency."""

    async def run(settings: Settings, redis: Redis) -> list[tuple[str, int]]:
        from streams.views.reading import Views

        return await Views(redis, settings.redis.prefix).highest(f"bad_debts:{currency}", count)

    found = _on_both(config, run)
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

    async def run(settings: Settings, redis: Redis) -> list[tuple[str, int]]:
        from streams.views.reading import Views

        return await Views(redis, settings.redis.prefix).at("expiring", day.toordinal(), day.toordinal())

    borrowers = [borrower for borrower, _ in _on_both(config, run)]
    if as_json:
        say_json(borrowers)
    else:
        click.echo("\n".join(borrowers))


@views_group.command("acl")
@config_option
@json_option
def acl_command(config: Path | None, as_json: bool) -> None:
    """Print what users of Redis need to write and to read views, as ACL SETUSER lines; set the passwords yourself."""
    from streams.views.rights import rules

    found = rules(settings_of(config).redis.prefix)
    if as_json:
        say_json(found)
    else:
        for user, rule in found.items():
            click.echo(f"ACL SETUSER {user} on >PASSWORD {rule}")


def _address(settings: Settings) -> str:
    """Return where Redis is, without a password."""
    from streams.settings_faults import without_password

    return without_password(settings.redis.url or "")


def _on_both(config: Path | None, act: Callable[[Settings, Redis], Awaitable[T]], **flags: Any) -> T:
    """Do something with Redis, and Kafka where it is needed; what goes wrong becomes a sentence."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    settings = settings_of(config, **flags)
    if settings.redis.url is None:
        raise WrongUse("There is no Redis to write views to. Set redis.url (REPRIEVE_REDIS__URL).")

    async def run() -> T:
        async with Redis.from_url(**settings.redis.client_options()) as redis:
            try:
                return await act(settings, redis)
            except RedisError as error:
                raise Fatal(
                    f"Redis at {_address(settings)} does not answer: {error}. Start it, or set redis.url."
                ) from error

    try:
        return asked(run(), settings)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(0) from None
