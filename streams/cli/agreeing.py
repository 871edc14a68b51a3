"""`reprieve agreement`: what was agreed with a borrower, as a page to keep."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from agents.planner.offer_texts import Locale
from schemas.errors import UsageError
from state.account import AccountState
from streams.agreement import agreement, policy_of, recording_of, standing
from streams.cli.auditing import actor_option, purpose_option
from streams.cli.common import data_option, opened
from streams.cli.writing import write
from streams.security.audit import FileAudit
from streams.security.disclosure import agreement_fields


@click.command("agreement")
@click.argument("account_id")
@click.option("--plan", "plan_id", metavar="ID", help="Which of the account's plans; the latest unless said.")
@click.option("--locale", type=click.Choice(["zh", "en"]), help="The language it was agreed in unless said.")
@click.option("--lender", default="", metavar="NAME", help="The lender's name; the policy's unless said.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; standard output unless said.")
@data_option
@purpose_option
@actor_option
def agreement_command(
    account_id: str,
    plan_id: str | None,
    locale: str | None,
    lender: str,
    output: Path | None,
    data: Path,
    purpose: str | None,
    actor: str,
) -> None:
    """Write the repayment agreement of an account as HTML: balance, clauses and schedule. It goes on record."""
    with opened(data) as runtime:
        plans, adjusted = standing(e for _, e in runtime.history("account", account_id))
    found = [p for p in plans if plan_id in (None, p.plan_id)]
    if not found:
        which = f"no plan {plan_id}" if plan_id else "no plan"
        raise UsageError(f"Account {account_id} has {which} in {data}. See `reprieve account {account_id}`.")
    latest = max(found, key=lambda p: (p.activated_on, p.occurred_at, p.plan_id))
    with opened(data) as runtime:
        recording = recording_of(latest, (e for _, e in runtime.history("planner", latest.borrower_id)))
        account = runtime.state("account", account_id)
        assert isinstance(account, AccountState)
        policy = policy_of(latest, account, runtime.policies)
    shown = [(latest.borrower_id, agreement_fields(recording))]
    FileAudit(data, "reprieve.cli").record(shown, actor, purpose or "case_work")
    page = agreement(
        latest,
        cast("Locale | None", locale),
        lender,
        adjusted.get(latest.plan_id),
        recording,
        policy,
        account.jurisdiction,
        account,
    )
    if output is None:
        click.echo(page, nl=False)
    else:
        write(output, page.encode(), read=data.iterdir())
        click.echo(f"wrote {output}", err=True)
