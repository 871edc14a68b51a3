"""What is wrong with settings, a sentence each: unknown names with the nearest known one, and never a secret."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from schemas.errors import UsageError

PREFIX = "REPRIEVE_"
# Variables that are no settings of a process: of commands, of where parts are kept, of builds and of tests.
NO_SETTINGS = frozenset(
    PREFIX + name
    for name in (
        "CONFIG",
        "DATA",
        "PURPOSE",
        "CHUNK",
        "CACHE",
        "COMPILED",
        "DISK",
        "DISK_STATE",
        "FUZZ_EXAMPLES",
        "PICTURES",
        "UCI_ACCOUNTS",
    )
)
# What Kubernetes tells of a service whose name begins as ours: REPRIEVE_CONSOLE_SERVICE_HOST and the like.
_OF_SERVICES = re.compile(
    r"\w+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_PLACE = re.compile(r"(?:tcp|udp|sctp)://\S+")


def variables(settings: type[BaseModel]) -> list[str]:
    """Return the variables of the environment that set a setting, or a whole group, as they are written."""
    groups = {PREFIX + group.upper() for group in settings.model_fields}
    return [name for name in os.environ if name.upper().partition("__")[0] in groups]


def validate_environment(settings: type[BaseModel]) -> None:
    """Raise UsageError where a variable that begins as ours is no setting, or a whole group is no JSON object."""
    known = sorted({PREFIX + f"{group}__{name}".upper() for group, name in _names(settings)})
    wrong = []
    for variable, value in os.environ.items():
        name = variable.upper()
        if not name.startswith(PREFIX) or name in NO_SETTINGS or _of_a_service(name, value):
            continue
        group, named, rest = name.removeprefix(PREFIX).partition("__")
        if not named and group.lower() in settings.model_fields:
            wrong += [] if _is_object(value) else [f"The variable {variable} must hold a JSON object of settings."]
        elif f"{PREFIX}{group}__{rest.partition('__')[0]}" not in known:
            wrong.append(_unknown(variable, "environment", _nearest(name, [*known, *sorted(NO_SETTINGS)])))
    if wrong:
        raise UsageError(" ".join(wrong))


def validate_file(settings: type[BaseModel], file: Path | None) -> None:
    """Raise UsageError where a group of a file is no table: merged with the environment it would be dropped."""
    said = {} if file is None else tomllib.loads(file.read_text("utf-8"))
    wrong = [group for group, values in said.items() if group in settings.model_fields and not isinstance(values, dict)]
    if wrong:
        raise UsageError(
            f"{file} does not hold {wrong[0]} as a group of settings. Write [{wrong[0]}] once, on a line of its own, "
            "and each of its settings on a line below."
        )


def format_errors(settings: type[BaseModel], error: ValidationError, file: Path | None) -> str:
    """Return what is wrong with settings, a sentence each, without the value of a secret or of a group that has one."""
    said = []
    for fault in error.errors(include_url=False, include_context=False):
        path = [str(part) for part in fault["loc"]]
        name, place = ".".join(path), _place(path, file)
        if fault["type"] == "extra_forbidden":
            said.append(_unknown(name, place, _nearest(name, [".".join(one) for one in _names(settings)])))
            continue
        why = fault["msg"].removeprefix("Value error, ")
        value = fault["input"]
        shown = " is wrong" if _secret(settings, path, value) else f" is {value!r}"
        said.append(f"The setting {name} ({place}){shown}: {why}.")
    return " ".join(said)


def without_password(url: str) -> str:
    """Return an address without the password in it."""
    return re.sub(r"(://[^/:@]*:)[^/]*@", r"\1**********@", url)


def _place(path: list[str], file: Path | None) -> str:
    there = {name.upper(): name for name in os.environ}
    for parts in (path[:2], path[:1]):
        variable = there.get(PREFIX + "__".join(parts).upper())
        if variable is not None:
            return f"environment, {variable}"
    return str(file) if file else "flags"


def _names(settings: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for group, field in settings.model_fields.items():
        yield from ((group, name) for name in _fields(field))


def _fields(group: FieldInfo) -> dict[str, FieldInfo]:
    kind = group.annotation
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def _secret(settings: type[BaseModel], path: list[str], value: Any) -> bool:
    """Say whether a value is a secret, a group that has one, or an address with a password in it."""
    group = settings.model_fields.get(path[0]) if path else None
    if group is None:
        return True
    fields = _fields(group)
    concerned: Iterable[FieldInfo | None] = [fields.get(path[1])] if len(path) > 1 else fields.values()
    if any(field is None or SecretStr in (field.annotation, *get_args(field.annotation)) for field in concerned):
        return True
    return bool(re.search(r"://[^/]*@", str(value)))


def _unknown(name: str, place: str, nearest: str | None) -> str:
    meant = f"; is {nearest} meant?" if nearest else "."
    return f"Nobody knows the setting {name} ({place}){meant} `reprieve settings` lists all that there are."


def _nearest(name: str, known: list[str]) -> str | None:
    # What all begin with makes none of them near.
    bare = {one.removeprefix(PREFIX): one for one in known}
    return next((bare[near] for near in difflib.get_close_matches(name.removeprefix(PREFIX), bare, 1)), None)


def _of_a_service(name: str, value: str) -> bool:
    return bool(_OF_SERVICES.fullmatch(name) or (name.endswith("_PORT") and _PLACE.fullmatch(value)))


def _is_object(value: str) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False
