"""What the console answers about rules, the learner and dead letters, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from agents.watching import MODEL
from console import rulebook
from console.ledger import Ledger
from console.pulse import Pulse
from schemas import events as ev
from state.learner import LearnerState
from state.learning import FEATURES, Learned
from state.pack import DEFAULT_BOOK, PackError, files_of
from state.pack_files import BOOK

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


def rules(
    in_force: str | None,
    changes: Sequence[ev.PolicyChanged],
    first: Mapping[str, str] | None = None,
    closed: date | None = None,
    on: date | None = None,
) -> dict[str, Any]:
    """Return the rules that count on a business date, with where each comes from and whether somebody verified it.

    in_force: the name of the book with which the deployment began. changes: those that came since. first: the texts of
    that book as they are kept; None where an earlier release kept none, and then this release's stand in for them and
    `kept` says so. closed: the last closed business date; today is the day behind it. on: of which day it is told,
    today without one. Raises PackError where a text that is kept is not of this release's form.
    """
    kept = first is not None
    if first is None:
        try:
            first = files_of(in_force or DEFAULT_BOOK)
        except PackError:
            # A pack of a file that is not here: nothing is known of what it said.
            first = {BOOK: "book: unknown\nversion: 1\nrows: [{jurisdictions: ['*'], products: ['*'], packs: []}]\n"}
    every = rulebook.periods(first, changes)
    today = None if closed is None else closed + timedelta(days=1)
    now = rulebook.on(every, today)
    shown = rulebook.on(every, on or today)
    period, behind = every[shown], every[shown + 1 :]
    return {
        "in_force": in_force,
        "kept": kept,
        "today": None if today is None else today.isoformat(),
        "on": None if on is None else on.isoformat(),
        "since": None if period.begins is None else period.begins.isoformat(),
        "until": None if not behind or behind[0].begins is None else behind[0].begins.isoformat(),
        "change": None if period.change is None else period.change.change_id,
        "changes": rulebook.history(every, changes, now, shown),
        **rulebook.told(every, shown),
    }


def learner(ledger: Ledger, pulse: Pulse) -> dict[str, Any]:
    """Return what was learned, how sure it is, who chose leads, and what leads for whom (`console.leads`)."""
    state, groups = ledger.state("learner", MODEL), dict(sorted(pulse.groups.items()))
    leads = pulse.leads.table()
    if not isinstance(state, LearnerState):
        return {"version": 0, "groups": groups, "counts": {}, "rows": 0, "tripped": "", "weights": [], "leads": leads}
    return {
        "version": state.version,
        "rows": state.sums.rows,
        "groups": groups,
        "counts": state.counts,
        "tripped": state.tripped,
        "weights": _weights(pulse.model),
        "leads": leads,
    }


def _weights(model: ev.ModelUpdated | None) -> list[dict[str, Any]]:
    """Return what each figure of an option is believed to add to the reward, and how sure that is."""
    if model is None:
        return []
    return [
        {"name": name, "mean": mean, "deviation": deviation}
        for name, (mean, deviation) in zip(FEATURES, Learned(model).posterior.weights(), strict=True)
    ]


def dead_letters(ledger: Ledger, pulse: Pulse, before: int | None = None) -> dict[str, Any]:
    """Return the newest dead letters: where each came from and what was wrong; what it holds may be personal.

    before: of those before this place, which is `older` of another answer; `older` is None where there are none.
    """
    again = ledger.replayed()
    # One more than is shown, to know whether there are older ones.
    found = list(ledger.letters_before(before, LETTERS + 1))
    return {
        "count": sum(pulse.letters.values()),
        "by_code": dict(sorted(pulse.letters.items())),
        "replayed_count": len(again),
        "older": found[LETTERS - 1][0] if len(found) > LETTERS else None,
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
            for _, e in found[:LETTERS]
        ],
    }
