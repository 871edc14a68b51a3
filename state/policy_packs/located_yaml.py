"""YAML as a tree of located nodes: every value knows where it stands, so that every fault can say it.

Only what a pack needs is read: one document of mappings, sequences and scalars, with the scalars of
YAML 1.2 (`no` is the country Norway and 22:00 a text, not a number). Anchors, aliases and tags are refused,
as are duplicate keys, deep nesting and big files.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from msgspec import Struct

from state.policy_packs.problems import PackProblem

MAX_CHARACTERS = 262_144
MAX_DEPTH = 12

_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[-+]?([0-9]{1,30}\.[0-9]{0,30}|\.[0-9]{1,30})([eE][-+]?[0-9]{1,3})?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


class Node(Struct):
    """A value and where it stands: a scalar, a list of nodes, or a dict of nodes by key.

    path: such as `sections.plans.max_term_months.value`. name_at: line and column of the key whose value this is; of
    the value itself where it has none. block: a text of several lines that begins on the next one.
    """

    value: Any
    file: str
    line: int
    column: int
    path: str
    name_at: tuple[int, int]
    block: bool = False

    def fault(self, reason: str, remedy: str) -> PackProblem:
        """Return a problem with this value."""
        return PackProblem(self.file, self.line, self.column, self.path, reason, remedy)

    def name_fault(self, reason: str, remedy: str) -> PackProblem:
        """Return a problem with this value's key."""
        return PackProblem(self.file, *self.name_at, self.path, reason, remedy)

    def plain(self) -> Any:
        """Return the value without its places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def read_yaml(text: str, file: str, problems: list[PackProblem]) -> Node | None:
    """Return the tree of a YAML text, None where it has none. Adds what is wrong to `problems`."""
    if len(text) > MAX_CHARACTERS:
        reason = f"The file has {len(text)} characters; a pack has at most {MAX_CHARACTERS}."
        problems.append(PackProblem(file, 1, 1, "", reason, "Split it into several packs."))
        return None
    reader = _Reader(text, file, problems)
    try:
        root = reader.document()
    except _RefusedError:
        return None
    except yaml.MarkedYAMLError as error:
        reader.refuse(error.problem_mark, f"This is not YAML: {error.problem or error.context}.", "Correct the syntax.")
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reason = f"Character U+{ord(text[error.position]):04X} may not stand in YAML."
        problems.append(PackProblem(file, line, 1, "", reason, "Remove it."))
        return None
    except (ValueError, OverflowError):
        reader.refuse(reader.last, "An escape after this line is no character.", "Write the character itself.")
        return None
    if root is None:
        problems.append(PackProblem(file, 1, 1, "", "The file is empty.", "Write a pack; `house` shows the shape."))
    return root


class _RefusedError(Exception):
    """What is wrong was noted, and reading on makes no sense."""


class _Reader:
    """Builds the tree from the parser's events; it goes no deeper than MAX_DEPTH."""

    def __init__(self, text: str, file: str, problems: list[PackProblem]) -> None:
        self._events = yaml.parse(text, Loader=yaml.SafeLoader)
        self._file = file
        self._problems = problems
        # Where the last event ended.
        self.last: Any = None

    def refuse(self, mark: Any, reason: str, remedy: str, path: str = "") -> _RefusedError:
        """Note a problem; returns what is raised where nothing behind it can be read."""
        self._problems.append(PackProblem(self._file, *_place(mark), path, reason, remedy))
        return _RefusedError()

    def document(self) -> Node | None:
        """Return the value of the only document, None where there is none."""
        root: Node | None = None
        while not isinstance(event := self._next(""), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self.refuse(event.start_mark, "A second document starts here.", "Put one pack in a file.")
                root = self._node(self._next(""), "", 0)
        return root

    def _next(self, path: str) -> Any:
        """Return the next event, of what stands at a path."""
        event: Any = next(self._events)
        self.last, mark = event.end_mark, event.start_mark
        if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):
            raise self.refuse(mark, "Half a character stands here.", "Write the character itself.", path)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.refuse(mark, "Anchors and aliases are not read.", "Write the value out.", path)
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag not in (None, "!"):
            self.refuse(mark, f"The tag {event.tag} is not read.", "Remove it.", path)
        return event

    def _node(self, event: Any, path: str, depth: int, name_at: tuple[int, int] | None = None) -> Node:
        at = _place(event.start_mark)
        node = Node(None, self._file, *at, path, name_at or at)
        if isinstance(event, yaml.ScalarEvent):
            node.value, node.block = _scalar(event), event.style in ("|", ">")
            return node
        if depth == MAX_DEPTH:
            reason, remedy = f"The nesting is deeper than {MAX_DEPTH}.", "Flatten it; no rule needs that."
            raise self.refuse(event.start_mark, reason, remedy, path)
        sequence = isinstance(event, yaml.SequenceStartEvent)
        node.value = self._items(path, depth + 1) if sequence else self._entries(path, depth + 1)
        return node

    def _items(self, path: str, depth: int) -> list[Node]:
        found: list[Node] = []
        while not isinstance(event := self._next(inside := f"{path}[{len(found)}]"), yaml.SequenceEndEvent):
            found.append(self._node(event, inside, depth))
        return found

    def _entries(self, path: str, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while not isinstance(key := self._next(path), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise self.refuse(key.start_mark, "A key must be a text.", "Use `name: value`.", path)
            name, name_at = str(key.value), _place(key.start_mark)
            inside = ".".join(filter(None, (path, name)))
            if name in found:
                reason = f"{name} stands here twice, first on line {found[name].name_at[0]}."
                self.refuse(key.start_mark, reason, "Keep one of the two.", inside)
            found.setdefault(name, self._node(self._next(inside), inside, depth, name_at))
        return found


def _place(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if event.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text
