"""A data directory of release 0.1.0 is read and continued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas import events as ev
from state.account import AccountState
from state.policy_packs.loader import default_book
from streams.local.dead_letters import read_dead_letters
from streams.local.runtime import LocalRuntime
from tests.support.earlier_release import EarlierRelease, continued


@pytest.fixture
def old(tmp_path: Path) -> EarlierRelease:
    return EarlierRelease(tmp_path)


def extends(present: Any, former: Any) -> bool:
    """Say whether a stored value is a former one, with nothing changed but fields that were added behind its own."""
    match present, former:
        case list(), list():
            return len(present) >= len(former) and all(map(extends, present, former))
        case dict(), dict():
            return present.keys() >= former.keys() and all(extends(present[name], former[name]) for name in former)
        case _:
            return bool(present == former)


def test_each_state_of_before_is_read_with_its_figures(old: EarlierRelease) -> None:
    with LocalRuntime.open(old.data, default_book()) as runtime:
        assert runtime.run().read == 0
        for agent, states in old.states.items():
            assert runtime.keys(agent) == sorted(states)
            for key, former in states.items():
                state = runtime.state(agent, key)
                assert state is not None
                if isinstance(state, AccountState) and (plan := former[state.__struct_fields__.index("plan")]):
                    # What was charged beside a plan has made room for what its payments come to.
                    plan[-1] = sum(plan[5])
                present = msgspec.msgpack.decode(msgspec.msgpack.encode(state))
                assert extends(present, former), (agent, key)
        owed = [x.unpaid() for key in runtime.keys("account") for x in account(runtime, key).receivables]
        assert sum(owed) > 0


def test_a_directory_of_an_earlier_release_goes_on_where_it_was(old: EarlierRelease) -> None:
    done, closed, parked = old.stored()
    assert (closed, parked) == ("2026-04-29", 2)
    with LocalRuntime.open(None, default_book()) as whole, LocalRuntime.open(old.data, default_book()) as runtime:
        assert [x.letter.code for x in read_dead_letters(runtime)] == ["unreadable"]
        whole.feed(old.history[: old.cut])
        # Rules have changed since: of these accounts they make the same.
        same = [key for key in runtime.keys("account") if account(runtime, key) == account(whole, key)]
        given, said = continued(old, runtime)
        whole.feed(given)
        assert {type(event) for event in said} >= {
            ev.OfferPublished,
            ev.PlanActivated,
            ev.PlanInstalmentKept,
            ev.EventSuperseded,
            ev.ModelUpdated,
        }
        assert len(same) >= 20
        assert {key: account(runtime, key) for key in same} == {key: account(whole, key) for key in same}
        # The account that was opened late has the payment that waited for it; the other one was waited for in vain.
        paid = [event for _, event in runtime.history("account", "LATE-1") if isinstance(event, ev.PaymentReceived)]
        assert [event.payment_id for event in paid] == ["EARLY-1"]
        assert [x.letter.code for x in read_dead_letters(runtime)] == ["unreadable", "unknown_account"]
    assert old.stored()[0] > done
    assert old.stored()[2] == 0


def account(runtime: LocalRuntime, key: str) -> AccountState:
    state = runtime.state("account", key)
    assert isinstance(state, AccountState)
    return state
