"""Policy packs: reading them, merging them into a policy, and telling where each rule comes from.

A pack (`state.policy_packs.pack`) says rules with their sources. A policy is the merge of packs in order
(`state.policy_packs.merge`). A book (`state.policy_packs.book`) says which packs apply to which accounts. Those parts
take texts and are pure; only the functions here read files, those of the package or one named by its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from msgspec.structs import replace

from state.policy import Policy, PolicyBook
from state.policy_packs.book import (
    ANY,
    BOOK,
    CATALOGUES,
    Book,
    Row,
    book_of,
    book_text,
    laid_over,
    packs_in,
    parse_book,
    read_book,
)
from state.policy_packs.located_yaml import MAX_CHARACTERS
from state.policy_packs.merge import BASE_PACK, resolve
from state.policy_packs.pack import Pack, parse_pack
from state.policy_packs.problems import PackError, PackProblem, nearest
from state.policy_packs.text_validation import check_catalogue
from state.texts import PACKAGED

DEFAULT_BOOK = "default"

_PACKS = files("state.policy_packs") / "packs"
_BOOK_HEAD = re.compile(r"^book:", re.MULTILINE)


def pack_names() -> tuple[str, ...]:
    """Return the names of the packs that come with the package, sorted."""
    names = (entry.name for entry in _PACKS.iterdir() if entry.name.endswith(".yaml"))
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name != "book.yaml"))


def load_pack(name_or_path: str) -> Pack:
    """Return a pack of the package by its name, or any pack by the path of its file.

    Raises `PackError` where there is none, or something is wrong with it.
    """
    if name_or_path in pack_names():
        return _packaged_pack(name_or_path)
    path = Path(name_or_path)
    if not path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise PackError(
            [PackProblem(name_or_path, 1, 1, "", "There is no such pack.", nearest(name_or_path, pack_names()))]
        )
    return parse_pack(_read(path), name_or_path)


def load_packs(name_or_path: str) -> tuple[Pack, ...]:
    """Return the default policy's pack, those that a pack extends, and the pack, in the order in which they apply."""
    stack = [load_pack(name_or_path)]
    while (base := stack[0].extends) is not None and base not in (BASE_PACK, *(pack.name for pack in stack)):
        stack.insert(0, load_pack(base))
    return tuple(stack) if stack[0].name == BASE_PACK else (_packaged_pack(BASE_PACK), *stack)


@lru_cache(maxsize=1)
def load_book() -> Book:
    """Return the book that comes with the package."""
    return parse_book(_text_of("book.yaml"), "book.yaml", frozenset(pack_names()))


def default_book() -> PolicyBook:
    """Return the policies by jurisdiction and product, as the package's book says."""
    book = load_book()
    policy = _by_book(book)
    return PolicyBook(DEFAULT_BOOK, policy, files=files_of(DEFAULT_BOOK), scope=book, resolve_in=policy)


def book_for(name_or_path: str) -> PolicyBook:
    """Return the book that a name or path stands for.

    `default`, a book's file, or one pack: then the default policy and this pack apply to every account.

    Raises `PackError` where the pack cannot be used, before any account asks.
    """
    if name_or_path == DEFAULT_BOOK:
        return default_book()
    return book_of(files_of(name_or_path)).named(name_or_path)


def files_of(name_or_path: str) -> dict[str, str]:
    """Return the texts of the book that `book_for` makes of a name or path, by name; `book_of` makes it of them.

    A file that begins with `book:` is a book: its packs (NAME.yaml) and messages (en.ftl) stand beside it, or come with
    the package.
    Raises `PackError` as `book_for` does.
    """
    if name_or_path == DEFAULT_BOOK:
        book = load_book()
        names = {name for row in book.rows for name in row.packs}
        texts = {name: _text_of(f"{name}.yaml") for name in sorted(names)}
        return {BOOK: _text_of("book.yaml"), **texts, **_catalogues()}
    if is_book(name_or_path):
        return _files_of_book(Path(name_or_path))
    packs, ours = load_packs(name_or_path), load_book()
    row = Row((ANY,), (ANY,), tuple(p.name for p in packs))
    book = Book(packs[-1].name, packs[-1].version, (row,), ours.places, ours.products)
    return {BOOK: book_text(book), **_texts(packs), **_catalogues()}


def _catalogues() -> dict[str, str]:
    """Return the package's messages, so that a book says the same in another release."""
    return {file: PACKAGED.of(locale) for locale, file in CATALOGUES.items()}


def scoped_files(
    name_or_path: str, over: Mapping[str, str], jurisdictions: Sequence[str], products: Sequence[str]
) -> dict[str, str]:
    """Return the texts of a book (those of `over`) with a pack on top of its packs for some jurisdictions and products.

    Raises `PackError` where the pack cannot be used, or changes one of the book's.
    """
    packs = load_packs(name_or_path)
    return laid_over(over, packs, _texts(packs), jurisdictions, products)


def packs_of(files: Mapping[str, str]) -> tuple[Book, dict[str, Pack]]:
    """Return the book and the packs that texts say. Raises `PackError` with what is wrong."""
    return read_book(files), {name: parse_pack(text, name) for name, text in packs_in(files).items()}


def is_book(name_or_path: str) -> bool:
    """Say whether a name or path is of a file that is a book rather than a pack."""
    path = Path(name_or_path)
    return name_or_path not in pack_names() and path.is_file() and bool(_BOOK_HEAD.search(_read(path)))


def _files_of_book(path: Path) -> dict[str, str]:
    text, folder = _read(path), path.parent
    own = {p.stem for p in folder.iterdir() if p.suffix == ".yaml" and p != path}
    book = parse_book(text, str(path), frozenset((*own, *pack_names())))
    texts = {}
    for name in sorted({name for row in book.rows for name in row.packs}):
        texts[name] = _read(folder / f"{name}.yaml") if name in own else _text_of(f"{name}.yaml")
    said = {}
    for locale, file in CATALOGUES.items():
        if (folder / file).is_file():
            said[file] = _read(folder / file)
            check_catalogue(said[file], locale, str(folder / file), complete=True)
    return {BOOK: text, **texts, **_catalogues(), **said}


def _texts(packs: Sequence[Pack]) -> dict[str, str]:
    return {p.name: _text_of(p.file) if _is_packaged(p) else _read(Path(p.file)) for p in packs}


def _is_packaged(pack: Pack) -> bool:
    return pack.name in pack_names() and pack == _packaged_pack(pack.name)


def _text_of(file: str) -> str:
    return (_PACKS / file).read_text(encoding="utf-8")


def _by_book(book: Book) -> Callable[..., Policy]:
    def policy(jurisdiction: str, product: str, currency: str = "") -> Policy:
        names, place = book.packs_for(jurisdiction, product), book.place_of(jurisdiction)
        if currency:
            place = replace(place, currency=currency)
        return resolve([_packaged_pack(name) for name in names], "+".join(names), place)

    return policy


@lru_cache(maxsize=64)
def _packaged_pack(name: str) -> Pack:
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
