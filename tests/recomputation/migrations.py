"""Accounts that are taken over: opening positions as other systems and other lenders would state them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from schemas import events as ev
from tests.recomputation.account import Account
from tests.recomputation.agreements import look
from tests.recomputation.histories import Author
from tests.recomputation.money import FEES, INTEREST, PENALTY, PRINCIPAL, Instalment


def take_over(a: Author) -> None:
    """Turn a history into that of an account which was taken over on one of its days.

    The position is what the recomputation says at the close of that day, with some figures stated otherwise or left
    out. Facts of before are sent along with it, or not at all.
    """
    rng = a.rng
    day = rng.randrange(min(a.days, 200))
    account = look(a, day)
    if account.ended:
        return
    position = _position(a, account, day)
    facts = a.history.facts
    opening = next(e for _, e in facts if isinstance(e, ev.AccountOpened))
    how = rng.random()
    if how < 0.4:
        facts[:] = [(d, e) for d, e in facts if not isinstance(e, ev.AccountOpened)]
    elif how < 0.6:
        # No history comes but holds and what begins later.
        keeps = (ev.HoldPlaced, ev.HoldReleased)
        facts[:] = [(d, e) for d, e in facts if d > day or isinstance(e, keeps)]
    if opening.reported_from is not None:
        facts[:] = [(d, msgspec.structs.replace(e, reported_from=None)) if e is opening else (d, e) for d, e in facts]
    on = min(a.days, day + rng.choice((0, 0, 0, 1, 10)))
    facts.append((on, position))
    if rng.random() < 0.3:
        corrected = msgspec.structs.replace(
            position,
            **a.base(on, 20),
            revision=position.revision + 1,
            failed_attempts=position.failed_attempts + 1,
            instalments=tuple(
                msgspec.structs.replace(i, penalty=i.penalty + 3 * (i.due_on < position.as_of))
                for i in position.instalments
            ),
        )
        facts.append((min(a.days, on + rng.choice((0, 1, 20))), corrected))
    if position.plan is not None:
        a.plan_ids.append(position.plan.plan_id)


def _position(a: Author, account: Account, day: int) -> ev.OpeningPosition:
    rng = a.rng
    plan = account.plan
    own = account.money.instalments if plan is None else plan.replaced
    beside = [] if plan is None else [i for i in account.money.instalments if i.plan is None]
    opening = account.opening
    more: dict[str, Any] = {}
    if plan is not None and not beside:
        rows = [i for i in account.money.instalments if i.plan == plan.plan_id and not i.kept]
        of_plan = [*rows, *(i for i in account.money.gone if i.plan == plan.plan_id)]
        more["plan"] = ev.PositionPlan(
            plan_id=plan.plan_id,
            offer_id=plan.offer_id,
            activated_on=a.start + timedelta(days=plan.activated - a.start.toordinal()),
            annual_rate_bps=plan.rate,
            instalments=tuple(_instalment(a, i) for i in rows),
            kept=plan.kept,
            missed=plan.missed,
            missed_in_a_row=plan.row,
            paid=sum(plan.paid.values()) + sum(sum(i.allocated.values()) for i in of_plan),
            waived=ev.Amounts(**plan.waived),
        )
    elif beside:
        own = account.money.instalments
    bad_debt = account.bad_debt
    if rng.random() < 0.2:
        bad_debt = rng.choice(("candidate", "recognised", "charged_off", "recovering"))
    return ev.OpeningPosition(
        **a.base(day, 22),
        account_id="A1",
        borrower_id="B1",
        product=opening.product,
        jurisdiction=opening.jurisdiction,
        currency=opening.currency,
        opened_on=opening.opened_on,
        as_of=a.on(day),
        annual_rate_bps=account.rate,
        principal=account.charges.principal,
        instalments=tuple(_instalment(a, i, i.plan is not None) for i in own),
        credit=account.money.credit,
        charged=account.charges.charged,
        statement_principal=account.charges.statements,
        last_payment_on=rng.choice((None, _on(account.last_payment))),
        clean_since=None if account.arrears else rng.choice((None, _on(account.clean_since))),
        material_since=rng.choice((None, a.on(max(0, day - account.counter_days)))) if account.counter_days else None,
        classes={
            c.policy: account.classes[c.policy].name
            for c in account.policy.classifications
            if c.policy in account.classes
            and rng.random() < 0.7
            # A debt that was terminated keeps a class that the rules may no longer have.
            and account.classes[c.policy].name in {t.name for t in c.thresholds}
        },
        stage=rng.choice((None, account.stage)),
        allowance=rng.choice((0, account.allowance)),
        bad_debt=bad_debt,  # type: ignore[arg-type]
        bad_debt_on=rng.choice((None, a.on(max(0, day - 10)))),
        failed_attempts=account.attempts,
        standing=account.standing,  # type: ignore[arg-type]
        plans_broken=rng.choice((0, 1)),
        had_plan=account.had_plan,
        rejected=account.rejected,
        collection_stopped=rng.choice((account.stopped, False)),
        **more,
    )


def _on(day: int | None) -> Any:
    from datetime import date

    return None if day is None or day < 1 else date.fromordinal(day)


def _instalment(a: Author, i: Instalment, as_contract: bool = False) -> ev.PositionInstalment:
    stated = a.rng.random() < 0.6
    number = i.number + (500 if as_contract else 0)
    return ev.PositionInstalment(
        number=number,
        due_on=_on(i.due),
        principal=i.unpaid[PRINCIPAL],
        interest=i.unpaid[INTEREST],
        fees=i.unpaid[FEES],
        penalty=i.unpaid[PENALTY],
        amount_due=i.amount_due if stated else None,
        paid=i.paid if stated else None,
        billed=i.billed,
    )
