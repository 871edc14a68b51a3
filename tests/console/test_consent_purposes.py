"""Which means staff may see follows the consents' purposes in the deployment's policies, not in the packaged ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from console.server import ConsoleServer
from schemas import events as ev
from simulator.runs import simulate
from simulator.world import START
from state.borrower import BorrowerState
from state.policy_packs.loader import default_book, files_of
from streams.cli import cli
from streams.local.runtime import LocalRuntime
from tests.console.test_account_page import fetched

CHANGED_ON = START + timedelta(days=100)


def other_purpose() -> ev.PolicyChanged:
    """Return a change after which means may be used for consents to `debt_advice` alone."""
    files = files_of("default")
    before, after = "purposes: {value: [repayment_planning]", "purposes: {value: [debt_advice]"
    assert before in files["house"]
    return ev.PolicyChanged(
        event_id="policy-1",
        occurred_at=datetime(CHANGED_ON.year, CHANGED_ON.month, CHANGED_ON.day, tzinfo=UTC) - timedelta(hours=1),
        source="test",
        change_id="advice",
        effective_on=CHANGED_ON,
        files={**files, "house": files["house"].replace(before, after)},
    )


@pytest.mark.parametrize("changes", [(), (other_purpose(),)], ids=["packaged", "other purpose"])
def test_means_are_shown_by_the_purposes_of_the_deployment(
    tmp_path: Path, changes: tuple[ev.PolicyChanged, ...]
) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.feed(simulate(accounts=90, days=200, seed=3, changes=changes))
        states = [runtime.state("planner", key) for key in runtime.keys("planner")]
    borrowers = [s for s in states if isinstance(s, BorrowerState) and s.consents]
    borrower = next(s.borrower_id for s in borrowers if any(r.field == "monthly_income" for r in s.readings))
    with ConsoleServer(tmp_path) as served:
        page = fetched(served, f"/api/borrowers/{borrower}")
    assert page["means_known"] is (not changes)
    shown = CliRunner().invoke(cli, ["borrower", borrower, "--purpose", "case_work", "--data", str(tmp_path), "--json"])
    assert bool(json.loads(shown.stdout)["state"]["readings"]) is (not changes)
