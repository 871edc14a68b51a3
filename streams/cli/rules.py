"""`reprieve policy` and `reprieve schemas`: the rules and the contracts, shown and checked."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click

from agents.policies import check_change
from schemas import compatibility
from schemas.errors import BadInput, Fatal, Transient, WrongUse
from schemas.events import Event, PolicyChanged
from schemas.jsonlines import from_line, to_line
from state.pack import book_for, files_of, load_pack, pack_names, pack_to_json, render_pack
from streams.cli.cluster import config_option, settings_of
from streams.cli.common import json_option, say_json
from streams.cli.writing import write


@click.group("policy")
def policy_group() -> None:
    """Show and check policy packs."""


@policy_group.command("show")
@click.argument("pack", required=False)
@json_option
def show_command(pack: str | None, as_json: bool) -> None:
    """Show a policy pack with the source of each rule, or without one the names of all; unverified rules are marked."""
    if pack is None:
        names = pack_names()
        if as_json:
            say_json(names)
        else:
            click.echo("\n".join(names))
        return
    found = load_pack(pack)
    click.echo(pack_to_json(found) if as_json else render_pack(found))


@policy_group.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check_command(file: Path) -> None:
    """Check a policy pack; every problem is named with its line, its field and the remedy."""
    book_for(str(file))
    click.echo(f"{file} is a valid policy pack.")


@policy_group.command("change")
@click.argument("pack")
@click.option(
    "--from",
    "effective_on",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    help="The first business date for which it applies.",
)
@click.option("--id", "change_id", help="Names the change; made of pack and date unless said.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; standard output unless said.")
def change_command(pack: str, effective_on: datetime, change_id: str | None, output: Path | None) -> None:
    """Write a change of policy as an event: PACK, a file or `default`, applies from a business date on.

    The event carries the whole text of the rules. Publish it (`reprieve publish`) before its day is closed.
    """
    day = effective_on.date()
    name = change_id or f"{Path(pack).stem}-{day}"
    change = PolicyChanged(
        event_id=f"policy-{name}",
        occurred_at=datetime.now(UTC),
        source="reprieve.policy",
        change_id=name,
        effective_on=day,
        files=files_of(pack),
    )
    try:
        check_change(change, (), None, 0)
        line = to_line(change)
    except BadInput as bad:
        raise WrongUse(bad.message) from bad
    if output is None:
        click.echo(line, nl=False)
    else:
        write(output, line, read=[pack])


@click.group("schemas")
def schemas_group() -> None:
    """Check and register the contracts."""


@schemas_group.command("check")
@json_option
def check_schemas_command(as_json: bool) -> None:
    """Say what of the contracts would break readers or writers of the last release."""
    problems = compatibility.check_releases()
    if as_json:
        say_json([str(p) for p in problems])
    elif problems:
        click.echo("\n".join(str(p) for p in problems), err=True)
    else:
        click.echo("The contracts are compatible with the last release, both ways.")
    raise SystemExit(1 if problems else 0)


@schemas_group.command("asyncapi")
@click.option("--page", is_flag=True, help="The page for people (Markdown) instead of the document (YAML).")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; standard output unless said.")
def asyncapi_command(page: bool, output: Path | None) -> None:
    """Write the contracts as an AsyncAPI 3.1 document: topics, keys, headers, schemas and examples."""
    from schemas import asyncapi, asyncapi_page

    document = asyncapi.document(version("reprieve"), _examples())
    _say_document(asyncapi_page.page(document) if page else _as_yaml(document), output)


@schemas_group.command("openapi")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; standard output unless said.")
def openapi_command(output: Path | None) -> None:
    """Write what partners send over HTTP and receive as webhooks, as an OpenAPI 3.1 document."""
    from schemas import openapi

    _say_document(_as_yaml(openapi.document(version("reprieve"), _examples())), output)


def _examples() -> dict[str, Event]:
    lines = (Path(compatibility.__file__).parent / "examples.jsonl").read_bytes().splitlines()
    return {type(e).__name__: e for e in map(from_line, lines)}


def _as_yaml(document: object) -> str:
    import yaml

    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _say_document(said: str, output: Path | None) -> None:
    if output is None:
        click.echo(said, nl=False)
    else:
        write(output, said.encode())


@schemas_group.command("register")
@config_option
@json_option
def register_command(config: Path | None, as_json: bool) -> None:
    """Register every contract with the registry of the settings, under the subject of every topic that carries it."""
    from streams.registry import register_all

    settings = settings_of(config)
    if settings.registry.url is None:
        raise WrongUse("There is no registry to register with. Set registry.url (REPRIEVE_REGISTRY__URL).")
    try:
        found = register_all(settings)
    except Transient as error:
        raise Fatal(f"{error} Start it, or set registry.url.") from error
    if as_json:
        say_json([{"subject": subject, "id": schema_id} for subject, schema_id in found])
    else:
        click.echo("\n".join(f"{schema_id:>6}  {subject}" for subject, schema_id in found))
