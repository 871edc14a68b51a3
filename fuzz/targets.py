"""All targets, by name."""

from __future__ import annotations

from fuzz.doors import DOORS
from fuzz.lives import LIVES
from fuzz.oracles import Target
from fuzz.pages import PAGES

TARGETS: dict[str, Target] = {target.name: target for target in (*DOORS, *LIVES, *PAGES)}
