"""What a borrower reads with an offer: the message, its reasons and where there is support, in zh and en.

The texts name nobody and state no personal data. Organisations are named without telephone numbers, which
change: the notification service adds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from agents.option_words import Locale

Texts = dict[Locale, str]

MESSAGES: dict[tuple[str, str], Texts] = {
    ("plan", "neutral"): {
        "zh": "我们为您准备了{count}个还款方案，请选择最适合您的一个，{until}前答复即可。",
        "en": "We have prepared {count} ways to repay. Choose the one that suits you best, by {until}.",
    },
    ("plan", "supportive"): {
        "zh": "我们知道这段时间不容易。这里有{count}个还款方案，不必着急，{until}前答复即可；需要时有专人帮助您。",
        "en": "We know that this is a hard time. Here are {count} ways to repay. There is no hurry, until {until}, and "
        "a person is there to help if you wish.",
    },
    ("token", "neutral"): {
        "zh": "目前没有您能承受的还款方案。请联系我们，可先商定一笔很小的还款，再一起商量下一步。",
        "en": "No plan fits your means at present. Talk to us: we can agree on a very small payment for now and see "
        "what comes next together.",
    },
    ("moratorium", "neutral"): {
        "zh": "目前没有您能承受的还款方案。请联系我们，商定暂缓一段时间再还款。",
        "en": "No plan fits your means at present. Talk to us about a pause in payments.",
    },
    ("referral", "neutral"): {
        "zh": "我们想和您一起找到可行的办法。请联系我们的专员，或向独立机构免费咨询。",
        "en": "We want to find a way together with you. Talk to one of our specialists, or to a free and independent "
        "adviser.",
    },
    ("referral", "supportive"): {
        "zh": "感谢您告诉我们您的处境。您现在不需要做任何决定，我们会暂停发送方案；您愿意时，有专人与您商量。",
        "en": "Thank you for letting us know how things are. You need not decide anything now: we will send you no "
        "further offers for a while. Whenever you wish, a person is there to talk it through.",
    },
}
SEE_ALSO: Texts = {"zh": "您可以参考：{titles}。", "en": "You may find useful: {titles}."}

REASONS: dict[str, Texts] = {
    "affordable": {
        "zh": "每个方案的每期金额都在您的承受能力之内。",
        "en": "No instalment of any option is above what your means allow.",
    },
    "several_accounts": {
        "zh": "方案合并考虑了您的多个账户。",
        "en": "The options take several of your accounts together.",
    },
    "income_unknown": {
        "zh": "我们还不了解您的收入，请告诉我们，以便为您准备方案。",
        "en": "We do not know your income. Tell us, and we can prepare a plan.",
    },
    "no_surplus": {
        "zh": "扣除必要开支后，您目前没有余力还款。",
        "en": "After what you need to live on, nothing is left to repay with at present.",
    },
    "nothing_affordable": {
        "zh": "目前没有一个方案在您的承受能力之内。",
        "en": "No plan is within what your means allow at present.",
    },
    "too_high": {"zh": "您说上次的金额太高。", "en": "You said that the last instalments were too high."},
    "lowest_possible": {
        "zh": "首选方案已是允许范围内最低的每期金额。",
        "en": "The first option is the lowest instalment that we may grant.",
    },
    "too_long": {"zh": "您说上次的期限太长。", "en": "You said that the last plan took too long."},
    "no_shorter_term": {
        "zh": "更短的期限超出您的承受能力，因此保留较长的期限。",
        "en": "A shorter plan would ask for more than your means allow, so longer ones are here again.",
    },
    "rate": {
        "zh": "您说利率太高，总费用最低的方案排在最前。",
        "en": "You said that the rate was too high; the lowest total cost comes first.",
    },
    "distrust": {
        "zh": "您对上次的方案有疑虑，这里说明我们如何计算、如何核实。",
        "en": "You had doubts about the last offer; see how it is worked out and how to check that it is genuine.",
    },
    "income_change": {
        "zh": "您说收入有变化，请告诉我们新的收支情况。",
        "en": "You said that your income has changed. Tell us about it in a short interview.",
    },
    "dispute": {
        "zh": "您对欠款有异议。在核实之前，我们不会再发送方案。",
        "en": "You dispute the debt. Until that is looked into, we will send no further offers.",
    },
    "distress": {
        "zh": "您现在很困难，我们先暂停一段时间。",
        "en": "Things are very hard for you now, so we pause for a while.",
    },
    "vulnerability": {
        "zh": "由专人为您服务，按您的节奏来。",
        "en": "A specialist looks after you, at your own pace.",
    },
    "counter_met": {
        "zh": "第一个方案不超过您提出的金额。",
        "en": "The first option asks for no more than you proposed.",
    },
    "counter_too_low": {
        "zh": "按您提出的金额，无法在允许的期限和减免范围内还清。",
        "en": "What you proposed does not repay the debt within the terms and reliefs that we may grant.",
    },
    "recording_missing": {
        "zh": "电话约定需要录音，请再次确认您的选择。",
        "en": "An agreement by telephone has to be recorded. Please confirm your choice once more.",
    },
    "earlier_offer_ended": {
        "zh": "您接受的方案已经失效，这是新的方案。",
        "en": "The offer that you accepted no longer stands; here is a new one.",
    },
}

SUPPORT: dict[str, Texts] = {
    "hotline": {
        "zh": "还款困难热线：请拨打卡片或合同上的客服电话。",
        "en": "Our hardship line: the number on your card or contract.",
    },
    "person": {
        "zh": "您可以要求由专人负责，并约定您方便的时间。",
        "en": "You can ask for a person of your own to deal with, at a time that suits you.",
    },
    "dispute": {
        "zh": "请把异议和证明交给我们的投诉处理部门，核实期间不会催收有异议的部分。",
        "en": "Send what you dispute, with any evidence, to our complaints desk; what is disputed is not collected "
        "meanwhile.",
    },
    "interview": {
        "zh": "约一次简短的访谈，更新您的收支情况。",
        "en": "Arrange a short interview to bring your income and expenses up to date.",
    },
}
ADVICE: dict[str, Texts] = {
    "CN": {
        "zh": "金融消费者权益保护热线及当地金融纠纷调解中心可提供免费帮助。",
        "en": "The financial consumer protection line and local mediation centres help free of charge.",
    },
    "GB": {
        "zh": "StepChange、National Debtline和MoneyHelper提供免费独立的债务咨询。",
        "en": "StepChange, National Debtline and MoneyHelper give free and independent debt advice.",
    },
    "US": {
        "zh": "全国信贷咨询基金会（NFCC）的会员机构提供非营利信贷咨询。",
        "en": "Member agencies of the National Foundation for Credit Counseling (NFCC) give non-profit advice.",
    },
    "*": {
        "zh": "您可以向当地的独立债务咨询机构免费咨询。",
        "en": "Independent debt advisers near you give free advice.",
    },
}


def message_of(
    kind: str, tone: str, options: int, until: date, titles: Sequence[str], locale: Locale, *, codes: Sequence[str]
) -> str:
    """Return the message of an offer: what it is, and which education items go with it.

    codes: reasons. A dispute is answered in its own words; that offers pause is said only where they do.
    """
    if kind == "referral" and not {"distress", "vulnerability"} & set(codes):
        tone = "neutral"
    if kind == "referral" and tone == "neutral" and "dispute" in codes:
        said = REASONS["dispute"][locale]
    else:
        texts = MESSAGES.get((kind, tone)) or MESSAGES[(kind, "neutral")]
        said = texts[locale].format(count=options, until=until.isoformat())
    if not titles:
        return said
    listed = ("、" if locale == "zh" else "; ").join(titles)
    return said + ("" if locale == "zh" else " ") + SEE_ALSO[locale].format(titles=listed)


def reasons_of(codes: Iterable[str], locale: Locale) -> tuple[str, ...]:
    """Return reasons in words."""
    return tuple(REASONS[code][locale] for code in codes)


def support_of(
    codes: Sequence[str], kind: str, tone: str, jurisdictions: Iterable[str], locale: Locale
) -> tuple[str, ...]:
    """Return where there is support: the hotline always, a person and debt advice where a plan is not enough."""
    said = [SUPPORT["hotline"][locale]]
    if kind == "referral" or tone == "supportive":
        said.append(SUPPORT["person"][locale])
    if "dispute" in codes:
        said.append(SUPPORT["dispute"][locale])
    if "income_change" in codes or "income_unknown" in codes:
        said.append(SUPPORT["interview"][locale])
    countries = sorted({j.partition("-")[0] for j in jurisdictions})
    said += [ADVICE.get(country, ADVICE["*"])[locale] for country in countries]
    return tuple(dict.fromkeys(said))
