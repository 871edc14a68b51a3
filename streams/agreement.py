"""A repayment agreement as a page that a borrower can keep: all that was agreed, from the event that made it.

The clauses are those that were recorded when the plan was accepted, word for word. In another language they are a
translation, and say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from agents.amounts import PARTS, money
from agents.disclosures import Terms, disclosures_of
from agents.option_words import Locale
from schemas import events as ev

WORDS: dict[Locale, dict[str, str]] = {
    "zh": {
        "title": "个性化分期还款协议",
        "number": "协议编号",
        "lender": "贷款人",
        "borrower": "借款人编号",
        "account": "账户",
        "agreed_on": "达成日期",
        "rules": "适用规则",
        "recording": "电话录音编号",
        "recording_kept": "录音至少保存至欠款结清之日",
        "balance": "欠款余额、结构和币种",
        "principal": "本金",
        "interest": "利息",
        "fees": "费用",
        "penalty": "违约金",
        "sum": "合计",
        "owed": "欠款",
        "waived": "减免",
        "financed": "分期本金",
        "terms": "约定事项",
        "schedule": "还款计划表",
        "period": "期次",
        "due_on": "还款日",
        "amount": "每期金额",
        "of_principal": "其中本金",
        "of_interest": "其中利息",
        "left": "剩余本金",
        "schedule_now": "现行还款计划表",
        "more": "在发出方案至达成协议期间，欠款增加{amount}，列于末期之后，各期金额不增加。",
        "less": "在发出方案至达成协议期间，欠款减少{amount}，自末期起扣减，利息按实际余额计算。",
        "onto_last": "在发出方案至达成协议期间，欠款增加{amount}，计入末期，不超过约定的每期最高金额。",
        "spread": "在发出方案至达成协议期间，欠款增加{amount}。因期限不得延长，该金额分摊至各期。",
        "forgiven": "差额{amount}不再收取。",
        "beside": "已出账单金额{amount}不在本计划内，须于{due_on}另行支付。",
        "rate": "年利率",
        "translation": "本页为译文，仅供参考；以达成协议时所用语言的文本为准。",
    },
    "en": {
        "title": "Personal repayment agreement",
        "number": "Agreement",
        "lender": "Lender",
        "borrower": "Borrower",
        "account": "Account",
        "agreed_on": "Agreed on",
        "rules": "Rules",
        "recording": "Recording of the call",
        "recording_kept": "kept at least until the debt is settled",
        "balance": "Balance, its structure and currency",
        "principal": "Principal",
        "interest": "Interest",
        "fees": "Fees",
        "penalty": "Penalties",
        "sum": "Sum",
        "owed": "Owed",
        "waived": "Waived",
        "financed": "To be repaid",
        "terms": "What is agreed",
        "schedule": "Schedule",
        "period": "No.",
        "due_on": "Due on",
        "amount": "Amount",
        "of_principal": "Principal",
        "of_interest": "Interest",
        "left": "Principal left",
        "schedule_now": "Schedule that counts",
        "more": "Between the offer and the agreement {amount} was added to the debt. It is asked for behind the last "
        "instalment; those that were agreed stay as they are.",
        "less": "Between the offer and the agreement the debt fell by {amount}. The last instalments are smaller or "
        "no longer needed, and interest is charged on what is really owed.",
        "onto_last": "Between the offer and the agreement {amount} was added to the debt. It is part of the last "
        "instalment, which is no larger than the largest that was agreed.",
        "spread": "Between the offer and the agreement {amount} was added to the debt. The plan may not run longer, so "
        "the instalments are larger.",
        "forgiven": "A difference of {amount} is not asked for.",
        "beside": "{amount} that was billed is not part of this plan and is to be paid on {due_on} beside it.",
        "rate": "Annual rate",
        "translation": "This is a translation, for information. The text in the language of the agreement counts.",
    },
}

_PAGES = Environment(
    loader=PackageLoader("streams", "pages"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def agreement(
    plan: ev.PlanActivated,
    locale: Locale | None = None,
    lender: str = "",
    adjusted: ev.PlanScheduleAdjusted | None = None,
    recording: str | None = None,
) -> str:
    """Return the agreement as HTML, without script and without any other host.

    locale: None for the language in which it was made. lender: the lender's name, if it is to be named. adjusted: what
    the account said of its schedule when the plan began, if it said anything. recording: where that of an oral
    agreement is kept.
    """
    said: Locale = "zh" if plan.locale == "zh" else "en"
    shown = locale or said
    balance = plan.balance or _financed(plan)
    clauses = plan.clauses
    if shown != said:
        terms = Terms(balance, plan.currency, plan.instalments, plan.annual_rate_bps, plan.broken_after_missed)
        clauses = disclosures_of(plan.clauses, terms, shown, agreed=True)
    structure = {p: (getattr(balance, p), getattr(plan.waived, p)) for p in PARTS}
    return _PAGES.get_template("agreement.html").render(
        words=WORDS[shown],
        language="zh-CN" if shown == "zh" else "en",
        translated=shown != said,
        plan=plan,
        lender=lender,
        recording=recording or plan.recording_ref,
        clauses=clauses,
        structure=structure,
        sums=[sum(column) for column in zip(*structure.values(), strict=True)],
        schedules=[
            (title, note, _rows(instalments), sum(i.amount for i in instalments))
            for title, note, instalments in _schedules(plan, adjusted, WORDS[shown])
        ],
        money=partial(money, currency=plan.currency),
    )


def recording_of(plan: ev.PlanActivated, history: Iterable[ev.Event]) -> str | None:
    """Return where the recording of a plan's oral agreement is kept, by what its borrower answered."""
    answers = (e for e in history if isinstance(e, ev.OfferAnswered) and e.answer == "accepted")
    return next((e.recording_ref for e in answers if e.offer_id == plan.offer_id and e.recording_ref), None)


def standing(
    events: Iterable[ev.Event],
) -> tuple[list[ev.PlanActivated], dict[str, ev.PlanScheduleAdjusted]]:
    """Return the plans of an account's history, and what was said of the schedules of those that were adjusted."""
    known = list(events)
    plans = [e for e in known if isinstance(e, ev.PlanActivated)]
    return plans, {e.plan_id: e for e in known if isinstance(e, ev.PlanScheduleAdjusted)}


def _schedules(
    plan: ev.PlanActivated, adjusted: ev.PlanScheduleAdjusted | None, words: dict[str, str]
) -> Iterator[tuple[str, str, tuple[ev.PlanInstalment, ...]]]:
    yield words["schedule"], "", plan.instalments
    if adjusted is not None:
        yield words["schedule_now"], " ".join(_notes(plan, adjusted, words)), adjusted.instalments


def _notes(plan: ev.PlanActivated, adjusted: ev.PlanScheduleAdjusted, words: dict[str, str]) -> Iterator[str]:
    """Yield what the borrower has to know of a schedule that differs from the one that was agreed."""
    most = max((i.amount for i in plan.instalments), default=0)
    how = "less" if adjusted.difference < 0 else ""
    if adjusted.difference > adjusted.forgiven:
        how = "more" if len(adjusted.instalments) > adjusted.agreed else "onto_last"
        if any(i.amount > most for i in adjusted.instalments):
            how = "spread"
    if how:
        yield words[how].format(amount=money(abs(adjusted.difference), currency=plan.currency))
    if adjusted.forgiven:
        yield words["forgiven"].format(amount=money(adjusted.forgiven, currency=plan.currency))
    for bill in adjusted.beside:
        amount = money(bill.principal + bill.interest + bill.fees, currency=plan.currency)
        yield words["beside"].format(amount=amount, due_on=bill.due_on)


def _rows(instalments: Sequence[ev.PlanInstalment]) -> list[tuple[ev.PlanInstalment, int]]:
    """Return the instalments, each with the principal that is left after it."""
    left = sum(i.principal for i in instalments)
    rows = []
    for i in instalments:
        left -= i.principal
        rows.append((i, left))
    return rows


def _financed(plan: ev.PlanActivated) -> ev.Amounts:
    """Return what a plan of an earlier release must have been made for; it did not say its balance."""
    w = plan.waived
    financed = sum(i.principal for i in plan.instalments)
    return ev.Amounts(principal=financed + w.principal, interest=w.interest, fees=w.fees, penalty=w.penalty)
