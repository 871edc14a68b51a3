"""What is said of an option in the borrower's language."""

from __future__ import annotations

from typing import Literal

from agents.amounts import money
from schemas import events as ev

Locale = Literal["zh", "en"]


def label_of(months: int, shape: ev.Shape, deferred: int, instalment: int, currency: str, locale: Locale) -> str:
    """Return a short name for an option."""
    amount = money(instalment, currency)
    if locale == "zh":
        forms = {
            "level": f"{months}期，每期{amount}",
            "step_up": f"{months}期，先少后多，最高每期{amount}",
            "deferred": f"{months}期，前{deferred}期只付利息，之后每期{amount}",
        }
    else:
        forms = {
            "level": f"{months} months of {amount}",
            "step_up": f"{months} months, smaller at first, at most {amount}",
            "deferred": f"{months} months, interest only for {deferred}, then {amount}",
        }
    return forms[shape]


def reasons_for(option: ev.Option, rate_cut_bps: int, deferred: int, currency: str, locale: Locale) -> tuple[str, ...]:
    """Return why an option is offered, for the borrower to read."""
    zh = locale == "zh"
    said = [
        f"每期最高{money(option.instalment_amount, currency)}，在您可承受的范围内。"
        if zh
        else f"No instalment is above {money(option.instalment_amount, currency)}, which your means allow."
    ]
    if rate_cut_bps == 10_000:
        said.append("免收利息。" if zh else "No interest is charged.")
    elif rate_cut_bps:
        cut = rate_cut_bps / 100
        said.append(f"利率比合同低{cut:.0f}%。" if zh else f"The rate is {cut:.0f} % below your contract's.")
    forgiven = option.waived.penalty + option.waived.interest
    if forgiven:
        said.append(f"减免{money(forgiven, currency)}。" if zh else f"{money(forgiven, currency)} is waived.")
    if option.shape == "deferred":
        said.append(f"前{deferred}期压力较小。" if zh else f"The first {deferred} months are light.")
    if option.shape == "step_up":
        said.append("开始时每期较少。" if zh else "It asks for less at first.")
    if option.saves > 0:
        said.append(
            f"比按合同还款少付{money(option.saves, currency)}。"
            if zh
            else f"You pay {money(option.saves, currency)} less than at contract terms."
        )
    return tuple(said)
