"""Events in words, Chinese and English, for the timeline of an account or a borrower."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo

from agents.amounts import priced
from agents.planner.offer_texts import ITEMS, titles_of
from console.codes import CHINESE, ENGLISH, KINDS, PATTERNS
from schemas import events as ev
from state.texts import LOCALES, Lender, Localised, messages_of

Translated = dict[str, str]
_MESSAGES = {locale: messages_of(Localised(), Lender(), locale) for locale in LOCALES}

WORDS: dict[str, tuple[str, str]] = {
    "AccountOpened": ("开户：{product}，本金{principal}", "Account opened: {product}, principal {principal}"),
    "OpeningPosition": (
        "账户迁入：{product}，截至{as_of}有{instalments}期未还清",
        "Account taken over: {product}, {instalments} instalments unpaid at the close of {as_of}",
    ),
    "AccountClosed": ("销户：{reason}", "Account closed: {reason}"),
    "AccountReopened": (
        "账户重新启用，自{reopened_on}：{reason}",
        "Account reopened from {reopened_on}: {reason}",
    ),
    "PartyChanged": (
        "{borrower_id}自{from_on}起为{role}",
        "{borrower_id} is {role} from {from_on}",
    ),
    "InstalmentBilled": (
        "第{number}期账单，{due_on}到期，本金{principal}",
        "Statement {number}, due {due_on}, principal {principal}",
    ),
    "InstalmentAdjusted": (
        "第{number}期金额调整：{changes}（{reason}）",
        "Instalment {number} adjusted: {changes} ({reason})",
    ),
    "AdjustmentReversed": (
        "撤销调整{adjustment_id}：{reason}",
        "Adjustment {adjustment_id} withdrawn: {reason}",
    ),
    "ScheduleRevised": (
        "还款计划自{effective_on}起变更，其后{instalments}期：{reason}",
        "Schedule revised from {effective_on}, {instalments} instalments to come: {reason}",
    ),
    "PaymentReceived": ("收到还款{amount}（{channel}）", "Payment of {amount} received ({channel})"),
    "PaymentReversed": ("还款{payment_id}被撤销：{reason}", "Payment {payment_id} reversed: {reason}"),
    "PaymentFailed": ("还款{amount}失败：{reason}", "Payment of {amount} failed: {reason}"),
    "ContactAttempted": ("联系（{channel}，{direction}）：{outcome}", "Contact by {channel}, {direction}: {outcome}"),
    "PromiseMade": ("承诺{due_on}前还{amount}", "Promises {amount} by {due_on}"),
    "PromiseKept": ("已履行承诺：{due_on}前还{amount}", "Kept the promise of {amount} by {due_on}"),
    "PromiseBroken": (
        "未履行承诺：{due_on}前应还{amount}，实还{paid}",
        "Broke the promise of {amount} by {due_on}: {paid} came in",
    ),
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
    "AccountEnded": ("账户已关闭：{reason}", "Account ended: {reason}"),
    "AccountRestored": ("账户已恢复：{reason}", "Account restored: {reason}"),
    "InputNotApplied": (
        "{fact_type}（{fact_id}）未生效：{code}",
        "{fact_type} {fact_id} has no effect: {reason}",
    ),
    "EventSuperseded": (
        "更正：{superseded_type}不再成立：{reason}",
        "Corrected: {superseded_type} no longer stands: {reason}",
    ),
    "WorkoutRequested": ("请求还款方案", "A plan is asked for"),
    "ContactRecorded": ("尝试联系（账户{account_id}）", "Tried to reach the borrower about account {account_id}"),
    "PlanProgressed": ("账户{account_id}的协议：{outcome}", "Plan of account {account_id}: {outcome}"),
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
    "PartyNoted": ("账户{account_id}的{role}：{reason}", "Account {account_id}, {role}: {reason}"),
    "PartyContactChanged": (
        "作为账户{account_id}的{role}，可联系时间：{contact}（{reason}）",
        "May be reached about account {account_id} ({role}): {contact} ({reason})",
    ),
    "ContactBreached": (
        "联系{attempt_id}（{attempted_at}，{account_id}）违反规定：{rules}",
        "Contact {attempt_id} of {account_id} at {attempted_at} broke the rules: {rules}",
    ),
    "OfferAnswered": ("答复（{channel}）：{answer} {reasons}", "Answered {channel}: {answer} {reasons}"),
    "AnswerNotApplied": ("答复未生效：{code}", "The answer {answer} has no effect: {reason}"),
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
    "PaymentFailureReported": (
        "还款{amount}失败（连续第{failures}次），建议{retry_on}再次还款",
        "Payment of {amount} failed, {failures} in a row; {retry_on} is proposed for the next attempt",
    ),
    "ProfileReported": ("收支信息更新（{kind}，截至{as_of}）", "Means reported ({kind}, as of {as_of})"),
    "ConsentGranted": ("同意使用信息：{purpose}", "Consent granted: {purpose}"),
    "ConsentWithdrawn": ("撤回同意：{purpose}", "Consent withdrawn: {purpose}"),
    "ErasureRequested": ("要求删除个人信息", "Erasure requested"),
    "EducationCompleted": ("完成学习：{item_id}", "Completed education item {item_id}"),
}
# Other words for a record of which a field says that it is another kind of thing.
VARIANTS: dict[str, tuple[str, str]] = {
    "InstalmentBilled of a revision": (
        "第{number}期账单更正（第{revision}次），{due_on}到期，本金{principal}",
        "Statement {number} corrected (revision {revision}), due {due_on}, principal {principal}",
    ),
    "PaymentReversed of a part": (
        "还款{payment_id}部分撤销，{amount}：{reason}",
        "Payment {payment_id} reversed in part, {amount}: {reason}",
    ),
    "PromiseMade of another": (
        "承诺{replaces}改为{due_on}前还{amount}",
        "Promises {amount} by {due_on}, in place of promise {replaces}",
    ),
    "OfferPublished of one": (
        "发出1个还款方案，{expires_on}前有效",
        "Offered one way to repay, open until {expires_on}",
    ),
    "OfferPublished of none": ("没有发出方案，转由专人联系", "No plan was offered: a person is asked for"),
    "OfferPublished of all": ("欠款可一次付清，无需方案", "What is owed can be paid at once: no plan is needed"),
    "PartyChanged of none": (
        "{borrower_id}自{from_on}起不再对账户负责",
        "{borrower_id} no longer answers for it from {from_on}",
    ),
    "PartyNoted of one who may": (
        "账户{account_id}的{role}：可以联系",
        "Account {account_id}, {role}: may be contacted",
    ),
    "PartyContactChanged of one who may": (
        "作为账户{account_id}的{role}，可联系时间：{contact}",
        "May be reached about account {account_id} ({role}): {contact}",
    ),
    "ContactRecorded of a talk": (
        "联系并通话（账户{account_id}）",
        "Spoke with the borrower about account {account_id}",
    ),
    "ContactRecorded of a call": ("借款人来电（账户{account_id}）", "The borrower called about account {account_id}"),
}
# What became of a plan, as the planner is told.
PROGRESS: dict[str, tuple[str, str]] = {
    "kept": ("按期归还第{number}期", "instalment {number} kept"),
    "missed": ("未还第{number}期", "instalment {number} missed"),
    "broken": ("失效", "broken"),
    "completed": ("履行完毕", "completed"),
    "replaced": ("由新协议取代", "replaced by another"),
    "postponed": ("顺延{number}个月", "postponed by {number} months"),
    "adjusted": ("还款计划已调整", "schedule adjusted"),
    "ended": ("随账户关闭而结束", "ended with the account"),
    "taken_over": ("自原系统接管", "taken over from another system"),
}
# What an adjustment changes.
PARTS = {
    "principal": ("本金", "principal"),
    "interest": ("利息", "interest"),
    "fees": ("费用", "fees"),
    "penalty": ("罚息和滞纳金", "penalty interest and late fees"),
}
# A code that stands for itself; what is a part of an id is none.
_CODE = re.compile(r"(?<![A-Za-z0-9_-])[a-z]+(?:_[a-z]+)*(?![A-Za-z0-9_-])")
_ONE = re.compile(r"(?<![\d.,-])1 (day|month|instalment)s\b")
MONEY = frozenset({"amount", "principal", "overdue_amount", "allowance", "unpaid", "difference", "paid"})


def describe(event: ev.Event, currency: str) -> Translated:
    """Return an event in both languages; its name where it has no words."""
    name = type(event).__name__
    texts = VARIANTS.get(f"{name} {_variant(event)}") or WORDS.get(name)
    if texts is None:
        return {"zh": name, "en": name}
    fields = {f: getattr(event, f) for f in event.__struct_fields__ if f in _named_in(texts)}
    zh = {k: _plain(k, v, currency, chinese=True) for k, v in fields.items()}
    en = {k: _plain(k, v, currency, chinese=False) for k, v in fields.items()}
    if isinstance(event, ev.PlanProgressed):
        became = PROGRESS.get(event.outcome, (event.outcome, event.outcome))
        taken_back = ("（更正：不再成立）", " (taken back)") if event.taken_back else ("", "")
        zh["outcome"] = became[0].format(**zh) + taken_back[0]
        en["outcome"] = became[1].format(**en) + taken_back[1]
    if isinstance(event, ev.InstalmentAdjusted):
        changed = {part: priced(getattr(event, part), currency) for part in PARTS if getattr(event, part)}
        zh["changes"] = "，".join(PARTS[part][0] + amount for part, amount in changed.items()) or "0"
        en["changes"] = ", ".join(f"{PARTS[part][1]} {amount}" for part, amount in changed.items()) or "by nothing"
    return {"zh": texts[0].format(**zh).strip(), "en": singular(texts[1].format(**en).strip())}


@lru_cache(maxsize=256)
def _named_in(texts: tuple[str, str]) -> frozenset[str]:
    """Return the names of the fields that texts speak of, and those that stand in what became of a plan."""
    found = (name for text in texts for _, name, _, _ in Formatter().parse(text) if name)
    return frozenset({"number", *found})


def _variant(event: ev.Event) -> str:
    """Return which variant of its record an event is, empty for the usual one."""
    match event:
        case ev.OfferPublished(options=(), kind="pay_in_full"):
            return "of all"
        case ev.OfferPublished(options=()):
            return "of none"
        case ev.OfferPublished(options=(_,)):
            return "of one"
        case ev.ContactRecorded(conversation=True):
            return "of a talk" if event.attempt else "of a call"
        case ev.PartyChanged(role=None):
            return "of none"
        case ev.PartyNoted(reason="") | ev.PartyContactChanged(reason=""):
            return "of one who may"
        case ev.InstalmentBilled() if event.revision:
            return "of a revision"
        case ev.PaymentReversed() if event.amount is not None:
            return "of a part"
        case ev.PromiseMade() if event.replaces is not None:
            return "of another"
    return ""


def singular(text: str) -> str:
    """Return an English text with "1 days" and the like in the singular."""
    return _ONE.sub(r"1 \1", text)


def describe_window(contact: ev.Contact) -> Translated:
    """Return when a borrower may be reached, in their own time zone."""
    return {"zh": _window(contact, chinese=True), "en": _window(contact, chinese=False)}


def translated(value: Any, currency: str = "") -> Translated:
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
    if name == "item_id" and value in ITEMS:
        return titles_of((value,), _MESSAGES["zh" if chinese else "en"])[0]
    return _chinese(name, str(value)) if chinese else _english(name, str(value))


def _window(contact: ev.Contact, *, chinese: bool) -> str:
    """Return when a borrower may be reached, in their time zone; days in a row with the same hours are one range."""
    if not contact.channels:
        return "不可联系" if chinese else "not at all"
    zone, runs = ZoneInfo(contact.time_zone), list[tuple[date, date, str]]()
    for hours in contact.windows or (contact,):
        start, end = hours.not_before.astimezone(zone), hours.not_after.astimezone(zone)
        day, clock = start.date(), f"{start:%H:%M}–{end:%H:%M}"
        if runs and runs[-1][1:] == (day - timedelta(days=1), clock):
            runs[-1] = (runs[-1][0], day, clock)
        else:
            runs.append((day, day, clock))
    to, comma = ("至", "，") if chinese else (" to ", ", ")
    days = (f"{first}{to}{last}" if first < last else f"{first}" for first, last, _ in runs)
    said = comma.join(f"{each} {clock}" for each, (_, _, clock) in zip(days, runs, strict=True))
    return f"{said}（{contact.time_zone}）" if chinese else f"{said} {contact.time_zone}"


def _chinese(name: str, text: str) -> str:
    if text in CHINESE:
        return CHINESE[text]
    for pattern, said in PATTERNS:
        text = re.sub(pattern, said, text)
    if name == "reasons":
        # Codes within what the engine says of itself; what other systems say, and ids, are left as they are.
        text = _CODE.sub(lambda found: CHINESE.get(found[0], found[0]), text)
    return _kinds(text, 0)


def _english(name: str, text: str) -> str:
    if text in ENGLISH:
        return ENGLISH[text]
    if re.fullmatch(r"[a-z0-9_]+", text) and not text[0].isdigit():
        return text.replace("_", " ")
    if name == "reasons":
        text = singular(_CODE.sub(lambda found: found[0].replace("_", " "), text))
    return _kinds(text, 1)


def _kinds(text: str, language: int) -> str:
    """Return a text in which kinds of events have the names that people use."""
    return re.sub(r"\b[A-Z][a-z]+[A-Z]\w+\b", lambda m: KINDS[m[0]][language] if m[0] in KINDS else m[0], text)
