"""`reprieve policy` and `reprieve schemas`: the rules and the contracts, shown and checked."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
import yaml
from msgspec import json

from agents.policies import check_change
from console.rulebook import changed_rules
from schemas import compatibility
from schemas.errors import FatalError, InvalidEventError, RetryableError, UsageError
from schemas.events import Event, PolicyChanged
from schemas.jsonlines import from_line, to_line
from state.policy_packs.book import ANY, Book
from state.policy_packs.loader import (
    DEFAULT_BOOK,
    book_for,
    files_of,
    is_book,
    load_pack,
    load_packs,
    pack_names,
    packs_of,
    scoped_files,
)
from state.policy_packs.merge import provenance
from state.policy_packs.report import pack_to_json, render_book, render_pack, render_policy
from streams.cli.cluster import config_option, settings_of
from streams.cli.common import files_of_change, is_change, json_option, say_json
from streams.cli.writing import write


@click.group("policy")
def policy_group() -> None:
    """Show and check policy packs."""


jurisdiction_option = click.option(
    "--jurisdiction",
    "jurisdictions",
    metavar="CODE",
    multiple=True,
    help="A place, as accounts name it; EU has members.",
)
product_option = click.option("--product", "products", metavar="NAME", multiple=True, help="A product of the book.")


@policy_group.command("show")
@click.argument("pack", required=False)
@click.option("--jurisdiction", metavar="CODE", help="Show the rules of accounts of this place, under the book PACK.")
@click.option("--product", metavar="NAME", default="", help="… and of this product.")
@json_option
def show_command(pack: str | None, jurisdiction: str | None, product: str, as_json: bool) -> None:
    """Show a policy pack or book with the source of each rule; unverified rules are marked.

    Without PACK, show the names of all packs. With --jurisdiction, show what accounts of a place go by, and whether a
    row of the book names it or the one for everywhere stands in.
    """
    if jurisdiction is not None:
        _show_accounts(pack or DEFAULT_BOOK, jurisdiction, product, as_json)
    elif pack is None:
        names = pack_names()
        if as_json:
            say_json(names)
        else:
            click.echo("\n".join(names))
    elif pack == DEFAULT_BOOK or is_book(pack):
        book, packs = packs_of(files_of(pack))
        if as_json:
            say_json(book)
        else:
            click.echo(render_book(book, packs))
    else:
        found = load_pack(pack)
        click.echo(pack_to_json(found) if as_json else render_pack(found))


def _show_accounts(name: str, jurisdiction: str, product: str, as_json: bool) -> None:
    book, packs = packs_of(files_of(name))
    _refuse_unknown(book, (jurisdiction,), (product,) if product else ())
    stack = [packs[each] for each in book.packs_for(jurisdiction, product or ANY)]
    by_default = book.is_by_default(jurisdiction, product or ANY)
    if as_json:
        say_json({"by_default": by_default, "rules": provenance(stack), "manual": {p.name: p.manual for p in stack}})
        return
    if by_default:
        click.echo(f"No row of the book {book.name} names {jurisdiction}: the row for every other place stands in.\n")
    click.echo(render_policy(stack))


@policy_group.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check_command(file: Path) -> None:
    """Check a policy pack or book; every problem is named with its line, its field and the remedy."""
    found = book_for(str(file))
    if not is_book(str(file)):
        click.echo(f"{file} is a valid policy pack.")
        return
    click.echo(f"{file} is a valid policy book.")
    assert found.files is not None
    book, _ = packs_of(found.files)
    if not book.products or ANY in book.products:
        click.echo("It takes accounts of any product, also of a misspelt one; list those that you have in `products`.")


@policy_group.command("change")
@click.argument("pack")
@click.option(
    "--from",
    "effective_on",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    help="The first business date for which it applies.",
)
@jurisdiction_option
@product_option
@click.option(
    "--over",
    metavar="BOOK",
    default=DEFAULT_BOOK,
    show_default=True,
    help="The book over which PACK is laid for --jurisdiction and --product, and with which the change is compared; "
    "a file that this command wrote is one too.",
)
@click.option("--all-accounts", is_flag=True, help="PACK counts for every account, beside its other packs.")
@click.option(
    "--everywhere", is_flag=True, help="PACK and the default policy are all the rules there are, for every account."
)
@click.option("--id", "change_id", help="Names the change; made of pack and date unless said.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; standard output unless said.")
def change_command(
    pack: str,
    effective_on: datetime,
    jurisdictions: tuple[str, ...],
    products: tuple[str, ...],
    over: str,
    all_accounts: bool,
    everywhere: bool,
    change_id: str | None,
    output: Path | None,
) -> None:
    """Write a change of policy as an event: PACK applies from a business date on.

    PACK is a book (`default`, or a file that begins with `book:`), which takes the place of the rules in force; or a
    pack, which with --jurisdiction, --product or --all-accounts is laid over the packs of a book. The event
    carries the whole text of the rules, which are all that counts from its date on: lay a second change over the first
    (--over). The rules that differ are listed on standard error. Before you publish it (`reprieve publish`), see what
    it would have changed in a history: `reprieve replay --compare`. It must come before its day is closed.
    """
    day = effective_on.date()
    files = _files_of_change(pack, jurisdictions, products, over, all_accounts=all_accounts, everywhere=everywhere)
    name = change_id or f"{Path(pack).stem}-{day}"
    change = PolicyChanged(
        event_id=f"policy-{name}",
        occurred_at=datetime.now(UTC),
        source="reprieve.policy",
        change_id=name,
        effective_on=day,
        files=files,
    )
    try:
        check_change(change, (), None, 0)
        line = to_line(change)
    except InvalidEventError as bad:
        raise UsageError(bad.message) from bad
    _say_difference(over, _files_over(over), files)
    if output is None:
        click.echo(line, nl=False)
    else:
        write(output, line, read=[pack, over])


def _files_of_change(
    pack: str,
    jurisdictions: tuple[str, ...],
    products: tuple[str, ...],
    over: str,
    *,
    all_accounts: bool,
    everywhere: bool,
) -> dict[str, str]:
    scoped = bool(jurisdictions or products)
    if all_accounts and (scoped or everywhere):
        raise UsageError(
            "--all-accounts goes with no --jurisdiction, --product or --everywhere. Leave one of them out."
        )
    scoped = scoped or all_accounts
    if pack == DEFAULT_BOOK or is_book(pack):
        if scoped:
            raise UsageError(f"{pack} is a book: its rows say for which accounts each pack counts. Change its rows.")
        return files_of(pack)
    if everywhere:
        if scoped:
            raise UsageError("--everywhere and --jurisdiction or --product say two things. Leave one of them out.")
        return files_of(pack)
    ours = _files_over(over)
    book, packs = packs_of(ours)
    if not scoped:
        load_pack(pack)
        lost = sorted(packs.keys() - {p.name for p in load_packs(pack)})
        raise UsageError(
            f"{pack} is one pack. As the whole policy it would take {len(lost)} packs from all accounts "
            f"({', '.join(lost)}), and {len(book.rows)} rows of the book {book.name} would become one for every place "
            "and product. Say for which accounts it counts beside the others (--jurisdiction CODE, --product NAME, or "
            "--all-accounts), "
            "give a book that names it, or add --everywhere if this is what you mean."
        )
    _refuse_unknown(book, jurisdictions, products)
    return scoped_files(pack, ours, jurisdictions, products)


def _files_over(over: str) -> dict[str, str]:
    """Return the texts of a book by its name or file, or of the change that an earlier command wrote."""
    if is_change(over):
        return files_of_change(over)
    if over != DEFAULT_BOOK and not is_book(over):
        raise UsageError(f"{over} is no policy book. Give `default`, a file that begins with `book:`, or a change.")
    return files_of(over)


def _say_difference(over: str, before: dict[str, str], after: dict[str, str]) -> None:
    """Print on standard error which rules differ, their values, and for which accounts."""
    changed = changed_rules(before, after)
    click.echo(f"Rules that differ from {over}:" if changed else f"No rule differs from {over}.", err=True)
    for rule in changed:
        old, new = ("none" if side is None else _shown(side["value"]) for side in (rule["before"], rule["after"]))
        values = f"{old} -> {new}" if old != new else f"{new}, with another source"
        click.echo(f"  {rule['path']}: {values}", err=True)
        places: dict[str, list[str]] = {}
        for jurisdiction, product in rule["where"]:
            places.setdefault(product, []).append("any other place" if jurisdiction == ANY else jurisdiction)
        products: dict[tuple[str, ...], list[str]] = {}
        for product, names in places.items():
            products.setdefault(tuple(names), []).append("any product" if product == ANY else product)
        for where, what in products.items():
            click.echo(f"    {', '.join(where)}: {', '.join(what)}", err=True)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.encode(value).decode()


def _refuse_unknown(book: Book, jurisdictions: tuple[str, ...], products: tuple[str, ...]) -> None:
    found = [book.problems(jurisdiction, "").get("jurisdiction") for jurisdiction in jurisdictions]
    found += [book.problems("EU", product).get("product") for product in products]
    if problems := [problem for problem in found if problem]:
        raise UsageError(" ".join(problems))


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
    from schemas import asyncapi

    document = asyncapi.document(version("reprieve"), _examples())
    _say_document(asyncapi.page(document) if page else _as_yaml(document), output)


@schemas_group.command("openapi")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; standard output unless said.")
def openapi_command(output: Path | None) -> None:
    """Write what partners send over HTTP and receive as webhooks, as an OpenAPI 3.1 document."""
    from schemas import openapi

    _say_document(_as_yaml(openapi.document(version("reprieve"), _examples())), output)


def _examples() -> dict[str, Event]:
    lines = (Path(compatibility.__file__).parent / "examples.jsonl").read_bytes().splitlines()
    return {type(e).__name__: e for e in map(from_line, lines)}


class _WithoutAliases(yaml.SafeDumper):
    """Writes a part out wherever it stands: readers of YAML in other languages do not all know aliases."""

    def ignore_aliases(self, data: object) -> bool:
        """Return True: no part is written as a reference to another."""
        return True


def _as_yaml(document: object) -> str:
    return yaml.dump(document, Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True, width=120)


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
        raise UsageError("There is no registry to register with. Set registry.url (REPRIEVE_REGISTRY__URL).")
    try:
        found = register_all(settings)
    except RetryableError as error:
        raise FatalError(f"{error} Start it, or set registry.url.") from error
    if as_json:
        say_json([{"subject": subject, "id": schema_id} for subject, schema_id in found])
    else:
        click.echo("\n".join(f"{schema_id:>6}  {subject}" for subject, schema_id in found))
