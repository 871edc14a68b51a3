"""What a worker does that is started again under another policy, as far as that goes today.

A policy is chosen when a runtime starts. A local data directory belongs to one policy (`tests/streams`); a worker on
Kafka takes its states over as they are. What is missing is named in docs/robustness.md.
"""

from __future__ import annotations

import pytest
from desk import Desk, Story, book, policy

from schemas import events as ev
from schemas.errors import Fatal
from state.pack import book_for
from state.policy import Charges, Delinquency, Impairment, Policy
from streams.local.runtime import LocalRuntime

OLD = policy()
NEW = policy(
    name="new",
    delinquency=Delinquency(grace_days=10, pausing_holds=("dispute", "breathing_space")),
    impairment=Impairment(stage2_over_days=45),
    charges=Charges(penalty_rate_bps=1_800, cap_bps=10_000),
)


def lived(*policies: tuple[Policy, int]) -> tuple[Desk, Story]:
    """Return an account that fell behind, having lived under each policy through a day."""
    story = Story()
    desk = Desk(policies[0][0])
    desk.feed(story.opened(10, 40, 70))
    first = 0
    for rules, last in policies:
        desk.book = book(rules)
        desk.feed(*story.closes(first, last))
        first = last + 1
    return desk, story


def test_two_changes_between_two_closes_leave_no_trace() -> None:
    there, _ = lived((OLD, 30), (NEW, 30), (OLD, 60))
    never, _ = lived((OLD, 60))
    assert there.states == never.states
    assert there.outputs == never.outputs


def test_what_was_said_under_the_old_policy_stands_until_a_late_fact_restates_the_account() -> None:
    desk, story = lived((OLD, 45), (NEW, 60))
    before = [e for e in desk.standing() if isinstance(e, ev.InstalmentMissed)]
    assert next(e.business_date for e in before) == story.day(11)
    desk.feed(story.paid(20, 1))
    only, other = lived((NEW, 60))
    only.feed(other.paid(20, 1))
    # Folded anew, it is as if the new policy had been there all along, and every word of it is corrected to that.
    assert desk.states["A1"] == only.states["A1"]
    assert [e.business_date for e in desk.said(ev.InstalmentMissed)] == [
        e.business_date for e in only.said(ev.InstalmentMissed)
    ]
    assert any(isinstance(e, ev.Corrected) for e in desk.outputs)


@pytest.mark.parametrize("change", [9, 11, 30, 41, 59])
def test_no_money_is_lost_by_a_change_whenever_it_comes(change: int) -> None:
    desk, story = lived((OLD, change), (NEW, 60))
    desk.feed(story.paid(61, 15_000), *story.closes(61, 75))
    state = desk.states["A1"]
    assert state.received == 15_000 == state.paid.total() + state.credit
    assert state.paid.principal + state.owed().principal == 30_000


def test_a_data_directory_is_not_opened_under_another_policy(tmp_path) -> None:  # type: ignore[no-untyped-def]
    LocalRuntime.open(tmp_path / "data", book_for("cn_card")).close()
    with pytest.raises(Fatal, match="was made under the policy cn_card, not us_ffiec"):
        LocalRuntime.open(tmp_path / "data", book_for("us_ffiec"))
    LocalRuntime.open(tmp_path / "data", book_for("cn_card")).close()
