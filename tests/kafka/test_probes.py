"""What a worker on Kafka says of itself: probes, metrics and log lines that are true, and name nobody."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import date

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chaos.stage import Stage
from deploy.local.processes import free_port
from schemas.topics import TOPIC_OF
from simulator.runs import simulate

ACCOUNTS = 40


def metrics(stage: Stage, *names: str) -> Counter[tuple[str, ...]]:
    """Return what workers tell together, by metric and labels."""
    total: Counter[tuple[str, ...]] = Counter()
    for name in names:
        status, text = stage.asked("/metrics", name)
        assert status == 200
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("reprieve_"):
                    total[sample.name, *sample.labels.values()] += sample.value  # type: ignore[assignment]
    return total


def accounts(found: Counter[tuple[str, ...]]) -> int:
    """Return how many accounts workers tell of."""
    return sum(value for key, value in found.items() if key[0] == "reprieve_accounts")


def test_workers_say_what_is_so_of_them_through_a_take_over(stage: Stage) -> None:
    events = list(simulate(accounts=ACCOUNTS, days=36, seed=11, start=date(2026, 1, 5)))
    stage.start("one")
    stage.wait(lambda: stage.asked("/readyz")[0] == 200, "readiness")
    stage.publish(events)
    stage.put("payments", 0, b"x", b"nothing that anybody wrote")
    stage.settle()
    stage.wait(lambda: not max(v for k, v in metrics(stage, "one").items() if "lag" in k[0]), "no lag")
    found = metrics(stage, "one")
    came = Counter(TOPIC_OF[type(event)].name for event in events)
    came["payments"] += 1
    for topic, count in came.items():
        times = stage.partitions if topic == "clock" else 1
        assert found["reprieve_records_read_total", topic] == count * times, topic
    assert accounts(found) == ACCOUNTS
    assert found["reprieve_records_refused_total", "unreadable"] == 1
    assert [line["code"] for line in stage.told("dead_letter")] == ["unreadable"]
    said = Counter(type(event).__name__ for event in stage.said())
    moves = sum(v for k, v in found.items() if k[0] == "reprieve_bucket_transitions_total")
    assert moves == said["DelinquencyChanged"] > 0

    stage.start("two")
    stage.wait(lambda: stage.asked("/readyz", "two")[0] == 200, "readiness of the second")
    stage.wait(lambda: len(share(stage)) == 2 and accounts(metrics(stage, "one", "two")) == ACCOUNTS, "two halves")
    stage.kill("one")
    stage.wait(lambda: accounts(metrics(stage, "two")) == ACCOUNTS, "all accounts at the other")

    assert stage.asked("/livez", "two")[0] == 200

    fields = ("account_id", "borrower_id")
    ids = {getattr(event, field) for event in events for field in fields if hasattr(event, field)}
    for name in ("one", "two"):
        log = stage.log(name)
        assert not [one for one in ids if one in log]
        assert all(json.loads(line)["event"] for line in log.splitlines())


def share(stage: Stage) -> list[int]:
    """Return the numbers of lanes of those workers that have any."""
    found = [metrics(stage, name)["reprieve_lanes",] for name in ("one", "two")]
    return [int(count) for count in found if count]


def test_a_worker_whose_kms_is_away_lives_and_is_not_ready(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"REPRIEVE_PRIVACY__KMS_URL": f"http://127.0.0.1:{free_port()}", "REPRIEVE_PRIVACY__KMS_TOKEN": "t"}
    monkeypatch.setattr(stage, "_environment", lambda name: away)
    stage.keys.write_text(json.dumps({"keys": [{"id": "k1", "wrapped": "AAAA"}]}), "utf-8")
    stage.start()
    stage.wait(lambda: bool(stage.told("broker_away")), "a question that nobody answers")
    assert {line["doing"] for line in stage.told("broker_away")} == {"asking for the master keys"}
    assert stage.asked("/livez")[0] == 200
    assert stage.asked("/readyz") == (503, "its lanes are not open yet\n")
    assert stage.end() in (-signal.SIGTERM, 128 + signal.SIGTERM)
