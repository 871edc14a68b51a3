"""All targets, by name."""

from __future__ import annotations

from tests.fuzz.console import CONSOLE
from tests.fuzz.formats import FORMATS
from tests.fuzz.histories import HISTORIES
from tests.fuzz.invariants import Target

TARGETS: dict[str, Target] = {target.name: target for target in (*FORMATS, *HISTORIES, *CONSOLE)}
