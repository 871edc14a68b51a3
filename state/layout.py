"""The layouts of stored state, each in a file, so that none changes unseen.

`python -m state.layout` writes the file of every layout that has none yet.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

import state
from schemas import events
from state.storage import LAYOUTS, Layout

FOLDER = Path(__file__).parent / "layouts"


def registered() -> Mapping[type[Struct], Layout]:
    """Return the layout of every Struct of `state/` that is registered with `storage.stored`."""
    for module in pkgutil.iter_modules(state.__path__, "state."):
        importlib.import_module(module.name)
    return {kind: layout for kind, layout in LAYOUTS.items() if kind.__module__.startswith("state.")}


def layout_of(kind: type[Struct]) -> dict[str, Any]:
    """Return a Struct's JSON Schema, with the fields of each part in their order.

    Descriptions are left out. Events appear by name only: they are stored with their field names, and
    `schemas.compatibility` watches over them.
    """
    (whole,), parts = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    described = {name: part for name, part in parts.items() if not hasattr(events, name)}
    return {
        "layout": kind.__name__,
        "fields": dict(sorted(_field_orders(kind).items())),
        "schema": _bare({**whole, "$defs": dict(sorted(described.items()))}),
    }


def text_of(kind: type[Struct]) -> str:
    """Return what the file of a Struct's present layout says."""
    return json.dumps(layout_of(kind), indent=1, ensure_ascii=False) + "\n"


def problems(layouts: Mapping[type[Struct], Layout], folder: Path = FOLDER) -> list[str]:
    """Return a sentence for each Struct whose shape is not that of its layout's file, and for each file that lacks."""
    found = []
    for kind, layout in layouts.items():
        for version in range(1, layout.version + 1):
            path = _path(folder, kind, version)
            if not path.exists():
                found.append(f"{kind.__name__} has no file of layout {version}. Run `python -m state.layout`.")
            elif version == layout.version and path.read_text("utf-8") != text_of(kind):
                found.append(
                    f"{kind.__name__} is not as {path.name} says. Raise its version to {version + 1} with an upgrade "
                    f"from {version}; or, where no release has written layout {version}, delete the file; "
                    "then run `python -m state.layout`."
                )
    return found


def write(layouts: Mapping[type[Struct], Layout], folder: Path = FOLDER) -> list[Path]:
    """Write the file of each present layout that has none; return those written. A file that is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, layout in layouts.items():
        path = _path(folder, kind, layout.version)
        if not path.exists():
            path.write_text(text_of(kind), "utf-8")
            written.append(path)
    return written


def _path(folder: Path, kind: type[Struct], version: int) -> Path:
    return folder / f"{kind.__name__}.v{version}.json"


def _field_orders(kind: type[Struct]) -> dict[str, list[str]]:
    orders: dict[str, list[str]] = {}

    def visit(part: Any) -> None:
        if isinstance(part, msgspec.inspect.StructType):
            if part.cls.__name__ in orders or part.cls.__module__ == events.__name__:
                return
            orders[part.cls.__name__] = [f.encode_name for f in part.fields]
            for field in part.fields:
                visit(field.type)
        elif isinstance(part, msgspec.inspect.Type):
            for name in part.__struct_fields__:
                inner = getattr(part, name)
                for each in inner if isinstance(inner, tuple) else (inner,):
                    visit(each)

    visit(msgspec.inspect.type_info(kind))
    return orders


def _bare(schema: Any, named: bool = False) -> Any:
    """Return a JSON Schema without descriptions and titles, which may change freely.

    named: the keys are names of fields or parts, not words of JSON Schema.
    """
    if isinstance(schema, list):
        return [_bare(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value if key == "default" else _bare(value, key in ("properties", "$defs") and not named)
        for key, value in schema.items()
        if named or key not in ("description", "title")
    }


def main(folder: Path = FOLDER) -> int:
    """Write what is missing and say what is wrong."""
    layouts = registered()
    for path in write(layouts, folder):
        print(f"wrote {path.name}")
    wrong = problems(layouts, folder)
    print("\n".join(wrong) or f"{len(layouts)} layouts are current", file=sys.stderr if wrong else sys.stdout)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
