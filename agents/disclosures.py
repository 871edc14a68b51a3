"""Disclosures: what an offer has to state, by the keys that a policy names (for cards in China: 信用卡办法 Art 70)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from agents.amounts import money, whole
from agents.option_words import Locale
from schemas import events as ev

TEXTS: dict[str, dict[Locale, str]] = {
    "balance_structure_currency": {
        "zh": "欠款合计{owed}{currency}：本金{principal}，利息{interest}，费用{fees}，违约金{penalty}。",
        "en": "You owe {owed} {currency}: principal {principal}, interest {interest}, fees {fees}, "
        "penalties {penalty}.",
    },
    "cycle": {"zh": "还款周期为每月一次，共{count}期。", "en": "One instalment is due every month, {count} in all."},
    "method_currency_dates_amounts": {
        "zh": "以{currency}还款，首期{first}，末期{last}，每期最高{most}。各方案列明每期的日期和金额。",
        "en": "You pay in {currency}, first on {first}, last on {last}, at most {most} at a time. Every option lists "
        "the date and the amount of each instalment.",
    },
    "fees_and_interest_going_on": {
        "zh": "方案有效期间只计收方案列明的利息（首选方案年利率{rate}%），合计{charged}；不再计收其他费用和违约金。",
        "en": "While the plan is kept, only the interest that it lists is charged ({charged} in all at {rate} % a year "
        "in the first option); no further fees and no penalties.",
    },
    "no_new_cards_until_settled": {
        "zh": "欠款结清前，您承诺不向任何银行申请新的信用卡。",
        "en": "Until the debt is settled you undertake not to apply for a new credit card at any bank.",
    },
    "rights_duties_default": {
        "zh": "按期还款期间停止催收；您可随时提前还清，也可提出异议。连续{missed}期未还，方案失效，恢复原合同约定。",
        "en": "Collection stops while you keep the plan. You may settle early and may object at any time. After "
        "{missed} missed instalments in a row the plan ends and the contract applies again.",
    },
}


# What is said otherwise once one option is agreed.
AGREED: dict[str, dict[Locale, str]] = {
    "method_currency_dates_amounts": {
        "zh": "以{currency}按合同约定的渠道还款，首期{first}，末期{last}，每期最高{most}；每期日期和金额见还款计划表。",
        "en": "You pay in {currency}, in the ways of your contract, first on {first}, last on {last}, at most {most} "
        "at a time. The schedule states the date and the amount of each instalment.",
    },
    "fees_and_interest_going_on": {
        "zh": "协议履行期间只计收还款计划表所列利息（年利率{rate}%），合计{charged}；不再计收其他费用和违约金。",
        "en": "While the agreement is kept, only the interest of the schedule is charged ({charged} in all, at {rate} "
        "% a year); no further fees and no penalties.",
    },
}


class Terms(Struct, frozen=True):
    """What is to be disclosed of a debt and of a way to repay it."""

    balance: ev.Amounts
    currency: str
    instalments: tuple[ev.PlanInstalment, ...]
    annual_rate_bps: int
    broken_after_missed: int


def disclosures_of(keys: Iterable[str], terms: Terms, locale: Locale, *, agreed: bool = False) -> dict[str, str]:
    """Return what the policy's keys want stated, of the leading option of an offer or of what was agreed.

    A key that has no text here is stated by name, so that it is seen to be missing and not left out.
    """
    owed, schedule = terms.balance, terms.instalments
    figures = {
        "principal": money(owed.principal, terms.currency),
        "interest": money(owed.interest, terms.currency),
        "fees": money(owed.fees, terms.currency),
        "penalty": money(owed.penalty, terms.currency),
        "owed": money(whole(owed), terms.currency),
        "currency": terms.currency,
        "count": len(schedule),
        "first": schedule[0].due_on.isoformat(),
        "last": schedule[-1].due_on.isoformat(),
        "most": money(max(i.amount for i in schedule), terms.currency),
        "rate": f"{terms.annual_rate_bps / 100:.2f}",
        "charged": money(sum(i.interest for i in schedule), terms.currency),
        "missed": terms.broken_after_missed,
    }
    texts = TEXTS | AGREED if agreed else TEXTS
    return {key: texts[key][locale].format(**figures) if key in texts else key for key in keys}
