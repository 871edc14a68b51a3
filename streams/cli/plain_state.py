"""Stored states as plain values for programs: by field name, days as ISO dates, instants as ISO date-times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from msgspec import Struct, to_builtins

# Fields of states and of their parts that hold days (proleptic ordinals) or instants (milliseconds since the epoch), 0
# for none: of accounts, their parts, borrowers, and their parts. `base_currency` is a tuple that begins with a day.
TIMES = (
    {"opened_on", "folded_through", "next_fold_on", "due", "overdue_since", "arrears_free_since", "materiality_since"}
    | {"bad_debt_on", "closed_on", "releases", "last_payment_on", "accrued_to", "position_on", "reported_from"}
    | {"forborne_on", "class_since", "dispute_ended_on"}
    | {"start", "end", "made", "day", "activated", "settled_due", "paused_from", "review", "since", "report_on"}
    | {"decide_on", "not_before", "paused_until", "income_changed", "last_case_closed_on", "review_on", "base_currency"}
    | {"until", "published", "expires", "over", "as_of", "at", "contactable_from", "contact_window", "occurred"}
    | {"granted", "withdrawn", "erased", "publish_on"}
)
_LAST_DAY = date.max.toordinal()


def plain(value: object) -> Any:
    """Return a state, or a part of one, as JSON's values with all days and instants readable, however deep they are."""
    if isinstance(value, Struct) and type(value).__struct_config__.tag is None:
        parts = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: _readable(part) if name in TIMES else plain(part) for name, part in parts}
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return to_builtins(value)


def _readable(value: object) -> Any:
    """Return days and instants as texts, None for none; a flag or a text of the same name stays as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value > _LAST_DAY:
            return datetime.fromtimestamp(value / 1000, UTC).isoformat()
        return date.fromordinal(value).isoformat() if value > 0 else None
    if isinstance(value, dict):
        return {key: _readable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(part) for part in value]
    return plain(value)
