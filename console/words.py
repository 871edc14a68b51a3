"""Events in words, Chinese and English, for the timeline of an account or a borrower."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from agents.amounts import priced
from agents.education import CATALOGUE
from console.codes import CHINESE, ENGLISH, KINDS, PATTERNS
from schemas import events as ev

Both = dict[str, str]

WORDS: dict[str, tuple[str, str]] = {
    "AccountOpened": ("开户：{product}，本金{principal}", "Account opened: {product}, principal {principal}"),
    "AccountClosed": ("销户：{reason}", "Account closed: {reason}"),
    "InstalmentBilled": (
        "第{number}期账单，{due_on}到期，本金{principal}",
        "Statement {number}, due {due_on}, principal {principal}",
    ),
    "PaymentReceived": ("收到还款{amount}（{channel}）", "Payment of {amount} received ({channel})"),
    "PaymentReversed": ("还款{payment_id}被撤销：{reason}", "Payment {payment_id} reversed: {reason}"),
    "PaymentFailed": ("还款{amount}失败：{reason}", "Payment of {amount} failed: {reason}"),
    "ContactAttempted": ("联系（{channel}，{direction}）：{outcome}", "Contact by {channel}, {direction}: {outcome}"),
    "PromiseMade": ("承诺{due_on}前还{amount}", "Promises {amount} by {due_on}"),
    "HoldPlaced": ("暂停催收：{kind}，自{from_on}", "Hold: {kind}, from {from_on}"),
    "HoldReleased": ("暂停结束（{hold_id}）", "Hold {hold_id} released"),
    "BadDebtReviewed": ("呆账复核：{decision}（{ground}）", "Bad debt reviewed: {decision} ({ground})"),
    "InstalmentMissed": ("第{number}期逾期，欠{overdue_amount}", "Missed instalment {number}: {overdue_amount} unpaid"),
    "InstalmentCaughtUp": ("补交第{number}期，迟{days_late}天", "Caught up instalment {number}, {days_late} days late"),
    "DelinquencyChanged": (
        "逾期{days_past_due}天：{from_} → {to}，{missed}期未还，逾期金额{overdue_amount}",
        "{days_past_due} days past due: {from_} → {to}, {missed} missed, {overdue_amount} overdue",
    ),
    "ClassificationChanged": (
        "风险分类（{policy}）：{from_} → {to}：{reasons}",
        "Class under {policy}: {from_} → {to}: {reasons}",
    ),
    "BadDebtChanged": ("呆账：{from_} → {to}：{reasons}", "Bad debt: {from_} → {to}: {reasons}"),
    "ImpairmentChanged": ("减值第{stage}阶段，准备{allowance}", "Impairment stage {stage}, allowance {allowance}"),
    "ChargeAccrued": ("计收{kind}：{amount}", "Charged {kind}: {amount}"),
    "Corrected": (
        "更正：{superseded_type}不再成立：{reason}",
        "Corrected: {superseded_type} no longer stands: {reason}",
    ),
    "WorkoutRequested": ("请求还款方案", "A plan is asked for"),
    "WorkoutEnded": ("不再需要方案：{reason}", "No plan is wanted any more: {reason}"),
    "OfferPublished": (
        "发出{options}个还款方案，{expires_on}前有效",
        "Offered {options} ways to repay, open until {expires_on}",
    ),
    "OfferWithdrawn": ("方案撤回：{reason}", "Offer withdrawn: {reason}"),
    "OfferExpired": ("方案到期未答复", "Offer expired"),
    "ContactRevised": (
        "可联系时间改为{contact}（{reason}）",
        "May be reached {contact} now ({reason})",
    ),
    "ContactBreached": (
        "联系{attempt_id}（{attempted_at}，{account_id}）违反规定：{rules}",
        "Contact {attempt_id} of {account_id} at {attempted_at} broke the rules: {rules}",
    ),
    "OfferAnswered": ("答复（{channel}）：{answer} {reasons}", "Answered {channel}: {answer} {reasons}"),
    "PlanActivated": ("分期协议生效：{instalments}期", "Plan of {instalments} instalments agreed"),
    "PlanInstalmentKept": ("按期归还第{number}期", "Kept plan instalment {number}"),
    "PlanInstalmentMissed": ("未还第{number}期，欠{unpaid}", "Missed plan instalment {number}: {unpaid} unpaid"),
    "PlanBroken": (
        "协议失效：{reason}（已还{kept}期，未还{missed}期）",
        "Plan broken: {reason} ({kept} kept, {missed} missed)",
    ),
    "PlanCompleted": ("协议履行完毕（{kept}期）", "Plan completed ({kept} kept)"),
    "PlanReplaced": ("协议由新协议取代", "Plan replaced by another"),
    "PlanPostponed": (
        "还款顺延{months}个月，下期{next_due_on}",
        "Plan postponed by {months} months, next due {next_due_on}",
    ),
    "PlanScheduleAdjusted": (
        "达成协议前欠款变动{difference}，现共{instalments}期",
        "Debt changed by {difference} before acceptance: {instalments} instalments now",
    ),
    "PlanReviewRequested": ("收入变化，重新评估协议", "Means have changed; the plan is reviewed"),
    "CollectionStopped": ("停止催收：{reason}", "Collection stopped: {reason}"),
    "CollectionResumed": ("恢复催收：{reason}", "Collection resumed: {reason}"),
    "CreditStandingChanged": ("信用状况：{from_} → {to}：{reasons}", "Credit standing: {from_} → {to}: {reasons}"),
    "ProfileReported": ("收支信息更新（{kind}，截至{as_of}）", "Means reported ({kind}, as of {as_of})"),
    "ConsentGranted": ("同意使用信息：{purpose}", "Consent granted: {purpose}"),
    "ConsentWithdrawn": ("撤回同意：{purpose}", "Consent withdrawn: {purpose}"),
    "ErasureRequested": ("要求删除个人信息", "Erasure requested"),
    "EducationCompleted": ("完成学习：{item_id}", "Completed education item {item_id}"),
}
OFFERS: dict[str, tuple[str, str]] = {
    "OfferPublished of one": (
        "发出1个还款方案，{expires_on}前有效",
        "Offered one way to repay, open until {expires_on}",
    ),
    "OfferPublished of none": ("目前没有可承受的方案，转由专人联系", "Nothing is affordable: a person is asked for"),
}
MONEY = frozenset({"amount", "principal", "overdue_amount", "allowance", "unpaid", "difference"})


def worded(event: ev.Event, currency: str) -> Both:
    """Return what an event says in both languages; its name where there are no words for it."""
    name = type(event).__name__
    if isinstance(event, ev.OfferPublished) and len(event.options) < 2:
        name += " of one" if event.options else " of none"
    texts = WORDS.get(name) or OFFERS.get(name)
    if texts is None:
        return {"zh": name, "en": name}
    fields = {f: getattr(event, f) for f in event.__struct_fields__}
    zh = {k: _plain(k, v, currency, chinese=True) for k, v in fields.items()}
    en = {k: _plain(k, v, currency, chinese=False) for k, v in fields.items()}
    return {"zh": texts[0].format(**zh).strip(), "en": texts[1].format(**en).strip()}


def both(value: Any, currency: str = "") -> Both:
    """Return a code, or several reasons, in both languages."""
    return {
        "zh": _plain("reasons", value, currency, chinese=True),
        "en": _plain("reasons", value, currency, chinese=False),
    }


def _plain(name: str, value: Any, currency: str, *, chinese: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and name in MONEY:
        return priced(value, currency)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, ev.Contact):
        return _window(value, chinese=chinese)
    if isinstance(value, tuple | list):
        if name in ("options", "instalments"):
            return str(len(value))
        return ("；" if chinese else "; ").join(_plain(name, v, currency, chinese=chinese) for v in value)
    if name == "item_id" and value in CATALOGUE:
        return CATALOGUE[value]["zh" if chinese else "en"]
    return _chinese(name, str(value)) if chinese else _english(name, str(value))


def _window(contact: ev.Contact, *, chinese: bool) -> str:
    if not contact.channels:
        return "不可联系" if chinese else "not at all"
    zone = ZoneInfo(contact.time_zone)
    start, end = (at.astimezone(zone).strftime("%Y-%m-%d %H:%M") for at in (contact.not_before, contact.not_after))
    return f"{start}至{end}（{contact.time_zone}）" if chinese else f"{start} to {end} {contact.time_zone}"


def _chinese(name: str, text: str) -> str:
    if text in CHINESE:
        return CHINESE[text]
    for pattern, said in PATTERNS:
        text = re.sub(pattern, said, text)
    if name == "reasons":
        # Codes within what the engine says of itself; what other systems say is left as it is.
        text = re.sub(r"[a-z]+(?:_[a-z]+)*", lambda found: CHINESE.get(found[0], found[0]), text)
    return _kinds(text, 0)


def _english(name: str, text: str) -> str:
    if text in ENGLISH:
        return ENGLISH[text]
    if re.fullmatch(r"[a-z0-9_]+", text) and not text[0].isdigit():
        return text.replace("_", " ")
    if name == "reasons":
        text = re.sub(r"[a-z]+(?:_[a-z]+)+", lambda found: found[0].replace("_", " "), text)
    return _kinds(text, 1)


def _kinds(text: str, language: int) -> str:
    """Return a text in which kinds of events have the names that people use."""
    return re.sub(r"\b[A-Z][a-z]+[A-Z]\w+\b", lambda m: KINDS[m[0]][language] if m[0] in KINDS else m[0], text)
