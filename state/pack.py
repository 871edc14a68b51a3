"""Policy packs: reading them, merging them into a policy, and telling where each rule comes from.

A pack (`state.pack_text`) says rules with their sources. A policy is the merge of packs in order
(`state.pack_merge`). A book (`state.pack_book`) says which packs apply to which accounts. Those parts take
texts and are pure; only the functions here read files, those of the package or one named by its path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import yaml
from msgspec import to_builtins

from state.pack_book import ANY, Book, Place, parse_book
from state.pack_files import BOOK, book_of
from state.pack_merge import HOUSE, RuleMark, provenance, resolve
from state.pack_problem import PackError, PackProblem, nearest
from state.pack_text import Pack, Rule, parse_pack
from state.pack_view import pack_to_json, render_pack, render_policy
from state.pack_yaml import MAX_CHARACTERS
from state.policy import Policy, PolicyBook

__all__ = [
    "DEFAULT_BOOK",
    "HOUSE",
    "Book",
    "Pack",
    "PackError",
    "PackProblem",
    "Place",
    "Rule",
    "RuleMark",
    "book_for",
    "book_of",
    "default_book",
    "files_of",
    "load_book",
    "load_pack",
    "load_packs",
    "pack_names",
    "pack_to_json",
    "parse_book",
    "parse_pack",
    "provenance",
    "render_pack",
    "render_policy",
    "resolve",
]

DEFAULT_BOOK = "default"


def pack_names() -> tuple[str, ...]:
    """Return the names of the packs that come with the package, sorted."""
    names = (entry.name for entry in (files("state") / "packs").iterdir() if entry.name.endswith(".yaml"))
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name != "book.yaml"))


def load_pack(name_or_path: str) -> Pack:
    """Return a pack of the package by its name, or any pack by the path of its file.

    Raises `PackError` where there is none, or something is wrong with it.
    """
    if name_or_path in pack_names():
        return _packaged(name_or_path)
    path = Path(name_or_path)
    if not path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise PackError(
            [PackProblem(name_or_path, 1, 1, "", "There is no such pack.", nearest(name_or_path, pack_names()))]
        )
    return parse_pack(_read(path), name_or_path)


def load_packs(name_or_path: str) -> tuple[Pack, ...]:
    """Return the house's pack, those that a pack extends, and the pack, in the order in which they apply."""
    stack = [load_pack(name_or_path)]
    while (base := stack[0].extends) is not None and base not in (HOUSE, *(pack.name for pack in stack)):
        stack.insert(0, load_pack(base))
    return tuple(stack) if stack[0].name == HOUSE else (_packaged(HOUSE), *stack)


@lru_cache(maxsize=1)
def load_book() -> Book:
    """Return the book that comes with the package."""
    return parse_book(_text_of("book.yaml"), "book.yaml", frozenset(pack_names()))


def default_book() -> PolicyBook:
    """Return the policies by jurisdiction and product, as the package's book says."""
    book = load_book()
    return PolicyBook(DEFAULT_BOOK, _by_book(book), files=files_of(DEFAULT_BOOK))


def book_for(name_or_path: str) -> PolicyBook:
    """Return the book that `default` names, or else one that applies the house and one pack to every account.

    Raises `PackError` where the pack cannot be used, before any account asks.
    """
    if name_or_path == DEFAULT_BOOK:
        return default_book()
    texts = files_of(name_or_path)
    return PolicyBook(name_or_path, book_of(texts).policy_for, files=texts)


def files_of(name_or_path: str) -> dict[str, str]:
    """Return the texts of the book that `book_for` makes of a name or path, by name; `book_of` makes it of them.

    Raises `PackError` as `book_for` does.
    """
    if name_or_path == DEFAULT_BOOK:
        book = load_book()
        names = {name for row in book.rows for name in row.packs}
        return {BOOK: _text_of("book.yaml"), **{name: _text_of(f"{name}.yaml") for name in sorted(names)}}
    packs, places = load_packs(name_or_path), load_book().places
    texts = {p.name: _text_of(p.file) if _is_packaged(p) else _read(Path(p.file)) for p in packs}
    row = {"jurisdictions": [ANY], "products": [ANY], "packs": [p.name for p in packs]}
    said = {name: {k: v for k, v in to_builtins(place).items() if v is not None} for name, place in places.items()}
    written = {"book": packs[-1].name, "version": packs[-1].version, "rows": [row], "places": said}
    return {BOOK: yaml.safe_dump(written, sort_keys=False), **texts}


def _is_packaged(pack: Pack) -> bool:
    return pack.name in pack_names() and pack == _packaged(pack.name)


def _text_of(file: str) -> str:
    return (files("state") / "packs" / file).read_text(encoding="utf-8")


def _by_book(book: Book) -> Callable[[str, str], Policy]:
    def policy(jurisdiction: str, product: str) -> Policy:
        names = book.packs_for(jurisdiction, product)
        return resolve([_packaged(name) for name in names], "+".join(names), book.place_of(jurisdiction))

    return policy


@lru_cache(maxsize=64)
def _packaged(name: str) -> Pack:
    file = f"{name}.yaml"
    return parse_pack(_text_of(file), file)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(4 * MAX_CHARACTERS + 1)
        return content.decode("utf-8-sig")
    except OSError as error:
        reason, remedy = f"The file cannot be read: {error.strerror}.", "Give the path of a pack's YAML file."
    except UnicodeDecodeError as error:
        reason, remedy = f"Byte {error.start + 1} is not UTF-8.", "Save the file as UTF-8."
    raise PackError([PackProblem(str(path), 1, 1, "", reason, remedy)])
