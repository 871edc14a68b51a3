"""`reprieve access`: tokens, the keys of sessions, and who may do what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.errors import UsageError
from streams.cli.cluster import config_option, settings_of
from streams.cli.common import json_option, say_json

if TYPE_CHECKING:
    from streams.http.auth.tokens import Tokens

ROLES = ("operator", "hotline", "risk", "auditor")


@click.group("access")
def access_group() -> None:
    """Say who may use the console: tokens, keys of sessions, rights."""


@access_group.command("token")
@config_option
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, required=True, help="May be given again.")
@click.option("--name", required=True, help="Whose it is: a person's or a program's short name.")
@click.option("--days", type=click.IntRange(1, 3_650), help="After which it ends; for good without.")
def token_command(config: Path | None, roles: tuple[str, ...], name: str, days: int | None) -> None:
    """Make a token and print it; only its hash is kept, so nobody can print it again."""
    click.echo(_tokens(config).make(name, roles, days))


@access_group.command("tokens")
@config_option
@json_option
def tokens_command(config: Path | None, as_json: bool) -> None:
    """List tokens by id, name, roles and end."""
    kept = [
        {"id": t.id, "name": t.name, "roles": list(t.roles), "made": _day(t.made), "until": _day(t.until)}
        for t in _tokens(config).all()
    ]
    if as_json:
        say_json(kept)
        return
    for t in kept:
        click.echo(f"{t['id']}  {t['name']:<20} {', '.join(t['roles']):<28} {t['made']} – {t['until'] or 'for good'}")


@access_group.command("revoke")
@click.argument("token_id")
@config_option
def revoke_command(token_id: str, config: Path | None) -> None:
    """Let a token, and every session that it began, hold no more. TOKEN_ID as `tokens` lists it."""
    gone = _tokens(config).revoke(token_id)
    click.echo(f"{gone.name}'s token {gone.id} is revoked.")


@access_group.command("rotate-keys")
@config_option
def rotate_keys_command(config: Path | None) -> None:
    """Close sessions by a new key from now on. Those that are open go on; old keys are dropped once none needs them."""
    from streams.http.auth.cookie_keys import CookieKeys

    access = settings_of(config).access
    kept = CookieKeys(access.keys_file).rotate(access.idle_minutes * 60)
    click.echo(f"{kept} keys are kept; the newest closes.")


@access_group.command("rights")
@json_option
def rights_command(as_json: bool) -> None:
    """Show which role has which right in the console, and what each address asks for."""
    from console.permissions import PERMISSIONS, RIGHTS

    routes = {f"{method} {path}": needed for (method, path), needed in RIGHTS.routes.items()}
    if as_json:
        say_json({"permissions": {name: sorted(roles) for name, roles in PERMISSIONS.items()}, "routes": routes})
        return
    click.echo(f"{'':<16}" + "".join(f"{role:<10}" for role in ROLES))
    for name, roles in PERMISSIONS.items():
        click.echo(f"{name:<16}" + "".join(f"{'yes' if role in roles else '-':<10}" for role in ROLES))
    click.echo()
    for route, needed in routes.items():
        click.echo(f"{route:<45} {needed}")


def _tokens(config: Path | None) -> Tokens:
    from streams.http.auth.tokens import Tokens

    file = settings_of(config).access.tokens_file
    if file is None:
        raise UsageError("There is no file of tokens. Set access.tokens_file (REPRIEVE_ACCESS__TOKENS_FILE).")
    return Tokens(file)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat() if at else ""
