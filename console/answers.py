"""What the console answers about rules, the learner and dead letters, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from agents.policies import in_order
from agents.watching import MODEL
from console.ledger import Ledger
from console.pulse import Pulse
from schemas import events as ev
from state.learner import LearnerState
from state.learning import FEATURES, Learned
from state.pack import load_book, load_pack, pack_names
from state.pack_files import BOOK
from state.pack_merge import provenance

# Dead letters on the page, newest first, and letters that may be named in one request.
LETTERS, NAMED = 200, 500


class Again(Struct, forbid_unknown_fields=True):
    """Which dead letters are to be sent in again: those named, or all of a code."""

    ids: list[str] = []
    code: str | None = None

    def __post_init__(self) -> None:
        if bool(self.ids) == (self.code is not None) or len(self.ids) > NAMED:
            raise ValueError(f"name up to {NAMED} ids, or one code")


def asked_again(body: bytes) -> Again:
    """Return which letters a request names. Raises msgspec.ValidationError or DecodeError where it names none."""
    return msgspec.json.decode(body, type=Again)


def rules(in_force: str | None, changes: Sequence[ev.PolicyChanged]) -> dict[str, Any]:
    """Return all policy packs, with where each rule comes from and whether somebody verified it.

    in_force: the book with which the deployment began. changes: those that came since.
    """
    packs = [load_pack(name) for name in pack_names()]
    rows = [
        {"jurisdictions": list(row.jurisdictions), "products": list(row.products), "packs": list(row.packs)}
        for row in load_book().rows
    ]
    return {
        "in_force": in_force,
        "changes": [
            {
                "id": c.change_id,
                "effective_on": c.effective_on.isoformat(),
                "occurred_at": c.occurred_at.isoformat(),
                "source": c.source,
                "packs": [name for name in c.files if name != BOOK],
            }
            for c in in_order(changes)
        ],
        "book": rows,
        "packs": [
            {
                "name": pack.name,
                "version": pack.version,
                "title": pack.title,
                "rules": [
                    {"path": m.path, "value": m.value, "verified": m.verified, "source": m.source}
                    for m in provenance([pack])
                ],
            }
            for pack in packs
        ],
    }


def learner(ledger: Ledger, pulse: Pulse) -> dict[str, Any]:
    """Return what was learned, how sure it is, and who chose leads."""
    state, groups = ledger.state("learner", MODEL), dict(sorted(pulse.groups.items()))
    if not isinstance(state, LearnerState):
        return {"version": 0, "groups": groups, "counts": {}, "rows": 0, "tripped": "", "weights": []}
    return {
        "version": state.version,
        "rows": state.sums.rows,
        "groups": groups,
        "counts": state.counts,
        "tripped": state.tripped,
        "weights": _weights(pulse.model),
    }


def _weights(model: ev.ModelUpdated | None) -> list[dict[str, Any]]:
    """Return what each figure of an option is believed to add to the reward, and how sure that is."""
    if model is None:
        return []
    return [
        {"name": name, "mean": mean, "deviation": deviation}
        for name, (mean, deviation) in zip(FEATURES, Learned(model).posterior.weights(), strict=True)
    ]


def dead_letters(ledger: Ledger, pulse: Pulse) -> dict[str, Any]:
    """Return the newest dead letters: where each came from and what was wrong; what it holds may be personal."""
    again = ledger.replayed()
    return {
        "count": sum(pulse.letters.values()),
        "by_code": dict(sorted(pulse.letters.items())),
        "letters": [
            {
                "id": e.event_id,
                "at": e.occurred_at.isoformat(),
                "topic": e.topic,
                "partition": e.partition,
                "offset": e.offset,
                "code": e.code,
                "message": e.message,
                "field": e.field,
                "replayed": e.event_id in again,
            }
            for e in ledger.letters(LETTERS)
        ],
    }
