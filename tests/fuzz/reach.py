"""Which lines inputs reach, by module: `python -m tests.fuzz.reach TARGET FOLDER` prints them as JSON.

Lines are those that the compiler gave code. What is compiled at run time (the quick readers and writers) has no
module and is not counted.
"""

from __future__ import annotations

import dis
import json
import sys
import threading
import types
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OURS = tuple(f"{ROOT / folder}/" for folder in ("schemas", "state", "agents", "streams", "console"))


def lines_of(file: str) -> set[int]:
    """Return the lines of a module that have code."""
    waiting: list[Any] = [compile(Path(file).read_text("utf-8"), file, "exec")]
    found: set[int] = set()
    while waiting:
        code = waiting.pop()
        found |= {line for _, line in dis.findlinestarts(code) if line}
        waiting += [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return found


def reached(name: str, inputs: list[bytes]) -> dict[str, list[int]]:
    """Return the lines that a target reaches with inputs, by module; how a module is imported counts as well."""
    lines: dict[str, set[int]] = defaultdict(set)

    def watch(frame: Any, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(OURS):
            return None
        if event == "line":
            lines[file].add(frame.f_lineno)
        return watch

    threading.settrace(watch)
    sys.settrace(watch)
    try:
        from tests.fuzz.targets import TARGETS

        for data in inputs:
            with suppress(Exception):
                TARGETS[name].attempt(data)
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return {str(Path(file).relative_to(ROOT)): sorted(found) for file, found in lines.items()}


if __name__ == "__main__":
    corpus = [file.read_bytes() for file in sorted((Path(sys.argv[2]) / "corpus").iterdir())]
    json.dump(reached(sys.argv[1], corpus), sys.stdout)
