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
    reader = _Reader(file, problems)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if not reader.take(event):
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
    if reader.root is None:
        problems.append(PackProblem(file, 1, 1, "", "The file is empty.", "Write a pack; `house` shows the shape."))
    return reader.root


class _Open(Struct):
    node: Node
    key: str | None = None
    key_at: tuple[int, int] = (1, 1)


class _Reader:
    """Builds the tree from the parser's events, without recursion."""

    def __init__(self, file: str, problems: list[PackProblem]) -> None:
        self.file = file
        self.problems = problems
        self.root: Node | None = None
        self.open: list[_Open] = []
        self.last: Any = None

    def refuse(self, mark: Any, reason: str, remedy: str, path: str = "") -> None:
        self.problems.append(PackProblem(self.file, *_place(mark), path, reason, remedy))

    def take(self, event: yaml.Event) -> bool:
        """Take the next event; return False where reading on makes no sense."""
        self.last = event.end_mark
        if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):
            self.refuse(event.start_mark, "Half a character stands here.", "Write the character itself.", self.path())
            return False
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self.refuse(event.start_mark, "Anchors and aliases are not read.", "Write the value out.", self.path())
            return False
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self.refuse(event.start_mark, "A second document starts here.", "Put one pack in a file.")
            return False
        if isinstance(event, yaml.CollectionEndEvent):
            self.open.pop()
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            return self.value(event)
        return True

    def value(self, event: Any) -> bool:
        mark = event.start_mark
        if event.tag and event.tag != "!":
            self.refuse(mark, f"The tag {event.tag} is not read.", "Remove it.", self.path())
        if self.awaits_key():
            if isinstance(event, yaml.ScalarEvent):
                return self.named(event)
            self.refuse(mark, "A key must be a text.", "Use `name: value`.", self.path())
            return False
        value: Any = {}
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
        line, column = _place(mark)
        block = isinstance(event, yaml.ScalarEvent) and event.style in ("|", ">")
        node = Node(value, self.file, line, column, self.path(), (line, column), block)
        self.put(node)
        if not isinstance(event, yaml.ScalarEvent):
            if len(self.open) == MAX_DEPTH:
                reason = f"The nesting is deeper than {MAX_DEPTH}."
                self.problems.append(node.fault(reason, "Flatten it; no rule needs that."))
                return False
            self.open.append(_Open(node))
        return True

    def awaits_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1].node.value, dict) and self.open[-1].key is None

    def named(self, event: yaml.ScalarEvent) -> bool:
        top = self.open[-1]
        top.key = str(event.value)
        top.key_at = _place(event.start_mark)
        if top.key in top.node.value:
            first = top.node.value[top.key].name_at[0]
            reason = f"{top.key} stands here twice, first on line {first}."
            self.refuse(event.start_mark, reason, "Keep one of the two.", self.path())
        return True

    def put(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        top = self.open[-1]
        if isinstance(top.node.value, list):
            top.node.value.append(node)
        elif top.key is not None:
            node.name_at = top.key_at
            top.node.value.setdefault(top.key, node)
            top.key = None

    def path(self) -> str:
        if not self.open:
            return ""
        top = self.open[-1]
        if isinstance(top.node.value, list):
            return f"{top.node.path}[{len(top.node.value)}]"
        return ".".join(filter(None, (top.node.path, top.key)))


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
