"""`reprieve account` and `reprieve borrower`: what is known, why, and how it came about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click
from msgspec import Struct, structs, to_builtins
from rich.console import Console
from rich.table import Table

from agents.corrections import SAID
from schemas import events as ev
from schemas.days import story_order
from schemas.errors import WrongUse
from state.account import AccountState
from state.borrower import BorrowerState
from streams.cli.auditing import actor_option, purpose_option
from streams.cli.common import book_named, data_option, json_option, opened, say_json
from streams.local.store import book_of
from streams.privacy.audit import PURPOSES, FileAudit
from streams.privacy.looking import STORY, borrower_shown

ENVELOPE = {"event_id", "occurred_at", "source", "account_id", "borrower_id", "business_date", "caused_by"}
# Fields of a state that hold a day as a number.
DAYS = {"opened", "through", "due", "overdue_since", "clean_since", "material_since", "bad_debt_on", "closed"}
DAYS |= {"last_payment", "accrued_to", "pending_day", "paused_until"}


@click.command("account")
@click.argument("account_id")
@data_option
@purpose_option
@actor_option
@json_option
def account_command(account_id: str, data: Path, purpose: str | None, actor: str, as_json: bool) -> None:
    """Show what is known of an account, why, and its history. That it was shown goes on record."""
    _show("account", account_id, data, as_json, actor, purpose or "case_work")


@click.command("borrower")
@click.argument("borrower_id")
@data_option
@purpose_option
@actor_option
@json_option
def borrower_command(borrower_id: str, data: Path, purpose: str | None, actor: str, as_json: bool) -> None:
    """Show what is known of a borrower: debts in trouble, offers, answers.

    For the work on a case means are shown as far as a consent is in force. That it was shown goes on record.
    """
    if purpose is None:
        raise click.UsageError(f"Say with --purpose what a person is looked up for: {', '.join(PURPOSES)}.")
    _show("planner", borrower_id, data, as_json, actor, purpose)


def _show(agent: str, key: str, data: Path, as_json: bool, actor: str, purpose: str) -> None:
    with opened(data) as runtime:
        state: Struct | None = runtime.state(agent, key)
        history: Sequence[tuple[str, ev.Event]] = runtime.history(agent, key)
    audit = FileAudit(data, "reprieve.cli")
    if isinstance(state, AccountState):
        audit.record([(state.borrower_id, [STORY])], actor, purpose)
    elif isinstance(state, BorrowerState):
        consents = book_named(book_of(data)).policy_for("", "").affordability.purposes
        state, history = borrower_shown(audit, state, history, actor=actor, purpose=purpose, consents=consents)
    if state is None:
        what = "account" if agent == "account" else "borrower"
        raise WrongUse(f"No {what} {key} is known in {data}. Check the id, or publish its events.")
    told = sorted((e for name, e in history if _stands(name, e)), key=story_order)
    if as_json:
        say_json({"state": _state(state), "history": told})
        return
    console = Console()
    table = Table("what", "is", title=f"{agent} {key}", show_lines=False)
    for name, value in _state(state).items():
        if value not in (0, "", None, [], {}, False):
            table.add_row(name, str(value))
    console.print(table)
    table = Table("day", "event", "what it says", title="History: what came in, and what was said")
    for event in told:
        table.add_row(str(story_order(event)[0]), type(event).__name__, _words(event))
    console.print(table)


def _stands(name: str, event: ev.Event) -> bool:
    return not (name.startswith(SAID) and isinstance(event, ev.Corrected))


def _state(state: Struct) -> dict[str, object]:
    """Return a state by field, with days as dates."""
    plain = {f: to_builtins(_by_name(getattr(state, f))) for f in state.__struct_fields__}
    return {k: str(date.fromordinal(v)) if k in DAYS and isinstance(v, int) and v else v for k, v in plain.items()}


def _by_name(value: object) -> object:
    """Return Structs as dictionaries all the way down: what is stored compactly is shown with its names."""
    if isinstance(value, Struct):
        return {k: _by_name(v) for k, v in structs.asdict(value).items()}
    if isinstance(value, dict):
        return {k: _by_name(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_by_name(v) for v in value]
    return value


def _words(event: ev.Event) -> str:
    fields = ((f, getattr(event, f)) for f in event.__struct_fields__ if f not in ENVELOPE)
    return ", ".join(f"{f.rstrip('_')} {_short(v)}" for f, v in fields if v not in (None, (), {}))


def _short(value: object) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], Struct):
        return f"{len(value)} items"
    if isinstance(value, tuple):
        return "; ".join(map(str, value))
    if isinstance(value, Struct):
        return " ".join(f"{f} {getattr(value, f)}" for f in value.__struct_fields__ if getattr(value, f))
    return str(value)
