"""`reprieve account` and `reprieve borrower`: what is known as of the last closed day, why, and how it came about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from agents.account.agent import AccountAgent
from agents.account.corrections import EMITTED
from agents.account.rules import Rules
from agents.account.view import as_of
from agents.amounts import PARTS, money, priced
from console.account_page import account_details, account_summary, iso
from console.borrower_page import active_accounts, consent_purposes
from console.timelines import timeline_order
from console.words import describe, singular, translated
from schemas import events as ev
from schemas.errors import UsageError
from state.account import AccountState
from state.borrower import BorrowerState
from state.profile import MONEY
from streams.cli.auditing import actor_option, purpose_option
from streams.cli.common import data_option, json_option, opened, say_json
from streams.cli.plain_state import plain
from streams.local.runtime import LocalRuntime
from streams.security.audit import PURPOSES, FileAudit
from streams.security.disclosure import disclose_borrower, disclosed_fields_of

Row = tuple[object, ...]


@click.command("account")
@click.argument("account_id")
@data_option
@purpose_option
@actor_option
@json_option
def account_command(account_id: str, data: Path, purpose: str | None, actor: str, as_json: bool) -> None:
    """Show where an account stands as of the last closed day, why, and its history.

    That it was shown goes on record. On Kafka, the console (`reprieve console --kafka`) and the views in Redis
    (`reprieve views show account ID`) show accounts.
    """
    with opened(data) as runtime:
        closed = _closed(runtime)
        found = _account(runtime, account_id, closed)
        history = runtime.history("account", account_id)
        policies = runtime.policies.in_force_on(closed + 1)
    if found is None:
        raise UsageError(f"No account {account_id} is known in {data}. Check the id, or publish its events.")
    state, rules = found
    by_default = policies.is_by_default(state.jurisdiction, state.product)
    FileAudit(data, "reprieve.cli").record(disclosed_fields_of(state), actor, purpose or "case_work")
    events = _standing_events(history)
    standing = account_details(state, rules, events, closed)
    if as_json:
        say_json(
            {
                "as_of": standing["through"],
                "by_default": by_default,
                "standing": standing,
                "state": plain(state),
                "history": events,
            }
        )
    else:
        _print_account(Console(), standing, events, by_default=by_default)


@click.command("borrower")
@click.argument("borrower_id")
@data_option
@purpose_option
@actor_option
@json_option
def borrower_command(borrower_id: str, data: Path, purpose: str | None, actor: str, as_json: bool) -> None:
    """Show what is known of a borrower: accounts in trouble, offers, answers.

    For the work on a case means are shown as far as a consent is in force. That it was shown goes on record.
    """
    if purpose is None:
        raise click.UsageError(f"Say with --purpose what a person is looked up for: {', '.join(PURPOSES)}.")
    with opened(data) as runtime:
        closed = _closed(runtime)
        state, history = runtime.state("planner", borrower_id), runtime.history("planner", borrower_id)
        if not isinstance(state, BorrowerState):
            raise UsageError(f"No borrower {borrower_id} is known in {data}. Check the id, or publish its events.")
        found = [_account(runtime, account, closed) for account in active_accounts(state)]
        known_accounts = [account for account in found if account is not None]
        purposes = consent_purposes(
            runtime.policies.in_force_on(closed + 1), [account for account, _ in known_accounts]
        )
    accounts = [account_summary(*known, closed) for known in known_accounts]
    audit = FileAudit(data, "reprieve.cli")
    state, shown = disclose_borrower(
        audit, state, history, actor=actor, purpose=purpose, consents=purposes, accounts=bool(accounts)
    )
    events = _standing_events(shown)
    if as_json:
        say_json({"as_of": iso(closed), "accounts": accounts, "state": plain(state), "history": events})
    else:
        _print_borrower(Console(), state, accounts, events, closed)


def _closed(runtime: LocalRuntime) -> int:
    return runtime.closed_through.toordinal() if runtime.closed_through else 0


def _account(runtime: LocalRuntime, key: str, closed: int) -> tuple[AccountState, Rules] | None:
    """Return an account as of the last closed day, and its rules; None where it is not known."""
    state = runtime.state("account", key)
    if not isinstance(state, AccountState):
        return None
    rules = AccountAgent().rules(runtime.policies, state)
    return as_of(state, rules, closed), rules


def _standing_events(history: Iterable[tuple[str, ev.Event]]) -> list[ev.Event]:
    stands = (e for name, e in history if not (name.startswith(EMITTED) and isinstance(e, ev.EventSuperseded)))
    return sorted(stands, key=timeline_order)


# -- for people


def _print_account(console: Console, a: dict[str, Any], events: Sequence[ev.Event], *, by_default: bool) -> None:
    price = partial(priced, currency=a["currency"])
    status, paid, ahead = a["status"], a["paid"], a["next"]
    console.print(f"Account {a['account']} of borrower {a['borrower']}, as of {a['through']}", style="bold")
    holds = ", ".join(f"{_code(h['kind'])} from {h['from']} until {h['until'] or 'released'}" for h in status["holds"])
    _pairs(
        console,
        [
            ("Product", f"{_code(a['product'])}, {a['jurisdiction']}, {a['annual_rate_bps'] / 100:.2f} % a year"),
            *([("Rules", "by default: no row of the policy book names this jurisdiction")] if by_default else []),
            ("Opened", a["opened"]),
            *([("Closed", f"{status['closed']} ({_code(status['closed_as'])})")] if status["closed"] else []),
            ("Days past due", f"{status['days_past_due']} ({_code(status['bucket'])})"),
            ("Missed instalments", status["missed"]),
            ("Overdue", price(status["overdue"])),
            ("Next instalment", "none" if ahead is None else f"{ahead['due']}, {price(ahead['amount'])}"),
            ("Owed", f"{price(sum(a['owed'].values()))}: {_parts(a['owed'], price)}"),
            *([("Not yet owed", f"{price(a['to_come'])} of later interest and fees")] if a["to_come"] else []),
            ("Paid", f"{price(paid['received'])}: {_parts(paid, price)}"),
            *([("Credit", price(paid["credit"]))] if paid["credit"] else []),
            *([("Waived", price(a["waived"]))] if a["waived"] else []),
            ("Bad debt", _code(status["bad_debt"]) + (f" since {status['bad_debt_on']}" if a["why"] else "")),
            ("Impairment", f"stage {status['stage']}, allowance {price(status['allowance'])}"),
            *((f"Class {policy}", _code(name)) for policy, name in status["classes"].items()),
            ("Credit standing", _code(status["standing"])),
            ("Collection", "stopped" if status["collection_stopped"] else "allowed"),
            ("Failed contact attempts", status["attempts"]),
            *([("Failed payments", status["failed_payments"])] if status["failed_payments"] else []),
            ("Holds", holds or "none"),
            *(
                ("Promise", f"{price(p['amount'])} by {p['due']}, {price(p['paid'])} paid since {p['made']}")
                for p in a["promises"]
            ),
            *([("Plan", _plan(a["plan"]))] if a["plan"] else []),
            *((f"{_code(p['role']).capitalize()} {p['borrower']}", _contact(p["not_contacted"])) for p in a["parties"]),
        ],
    )
    if a["why"]:
        steps = ((x["day"], f"{_code(x['from'])} → {_code(x['to'])}", _step(x)) for x in a["why"])
        _table(console, "The way into bad debt", ("day", "from → to", "why"), steps)
    for step in a["next_steps"]:
        checks = (("✓" if c["met"] else "✗", c["words"]["en"]) for c in step["conditions"])
        _table(console, f"Conditions of the next step, {_code(step['to'])} ({step['policy']})", ("", ""), checks)
    if a["instalments"]:
        amount = partial(money, currency=a["currency"])
        rows = [
            (
                f"{i['number']}{' (plan)' if i['plan'] else ''}",
                i["due"],
                amount(i["asked"]),
                amount(i["paid"]),
                singular(f"due {i['days']} days ago") if i["is"] == "late" else _code(i["is"]),
                amount(i["owed"]["principal"]),
                amount(i["owed"]["interest"]),
                amount(i["owed"]["fees"] + i["owed"]["penalty"]),
            )
            for i in a["instalments"]
        ]
        more = f", and {a['instalments_more']} more" if a["instalments_more"] else ""
        head = ("no.", "due", "asked", "paid", "status", "principal", "interest", "charges")
        title = f"Instalments in {a['currency']}{more}: asked, paid toward it, and left by the allocation of payments"
        _table(console, title, head, rows, right=(2, 3, 5, 6, 7))
    since = [(e["day"], "received", e["words"]["en"]) for e in a["waiting"]]
    since += [(e["day"], "published", e["words"]["en"]) for e in a["early"]]
    if since:
        _table(console, "Since the last close; it counts at the close of its day", ("day", "", "what"), since)
    _history(console, events, a["currency"])


def _print_borrower(
    console: Console, s: BorrowerState, accounts: Sequence[dict[str, Any]], events: Sequence[ev.Event], closed: int
) -> None:
    console.print(f"Borrower {s.borrower_id}" + (f", as of {iso(closed)}" if closed else ""), style="bold")
    if accounts:
        rows = [
            (
                a["account"],
                priced(a["owed"], a["currency"]),
                priced(a["overdue"], a["currency"]),
                a["days_past_due"],
                "none" if a["next"] is None else f"{a['next']['due']}, {priced(a['next']['amount'], a['currency'])}",
                ", ".join([_code(a["bad_debt"] if a["bad_debt"] != "none" else a["bucket"]), *map(_code, a["holds"])]),
            )
            for a in accounts
        ]
        head = ("account", "owed", "overdue", "days past due", "next instalment", "status")
        _table(console, "Accounts in trouble or under a plan", head, rows, right=(1, 2, 3))
    offer = s.open_offer()
    choices, paid_in = (offer.choices, offer.currency) if offer is not None else ((), "")
    ceiling, currency = s.ceiling
    _pairs(
        console,
        [
            *(
                (f"Plan {p.plan_id}", f"on {account}, last instalment {iso(p.until)}")
                for account, p in sorted(s.plans.items())
                if not p.ended
            ),
            *(
                (f"Account {account}", f"{_code(c.role)}, {_contact(c.reason)}")
                for account, c in sorted(s.parties.items())
                if c.role
            ),
            ("Offers so far", s.sequence),
            (
                "Open offer",
                "none" if offer is None else f"{offer.offer_id}, {_code(offer.kind)}, until {iso(offer.expires)}",
            ),
            *((f"Option {c.option_id}", f"{c.term_months} × {priced(c.instalment, paid_in)}") for c in choices),
            *([("No offers before", f"{iso(s.paused_until)} ({_code(s.pause_reason)})")] if s.paused_until else []),
            *([("Refused as too high", f"{priced(ceiling, currency)} a month")] if ceiling else []),
            *([("Longest term accepted", f"{s.max_term} months")] if s.max_term else []),
            *([("In distress", "yes")] if s.distressed else []),
        ],
    )
    if s.readings:
        means = [
            (
                _code(r.field),
                priced(r.value, r.currency or s.base_currency[2])
                if r.field in MONEY and isinstance(r.value, int)
                else r.value,
                f"{_code(r.kind)}, {r.origin}",
                iso(r.as_of),
            )
            for r in s.readings
        ]
        _table(console, "Means, as far as they may be shown", ("what", "is", "source", "as of"), means)
    _history(console, events, s.base_currency[2])


def _contact(reason: str) -> str:
    return f"may not be contacted about it: {_code(reason)}" if reason else "may be contacted about it"


def _history(console: Console, events: Sequence[ev.Event], currency: str) -> None:
    rows = ((timeline_order(e)[0], type(e).__name__, describe(e, currency)["en"]) for e in events)
    _table(console, "History: what was received and what was published", ("day", "event", "what it says"), rows)


def _pairs(console: Console, rows: Iterable[tuple[str, object]]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(name, str(value))
    console.print(Padding(table, (0, 0, 1, 2)))


def _table(console: Console, title: str, head: Sequence[str], rows: Iterable[Row], right: Iterable[int] = ()) -> None:
    """Print a table; the columns `right` hold numbers."""
    table = Table(*head, box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(head))
    for number in right:
        table.columns[number].justify = "right"
    for row in rows:
        table.add_row(*map(str, row))
    console.print(title, style="bold")
    console.print(Padding(table, (0, 0, 1, 2)))


def _parts(amounts: dict[str, int], price: Callable[[int], str]) -> str:
    return ", ".join(f"{part} {price(amounts[part])}" for part in PARTS if amounts[part]) or "nothing"


def _plan(plan: dict[str, Any]) -> str:
    return f"{plan['plan']} since {plan['since']}: {plan['kept']} instalments kept, {plan['missed']} missed"


def _step(step: dict[str, Any]) -> str:
    reasons = "; ".join(reason["en"] for reason in step["reasons"])
    by = f" ({step['policy']})" if step["policy"] else ""
    return reasons + by + (f"; evidence {', '.join(step['evidence'])}" if step["evidence"] else "")


def _code(code: str) -> str:
    return translated(code)["en"]
