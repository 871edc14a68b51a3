"""What the dashboards show: a title, a query, how a line is called, and a unit for each panel.

`$__rate_interval` is Grafana's. Amounts are minor units of their currency, and are never added over currencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. legend: how each line is called, with labels in braces. kind: over time, now, or now by label."""

    title: str
    query: str
    legend: str = ""
    unit: str = "short"
    kind: Literal["timeseries", "stat", "bargauge"] = "timeseries"
    about: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard, in rows of panels."""

    uid: str
    title: str
    rows: dict[str, tuple[Panel, ...]]


def _named(by: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by.split(", "))


def _now(title: str, metric: str, by: str) -> Panel:
    return Panel(title, f"sum by ({by}) ({metric})", _named(by))


def _rate(title: str, metric: str, by: str) -> Panel:
    return Panel(title, f"sum by ({by}) (rate({metric}[$__rate_interval]))", _named(by), "ops")


def _week(title: str, metric: str, by: str) -> Panel:
    return Panel(title, f"sum by ({by}) (increase({metric}[7d]))", _named(by))


def _quantile(title: str, metric: str, quantile: float) -> Panel:
    rates = f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
    return Panel(title, f"histogram_quantile({quantile}, {rates})", f"p{quantile * 100:.0f}", "s")


def _bars(title: str, metric: str, by: str, about: str = "") -> Panel:
    return Panel(title, f"sum by ({by}) ({metric})", _named(by), kind="bargauge", about=about)


def _share(title: str, record: str) -> Panel:
    return Panel(title, record, unit="percentunit", kind="stat")


def _in_all(title: str, metric: str) -> Panel:
    return Panel(title, f"sum(rate({metric}[$__rate_interval]))", unit="ops")


OPERATIONS = Dashboard(
    "reprieve-operations",
    "Reprieve: operations",
    {
        "Now": (
            Panel("Partitions processed", "sum(reprieve_tasks)", kind="stat"),
            Panel("Standbys", "sum(reprieve_standbys)", kind="stat"),
            Panel("Oldest commit while something waits", "max(reprieve_commit_age_seconds)", unit="s", kind="stat"),
            Panel("Records that wait", "sum(reprieve_input_lag_records)", kind="stat"),
            Panel("Waiting for a broker", "max(reprieve_broker_wait_seconds)", unit="s", kind="stat"),
            Panel("Processes that answer", 'sum(up{job="reprieve"})', kind="stat"),
        ),
        "Throughput": (
            _rate("Records read, by topic", "reprieve_records_read_total", "topic"),
            _rate("Records produced, by topic", "reprieve_records_produced_total", "topic"),
            _now("Lag, by topic", "reprieve_input_lag_records", "topic"),
            _now("Lag, by partition", "reprieve_input_lag_records", "partition"),
        ),
        "Time": (
            _quantile("From broker to commit, p50", "reprieve_delay_seconds", 0.5),
            _quantile("From broker to commit, p99", "reprieve_delay_seconds", 0.99),
            _quantile("Deciding on a batch, p99", "reprieve_batch_seconds", 0.99),
            _quantile("Committing a batch, p99", "reprieve_transaction_seconds", 0.99),
            Panel(
                "Age of commits, by partition", "max by (partition) (reprieve_commit_age_seconds)", "{{partition}}", "s"
            ),
            Panel(
                "Last commit",
                "time() - max by (instance) (reprieve_last_commit_timestamp_seconds > 0)",
                "{{instance}}",
                "s",
                about="An idle worker commits nothing; the age of commits counts only while something waits.",
            ),
        ),
        "Faults": (
            _rate("Dead letters, by cause", "reprieve_records_refused_total", "code"),
            _in_all("Transactions tried again", "reprieve_transaction_retries_total"),
            _week("Stores built anew", "reprieve_stores_rebuilt_total", "cause"),
            _in_all("Rows restored", "reprieve_rows_restored_total"),
            Panel("Keys whose records wait for their opening", "sum(reprieve_parked_keys)"),
            _now("Keys in quarantine", "reprieve_quarantined_keys", "agent"),
        ),
        "Views": (
            _now("Rows not yet in Redis", "reprieve_views_lag_rows", "topic"),
            _in_all("Views written", "reprieve_views_written_total"),
            Panel("Redis away", "max(reprieve_views_redis_away)"),
        ),
        "Processes": (
            Panel("Memory", 'process_resident_memory_bytes{job="reprieve"}', "{{instance}}", "bytes"),
            Panel("CPU", 'rate(process_cpu_seconds_total{job="reprieve"}[$__rate_interval])', "{{instance}}"),
        ),
    },
)

RISK = Dashboard(
    "reprieve-risk",
    "Reprieve: risk",
    {
        "Arrears": (
            _now("Accounts, by bucket", "reprieve_accounts", "bucket"),
            _now("Owed, by bucket", "reprieve_owed_minor_units", "currency, bucket"),
            Panel("Non-performing ratio", "reprieve:non_performing:ratio", "{{currency}}", "percentunit"),
            Panel("Roll rates, last day", "reprieve:roll:ratio1d", "{{old}} to {{new}}", "percentunit"),
            _week("Moves between buckets, 7 days", "reprieve_bucket_transitions_total", "old, new"),
        ),
        "Bad debt": (
            _now("Bad debts, by status", "reprieve_bad_debts", "status"),
            _now("Owed, by status", "reprieve_bad_debts_owed_minor_units", "currency, status"),
            _bars("Bad debts, by months", "reprieve_bad_debts_by_age", "months"),
            _bars("Owed, by months", "reprieve_bad_debts_by_age_owed_minor_units", "currency, months"),
            _week("Moves, 7 days", "reprieve_bad_debt_transitions_total", "old, new"),
            Panel("Recovered, all in all", "reprieve:bad_debts_recovered:sum", "{{currency}}"),
            Panel(
                "Recovered, 30 days",
                "reprieve:bad_debts_recovered:sum - "
                "(reprieve:bad_debts_recovered:sum offset 30d or reprieve:bad_debts_recovered:sum * 0)",
                "{{currency}}",
            ),
            Panel("Recovery ratio", "reprieve:recovery:ratio", "{{currency}}", "percentunit"),
        ),
        "Classes and impairment": (
            _now("Accounts, by class", "reprieve_class_accounts", "policy, class"),
            _now("Owed, by class", "reprieve_class_owed_minor_units", "currency, policy, class"),
            _week("Moves between classes, 7 days", "reprieve_class_transitions_total", "policy, old, new"),
            _now("Accounts, by stage", "reprieve_stage_accounts", "stage"),
            _now("Exposure, by stage", "reprieve_stage_exposure_minor_units", "currency, stage"),
            _now("Allowance, by stage", "reprieve_allowance_minor_units", "currency, stage"),
            Panel("Coverage", "reprieve:coverage:ratio", "{{currency}} {{stage}}", "percentunit"),
            _week("Moves between stages, 7 days", "reprieve_stage_transitions_total", "old, new"),
        ),
        "Liquidity": (
            _bars(
                "Expected of plans, by months ahead",
                "reprieve_plan_cash_due_minor_units",
                "currency, months_ahead",
                "Unpaid instalments of active plans, by the month in which they fall due.",
            ),
            _now("Instalments due, by months ahead", "reprieve_plan_instalments_due", "months_ahead"),
            _now("Owed under plans", "reprieve_plans_active_owed_minor_units", "currency"),
            Panel("Owed in all", "reprieve:owed:sum", "{{currency}}"),
        ),
        "Credit standing": (
            _now("Accounts, by standing", "reprieve_standing_accounts", "standing"),
            _week("Moves, 7 days", "reprieve_standing_transitions_total", "old, new"),
        ),
    },
)

OFFERS = Dashboard(
    "reprieve-offers",
    "Reprieve: offers",
    {
        "Offers": (
            _week("Offers, by kind, 7 days", "reprieve_offers_total", "kind"),
            _week("Offers, by tone, 7 days", "reprieve_offers_total", "tone"),
            _week("Withdrawn or run out, 7 days", "reprieve_offers_ended_total", "how"),
            _week("Answers, 7 days", "reprieve_offer_answers_total", "answer"),
            _week("Answers, by channel, 7 days", "reprieve_offer_answers_total", "channel"),
            _share("Accepted of what was answered, 7 days", "reprieve:offers:accepted_ratio7d"),
        ),
        "Plans": (
            Panel("Active plans", "sum(reprieve_plans_active)"),
            _week("What becomes of plans, 7 days", "reprieve_plans_total", "what"),
            _week("Instalments, 7 days", "reprieve_plan_instalments_total", "what"),
            _week("Promises, 7 days", "reprieve_promises_total", "what"),
            _week("Accounts ended, 7 days", "reprieve_accounts_ended_total", "reason"),
            _week("Adjustments, 7 days", "reprieve_adjustments_total", "what"),
            Panel("Payments that failed, 7 days", "sum(increase(reprieve_payment_failures_total[7d]))"),
            _share("Instalments kept, 7 days", "reprieve:plan_instalments:kept_ratio7d"),
        ),
        "Learning": (
            _week("How recommended options were chosen, 7 days", "reprieve_recommendations_total", "arm"),
            _share("Not by the fixed order, 7 days", "reprieve:recommendations:explored_ratio7d"),
            Panel("Options learned from", "max(reprieve_learner_rows)", kind="stat"),
            Panel("Updates of the model", "max(reprieve_learner_version)", kind="stat"),
            Panel("Guardrail in force", "max(reprieve_learner_tripped)", kind="stat"),
            _week("Guardrails breached, 7 days", "reprieve_guardrails_tripped_total", "guardrail"),
        ),
    },
)

COMPLIANCE = Dashboard(
    "reprieve-compliance",
    "Reprieve: compliance",
    {
        "Contact": (
            _week("Offers deferred, 7 days", "reprieve_contacts_deferred_total", "reason"),
            _week("Windows revised, 7 days", "reprieve_contacts_revised_total", "reason"),
            _week("Attempts against the contact rules, 7 days", "reprieve_contact_breaches_total", "rule"),
            _week("Collection stopped and resumed, 7 days", "reprieve_collection_changes_total", "what"),
            Panel("Supportive tone, 7 days", 'sum(increase(reprieve_offers_total{tone="supportive"}[7d]))'),
        ),
        "What was said": (
            _week("Corrections, 7 days", "reprieve_corrections_total", "what"),
            _week("Taken without effect, by code, 7 days", "reprieve_inputs_not_applied_total", "code"),
            _week("Dead letters, by cause, 7 days", "reprieve_records_refused_total", "code"),
            Panel("Refused of all that was read", "reprieve:dead_letters:ratio5m", unit="percentunit"),
            Panel(
                "Business date closed",
                "min by (agent) (reprieve_closed_through_timestamp_seconds) * 1000",
                "{{agent}}",
                "dateTimeAsIso",
                "stat",
            ),
        ),
        "Fairness": (
            Panel(
                "Recommended options, by treatment arm, 30 days",
                "sum by (arm) (increase(reprieve_recommendations_total[30d]))",
                "{{arm}}",
            ),
            Panel("Sent to a person, 7 days", 'sum(increase(reprieve_offers_total{kind="referral"}[7d]))'),
        ),
    },
)

DASHBOARDS = (OPERATIONS, RISK, OFFERS, COMPLIANCE)
