"""The assessment of an offer: which debts it may cover, under which rules, and what the borrower can pay for them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from agents.amounts import lateness_of, owed
from agents.planner.offer_texts import Locale
from agents.planner.options import MATERIAL_BPS as MATERIAL_BPS
from schemas import events as ev
from state.affordability import RepaymentCapacity, assess_affordability
from state.borrower import BorrowerState, LastOffer
from state.policy import Affordability, Contacts, Policy, PolicyBook
from state.profile import Profile, granted_ids, merge
from state.texts import Messages

# A hold of these kinds is about the person: none of the borrower's debts is negotiated.
PERSONAL_HOLDS: frozenset[ev.HoldKind] = frozenset({"bankruptcy", "deceased", "breathing_space"})
# A hold of these kinds is about the account: its debt is not negotiated, others are.
ACCOUNT_HOLDS: frozenset[ev.HoldKind] = frozenset({"dispute", "fraud"})


class Assessment(Struct, frozen=True):
    """What an offer rests on. vulnerable: a person has to deal with the borrower, no plan is sent.

    ceiling: the monthly amount that he refused as too high, 0 for none.
    """

    debts: tuple[ev.Debt, ...]
    policy: Policy
    profile: Profile
    capacity: RepaymentCapacity
    locale: Locale
    vulnerable: bool
    supportive: bool
    ceiling: int = 0

    @property
    def messages(self) -> Messages:
        """Return what the borrower reads, in their language and as it is written where the first debt is."""
        return self.policy.messages(self.locale, self.debts[0].jurisdiction)

    @property
    def account_ids(self) -> tuple[str, ...]:
        """Return the accounts of the debts, in order."""
        return tuple(d.account_id for d in self.debts)


def negotiable(s: BorrowerState) -> list[tuple[ev.Debt, ...]]:
    """Return the debts that may be negotiated together: those of the open offer first, then the longest past due.

    Amounts of different currencies cannot be compared, so an offer is in one of them. Nor is anybody shown an account
    that they do not owe, so the debts of an offer are owed by the same people.
    """
    if any(PERSONAL_HOLDS & set(c.debt.holds) for c in s.cases.values()):
        return []
    by_kind: dict[tuple[str, tuple[str, ...]], list[ev.Debt]] = {}
    for _, case in sorted(s.cases.items()):
        debt = case.debt
        if not ACCOUNT_HOLDS & set(debt.holds) and debt.bad_debt != "terminated" and owed(debt):
            by_kind.setdefault((debt.currency, debt.joint_borrower_ids), []).append(debt)
    offer = s.open_offer()
    open_of = (offer.currency, offer.joint) if offer is not None else None
    order = sorted(by_kind, key=lambda kind: (kind != open_of, -lateness_of(by_kind[kind]), kind))
    return [tuple(by_kind[kind]) for kind in order]


def longest_overdue_first(debts: Iterable[ev.Debt]) -> list[ev.Debt]:
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
        arrangements=replace(
            first.arrangements,
            offered=tuple(k for k in first.arrangements.offered if all(k in p.arrangements.offered for p in policies)),
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
            cost_disclosures=tuple(dict.fromkeys(key for p in policies for key in p.offers.cost_disclosures)),
        ),
        contacts=_joint_contacts([p.contacts for p in policies]),
        parties=next((p.parties for p in policies if p.parties.joint_acceptance == "all"), first.parties),
    )


def _joint_contacts(contacts: Sequence[Contacts]) -> Contacts:
    start, end = max(c.from_hour for c in contacts), min(c.to_hour for c in contacts)
    channels = tuple(c for c in contacts[0].channels if all(c in other.channels for other in contacts))
    strictest = replace(
        contacts[0],
        cap=min(c.cap for c in contacts),
        cap_days=max(c.cap_days for c in contacts),
        quiet_days_after_conversation=max(c.quiet_days_after_conversation for c in contacts),
        conversation_cap=min((c.conversation_cap for c in contacts if c.conversation_cap), default=0),
        conversation_cap_days=max(c.conversation_cap_days for c in contacts),
    )
    if start >= end or not channels:
        return strictest
    return replace(strictest, from_hour=start, to_hour=end, channels=channels)


def assess(s: BorrowerState, policies: PolicyBook, day: int) -> Assessment | None:
    """Return the assessment on a day (ordinal), None where no debt may be negotiated.

    Of debts in several currencies those come first for which an income is known; the others follow when these
    are settled.
    """
    found = [_assess_debts(s, policies, day, debts) for debts in negotiable(s)]
    return next((g for g in found if g.capacity.known), found[0]) if found else None


def _assess_debts(s: BorrowerState, policies: PolicyBook, day: int, debts: tuple[ev.Debt, ...]) -> Assessment:
    policy = joint_policy(
        [policies.policy_for(d.jurisdiction, d.product, d.currency) for d in longest_overdue_first(debts)]
    )
    currency = debts[0].currency
    rules = policy.affordability
    covered = {d.account_id for d in debts}
    profile, capacity = affordability_of(
        s, rules, day, currency, covered, contract_instalments=sum(d.contract_instalment for d in debts)
    )
    vulnerable = any("vulnerability" in c.debt.holds for c in s.cases.values())
    said = profile.text("locale")
    locale: Locale = "zh" if said.startswith("zh") else "en" if said.startswith("en") else policy.offers.default_locale
    ceiling = s.ceiling[0] if s.ceiling[1] == currency else 0
    return Assessment(debts, policy, profile, capacity, locale, vulnerable, vulnerable or s.distressed, ceiling)


def affordability_of(
    s: BorrowerState,
    rules: Affordability,
    day: int,
    currency: str,
    covered: Container[str],
    *,
    contract_instalments: int = 0,
) -> tuple[Profile, RepaymentCapacity]:
    """Return what is known of a borrower, and what he can pay a month in a currency for the accounts `covered`."""
    profile = merge(
        s.readings,
        granted_ids(s.consents, rules.purposes, s.erased),
        rules,
        day,
        home_currency=s.base_currency[2],
        currency=currency,
        income_changed=s.income_changed,
    )
    capacity = assess_affordability(
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
    if any(p.runs(day) and p.currency != currency for a, p in s.plans.items() if a not in covered):
        # What they ask for cannot be compared, so it is not taken off.
        capacity = replace(capacity, assumed=(*capacity.assumed, "plans_in_other_currencies"))
    return profile, capacity


def invalidation_reason(offer: LastOffer, s: BorrowerState, assessment: Assessment | None) -> str:
    """Return why an open offer may not stand any longer, empty where it may.

    A debt that only aged, so that interest, fees or days past due grew, changes nothing.
    """
    held = [c.debt for a in offer.account_ids if (c := s.cases.get(a)) is not None and c.debt.holds]
    if assessment is None or not set(offer.account_ids) <= set(assessment.account_ids):
        return "hold" if held else "debts_changed"
    if offer.joint != assessment.debts[0].joint_borrower_ids:
        return "parties_changed"
    if assessment.vulnerable and offer.tone != "supportive":
        return "vulnerability"
    if not offer.choices and offer.kind != "pay_in_full":
        return ""
    by_account = {d.account_id: d.outstanding.principal for d in assessment.debts}
    for account, before in zip(offer.account_ids, offer.principal, strict=True):
        if abs(by_account[account] - before) * 10_000 > before * MATERIAL_BPS:
            return "debts_changed"
    if assessment.vulnerable:
        return "vulnerability"
    if not offer.choices:
        # What is to be paid at once was worked out from all that can be afforded.
        return "affordability_changed" if assessment.capacity.max_instalment < sum(map(owed, assessment.debts)) else ""
    if not assessment.capacity.known or max(c.instalment for c in offer.choices) > assessment.capacity.max_instalment:
        return "affordability_changed"
    return ""


def refresh_reason(offer: LastOffer, assessment: Assessment) -> str:
    """Return why a better offer than the open one can be made now, empty where none is likely."""
    if set(assessment.account_ids) != set(offer.account_ids):
        return "debts_changed"
    if not offer.choices and offer.tone == "supportive" and not assessment.vulnerable:
        return "vulnerability_ended"
    if assessment.capacity.known != offer.income_known:
        return "affordability_changed"
    if (
        assessment.capacity.max_instalment - offer.affordability_limit
    ) * 10_000 > offer.affordability_limit * MATERIAL_BPS:
        return "affordability_changed"
    return ""
