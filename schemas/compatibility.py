"""Whether contracts may take the place of those released before.

Full compatibility, both ways: what an old release wrote can be read (backward), and an old release can
read what is written now (forward), since producers and consumers are updated at different times. Release
0.2.0 alone renamed, with Avro aliases: that is read backward, and not forward.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas import contracts
from schemas.errors import UsageError

Schema = Any
KEEP = "Keep it; add a field beside it."
# What a reader may take a writer's number for (Avro 1.11, "Schema Resolution"); none goes both ways.
PROMOTIONS = {"int": {"long", "float", "double"}, "long": {"float", "double"}, "float": {"double"}}


@dataclass(frozen=True, slots=True)
class Problem:
    """A change that breaks compatibility. field: as a path within the record, empty for the whole of it."""

    record: str
    field: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.record}.{self.field}" if self.field else self.record
        return f"{place}: {self.reason}. {self.remedy}"


def check(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[Problem]:
    """Return what is incompatible between two sets of contracts by name, each naming record, field and remedy."""
    found: list[Problem] = []
    for name in sorted(old):
        present = new.get(name) or next((c for c in new.values() if name in c.get("aliases", ())), None)
        if present is None:
            found.append(Problem(name, "", "it is gone, and old producers still write it", "Put the contract back."))
        else:
            _Comparison(name, found).contract(old[name], present)
    return found


def check_releases() -> list[Problem]:
    """Return what is incompatible between this source's contracts and every release."""
    found: list[Problem] = []
    for folder in contracts.releases():
        found += [problem for problem in check(contracts.load(folder), contracts.contracts()) if problem not in found]
    return found


def release(version: str) -> None:
    """Keep this source's contracts as the release `version`, such as 0.2.0.

    Raises UsageError where the version is none, is not after the last one, or the contracts are incompatible.
    """
    try:
        number = contracts.version_of(version)
    except ValueError as error:
        raise UsageError(f"{version!r} is no version. Give numbers with dots, such as 0.2.0.") from error
    last = contracts.releases()[-1:]
    if last and number <= contracts.version_of(last[0].name):
        raise UsageError(f"{version} does not come after the last release, {last[0].name}. Give a higher version.")
    problems = check_releases()
    if problems:
        raise UsageError("The contracts are not compatible with what is released:\n" + "\n".join(map(str, problems)))
    folder = contracts.RELEASED / version
    folder.mkdir(parents=True)
    for path in sorted(contracts.AVSC.glob("*.avsc")):
        shutil.copyfile(path, folder / path.name)


class _Comparison:
    """Compares one contract with its former self; contracts that it refers to are compared as their own."""

    def __init__(self, record: str, found: list[Problem]) -> None:
        self._record = record
        self._found = found

    def _say(self, field: str, reason: str, remedy: str) -> None:
        self._found.append(Problem(self._record, field, reason, remedy))

    def contract(self, old: Schema, new: Schema) -> None:
        if _identity(old) != _identity(new, old["name"]):
            self._say("", f"it was {_identity(old)} and is {_identity(new)}", "Put back its kind, name and namespace.")
        elif old["type"] == "record":
            self._fields(old, new)
        elif old["type"] == "enum":
            self._symbols(old, new, "")

    def _fields(self, old: Schema, new: Schema) -> None:
        before = {f["name"]: f for f in old["fields"]}
        # A field that was renamed has its former name as an alias.
        former = {old_name: f for f in new["fields"] if f["name"] not in before for old_name in f.get("aliases", ())}
        renamed = {f["name"]: name for name, f in former.items() if name in before}
        after = {renamed.get(f["name"], f["name"]): f for f in new["fields"]}
        for name in before.keys() - after.keys():
            if "default" not in before[name]:
                self._say(
                    name,
                    "it is gone (or renamed) and had no default, so an old release cannot read what is written now",
                    "Put it back; a new name is a new field beside it.",
                )
        for name in after.keys() - before.keys():
            if "default" not in after[name]:
                self._say(
                    name,
                    "it is new and has no default, so what an old release wrote cannot be read",
                    'Give it a default, such as "type": ["null", …], "default": null.',
                )
        for name in before.keys() & after.keys():
            self._types(before[name]["type"], after[name]["type"], name)
            was, now = before[name].get("range", "none"), after[name].get("range", "none")
            if was != now:
                self._say(name, f"its range was {was} and is {now}, so one release refuses what another writes", KEEP)
            if "default" in before[name] and "default" not in after[name]:
                self._say(name, "its default is gone, so what was written without it cannot be read", "Put it back.")

    def _symbols(self, old: Schema, new: Schema, field: str) -> None:
        gone = [s for s in old["symbols"] if s not in new["symbols"]]
        added = [s for s in new["symbols"] if s not in old["symbols"]]
        if gone and "default" not in new:
            self._say(field, f"the symbols {', '.join(gone)} are gone and old producers write them", "Put them back.")
        if added and "default" not in old:
            self._say(
                field,
                f"the symbols {', '.join(added)} are new, and the released enum has no default to read them as",
                "Add a field with a default that carries the new meaning, and keep the enum.",
            )
        if old.get("default") != new.get("default") and "default" in old:
            self._say(field, f"its default was {old['default']}", "Keep the default.")

    def _types(self, old: Schema, new: Schema, field: str) -> None:
        if isinstance(old, list) or isinstance(new, list):
            self._unions(_branches_by_name(old), _branches_by_name(new), field)
            return
        was, now = _branch_name(old), _branch_name(new)
        if was != now:
            backward = "" if now in PROMOTIONS.get(was, ()) else "what an old release wrote cannot be read"
            forward = "" if was in PROMOTIONS.get(now, ()) else "an old release cannot read what is written now"
            ways = ", and ".join(way for way in (backward, forward) if way)
            self._say(field, f"its type was {was} and is {now}: {ways}", KEEP)
            return
        if _logical_name(old) != _logical_name(new):
            self._say(field, f"its meaning was {_logical_name(old)} and is {_logical_name(new)}", KEEP)
        for part in ("items", "values"):
            if was == {"items": "array", "values": "map"}[part]:
                self._types(old[part], new[part], f"{field}[]")

    def _unions(self, old: dict[str, Schema], new: dict[str, Schema], field: str) -> None:
        for name in old.keys() - new.keys():
            self._say(field, f"it may no longer be {name}, as old producers write it", f"Keep {name} in its union.")
        for name in new.keys() - old.keys():
            self._say(field, f"it may now be {name}, which an old release cannot read", "Add a field beside it.")
        for name in old.keys() & new.keys():
            self._types(old[name], new[name], field)


def _identity(schema: Schema, former: str = "") -> str:
    """Return kind and full name. former: its name where that is an alias of the schema."""
    name = former if former in schema.get("aliases", ()) else schema["name"]
    return f"{schema['type']} {schema.get('namespace', '')}.{name}"


def _branch_name(schema: Schema) -> str:
    return schema if isinstance(schema, str) else str(schema["type"])


def _logical_name(schema: Schema) -> str:
    return "plain" if isinstance(schema, str) else str(schema.get("logicalType", "plain"))


def _branches_by_name(schema: Schema) -> dict[str, Schema]:
    return {_branch_name(branch): branch for branch in (schema if isinstance(schema, list) else [schema])}


def main(arguments: list[str]) -> int:
    """Check against the releases; with a version, keep the contracts as that release."""
    try:
        if arguments:
            release(arguments[0])
    except UsageError as error:
        print(error, file=sys.stderr)
        return 1
    problems = check_releases()
    print("\n".join(map(str, problems)) or "The contracts are compatible with every release.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
