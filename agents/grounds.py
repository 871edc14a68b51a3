"""The grounds of an offer: which debts it may cover, under which rules, and what the borrower can pay for them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from agents.option_words import Locale
from agents.weighing import MATERIAL_BPS as MATERIAL_BPS
from agents.weighing import owed
from schemas import events as ev
from state.affordability import Capacity, capacity_of
from state.borrower import BorrowerState, LastOffer
from state.policy import Affordability, Contacts, Policy, PolicyBook
from state.profile import Profile, granted_ids, merge

# A hold of these kinds is about the person: none of the borrower's debts is negotiated.
PERSONAL_HOLDS: frozenset[ev.HoldKind] = frozenset({"bankruptcy", "deceased", "breathing_space"})
# A hold of these kinds is about the account: its debt is not negotiated, others are.
ACCOUNT_HOLDS: frozenset[ev.HoldKind] = frozenset({"dispute", "fraud"})


class Grounds(Struct, frozen=True):
    """What an offer rests on. vulnerable: a person has to deal with the borrower, no plan is sent.

    ceiling: the monthly amount that he refused as too high, 0 for none.
    """

    debts: tuple[ev.Debt, ...]
    policy: Policy
    profile: Profile
    capacity: Capacity
    locale: Locale
    vulnerable: bool
    supportive: bool
    ceiling: int = 0

    @property
    def account_ids(self) -> tuple[str, ...]:
        """Return the accounts of the debts, in order."""
        return tuple(d.account_id for d in self.debts)


def negotiable(s: BorrowerState) -> list[tuple[ev.Debt, ...]]:
    """Return the debts that may be negotiated, by currency: that of the open offer first, then the longest past due.

    Amounts of different currencies cannot be compared, so an offer is in one of them.
    """
    if any(PERSONAL_HOLDS & set(c.debt.holds) for c in s.cases.values()):
        return []
    by_currency: dict[str, list[ev.Debt]] = {}
    for _, case in sorted(s.cases.items()):
        debt = case.debt
        if not ACCOUNT_HOLDS & set(debt.holds) and debt.bad_debt != "terminated" and owed(debt):
            by_currency.setdefault(debt.currency, []).append(debt)
    offer = s.open_offer()
    open_in = offer.currency if offer is not None else ""
    order = sorted(by_currency, key=lambda c: (c != open_in, -max(d.days_past_due for d in by_currency[c]), c))
    return [tuple(by_currency[c]) for c in order]


def longest_first(debts: Iterable[ev.Debt]) -> list[ev.Debt]:
    """Return debts in the order in which their policies speak for all of them."""
    return sorted(debts, key=lambda d: (-d.days_past_due, d.account_id))


def joint_policy(policies: Sequence[Policy]) -> Policy:
    """Return the first policy, tightened by what the others forbid or demand."""
    first = policies[0]
    if all(p is first for p in policies):
        return first
    plans = [p.plans for p in policies]
    options = [p.options for p in policies]
    return replace(
        first,
        name="+".join(dict.fromkeys(p.name for p in policies)),
        version="+".join(dict.fromkeys(p.version for p in policies)),
        plans=replace(
            first.plans,
            max_term_months=min(p.max_term_months for p in plans),
            broken_after_missed=min(p.broken_after_missed for p in plans),
        ),
        affordability=replace(first.affordability, alpha_bps=min(p.affordability.alpha_bps for p in policies)),
        options=replace(
            first.options,
            max_npv_loss_bps=min(o.max_npv_loss_bps for o in options),
            authority_rate_cut_bps=min(o.authority_rate_cut_bps for o in options),
            authority_waiver_bps=min(o.authority_waiver_bps for o in options),
            rate_relief_score=max(o.rate_relief_score for o in options),
        ),
        offers=replace(
            first.offers,
            max_in_episode=min(p.offers.max_in_episode for p in policies),
            oral_needs_recording=any(p.offers.oral_needs_recording for p in policies),
            disclosures=tuple(dict.fromkeys(key for p in policies for key in p.offers.disclosures)),
        ),
        contacts=_joint_contacts([p.contacts for p in policies]),
    )


def _joint_contacts(contacts: Sequence[Contacts]) -> Contacts:
    start, end = max(c.from_hour for c in contacts), min(c.to_hour for c in contacts)
    channels = tuple(c for c in contacts[0].channels if all(c in other.channels for other in contacts))
    strictest = replace(
        contacts[0],
        cap=min(c.cap for c in contacts),
        cap_days=max(c.cap_days for c in contacts),
        quiet_days_after_conversation=max(c.quiet_days_after_conversation for c in contacts),
    )
    if start >= end or not channels:
        return strictest
    return replace(strictest, from_hour=start, to_hour=end, channels=channels)


def grounds_of(s: BorrowerState, policies: PolicyBook, day: int) -> Grounds | None:
    """Return the grounds on a day (ordinal), None where no debt may be negotiated.

    Of debts in several currencies those come first for which an income is known; the others follow when these
    are settled.
    """
    found = [_grounds_in(s, policies, day, debts) for debts in negotiable(s)]
    return next((g for g in found if g.capacity.known), found[0]) if found else None


def _grounds_in(s: BorrowerState, policies: PolicyBook, day: int, debts: tuple[ev.Debt, ...]) -> Grounds:
    policy = joint_policy([policies.policy_for(d.jurisdiction, d.product) for d in longest_first(debts)])
    currency = debts[0].currency
    rules = policy.affordability
    covered = {d.account_id for d in debts}
    profile, capacity = means_of(
        s, rules, day, currency, covered, contract_instalments=sum(d.contract_instalment for d in debts)
    )
    vulnerable = any("vulnerability" in c.debt.holds for c in s.cases.values())
    said = profile.text("locale")
    locale: Locale = "zh" if said.startswith("zh") else "en" if said.startswith("en") else policy.offers.default_locale
    ceiling = s.ceiling[0] if s.ceiling[1] == currency else 0
    return Grounds(debts, policy, profile, capacity, locale, vulnerable, vulnerable or s.distressed, ceiling)


def means_of(
    s: BorrowerState,
    rules: Affordability,
    day: int,
    currency: str,
    covered: Container[str],
    *,
    contract_instalments: int = 0,
) -> tuple[Profile, Capacity]:
    """Return what is known of a borrower, and what he can pay a month in a currency for the accounts `covered`."""
    profile = merge(
        s.readings,
        granted_ids(s.consents, rules.purposes, s.erased),
        rules,
        day,
        home_currency=s.home[2],
        currency=currency,
        income_changed=s.income_changed,
    )
    capacity = capacity_of(
        profile,
        rules,
        currency,
        too_high=s.too_high,
        max_term_months=s.max_term or None,
        committed=sum(
            p.instalment for a, p in s.plans.items() if a not in covered and p.currency == currency and p.runs(day)
        ),
        contract_instalments=contract_instalments,
    )
    return profile, capacity


def unsound(offer: LastOffer, s: BorrowerState, grounds: Grounds | None) -> str:
    """Return why an open offer may not stand any longer, empty where it may.

    A debt that only aged, so that interest, fees or days past due grew, changes nothing.
    """
    held = [c.debt for a in offer.account_ids if (c := s.cases.get(a)) is not None and c.debt.holds]
    if grounds is None or not set(offer.account_ids) <= set(grounds.account_ids):
        return "hold" if held else "debts_changed"
    if grounds.vulnerable and offer.tone != "supportive":
        return "vulnerability"
    if not offer.choices:
        return ""
    by_account = {d.account_id: d.outstanding.principal for d in grounds.debts}
    for account, before in zip(offer.account_ids, offer.principal, strict=True):
        if abs(by_account[account] - before) * 10_000 > before * MATERIAL_BPS:
            return "debts_changed"
    if grounds.vulnerable:
        return "vulnerability"
    if not grounds.capacity.known or max(c.instalment for c in offer.choices) > grounds.capacity.limit:
        return "affordability_changed"
    return ""


def outdated(offer: LastOffer, grounds: Grounds) -> str:
    """Return why a better offer than the open one can be made now, empty where none is likely."""
    if set(grounds.account_ids) != set(offer.account_ids):
        return "debts_changed"
    if not offer.choices and offer.tone == "supportive" and not grounds.vulnerable:
        return "vulnerability_ended"
    if grounds.capacity.known != offer.known:
        return "affordability_changed"
    if (grounds.capacity.limit - offer.limit) * 10_000 > offer.limit * MATERIAL_BPS:
        return "affordability_changed"
    return ""
