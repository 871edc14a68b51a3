"""The alert rules, by promtool; and that they, the metrics and the operations guide speak of the same things."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

import streams.http.intake.server
import streams.http.server
import streams.kafka.gauges
import streams.kafka.metrics
import streams.portfolio_metrics
import streams.registry
import streams.webhooks.metrics  # noqa: F401
from schemas import events as ev
from schemas.jsonlines import from_line
from streams.portfolio_metrics import _OF, counts_of

HOUSE = Path(__file__).parents[2]
PROMETHEUS = HOUSE / "deploy" / "prometheus"
GROUPS = yaml.safe_load((PROMETHEUS / "rules.yml").read_text("utf-8"))["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
EXAMPLES = [from_line(line) for line in (HOUSE / "schemas" / "examples.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize(
    "args",
    [("check", "rules", "rules.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")],
)
def test_promtool_accepts_all_and_each_alert_fires_as_tested(args: tuple[str, ...]) -> None:
    program = shutil.which("promtool") or shutil.which("promtool", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("promtool is not here, and this machine cannot fetch it")
    done = subprocess.run([program, *args], cwd=PROMETHEUS, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_a_rule_names_is_one_of_ours() -> None:
    ours = {sample for metric in REGISTRY.collect() for sample in (metric.name, f"{metric.name}_total")}
    ours |= {f"{metric.name}_bucket" for metric in REGISTRY.collect() if metric.type == "histogram"}
    recorded = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
    for group in GROUPS:
        for rule in group["rules"]:
            named = set(re.findall(r"\breprieve[_:][a-z0-9_:]+", rule["expr"]))
            assert named <= ours | recorded, rule


@pytest.mark.parametrize("alert", ALERTS, ids=lambda a: a["alert"])
def test_every_alert_has_advice_a_test_and_its_section(alert: dict) -> None:  # type: ignore[type-arg]
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert alert["annotations"]["action"]
    assert f"alertname: {alert['alert']}" in (PROMETHEUS / "rules_test.yml").read_text("utf-8")
    assert f"## {alert['alert']}" in (HOUSE / "docs" / "operations.md").read_text("utf-8")


def test_no_label_can_hold_an_account_a_borrower_or_an_amount() -> None:
    counted = 0
    for event in EXAMPLES:
        for _, labels in counts_of(event):
            counted += 1
            for label in labels:
                assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,40}", label)
                assert label not in (getattr(event, "account_id", None), getattr(event, "borrower_id", None))
    assert counted >= len(_OF) - 1
    assert all(issubclass(kind, ev.Event) for kind in _OF)
