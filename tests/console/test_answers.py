"""What the console's server answers: the truth of the log, to its own page alone."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from agents.account.agent import AccountAgent
from agents.account.day import outstanding_on
from agents.account.view import as_of
from console.account_page import account_page
from console.server import ConsoleServer
from console.timelines import parse_cursor
from schemas import events as ev
from schemas.errors import FatalError
from state.account import AccountState
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

POISON = b"\xffnot Avro"


def asked(url: str, path: str, host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a page."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    found = answer.status, dict(answer.headers), answer.read()
    connection.close()
    return found


def told(served: ConsoleServer, path: str) -> Any:
    status, _, body = asked(served.url, path)
    assert status == 200, body
    return json.loads(body)


@pytest.fixture(scope="module")
def ready(served: ConsoleServer) -> ConsoleServer:
    """Return the console once it has read the whole log."""
    while asked(served.url, "/readyz")[0] != 200:
        pass
    return served


@pytest.fixture(scope="module")
def log(lived: Path) -> list[ev.Event]:
    """Return every event of the log, by the runtime itself."""
    topics = ("accounts", "payments", "delinquency", "offers", "plans", "feedback", "dead-letters", "clock")
    with LocalRuntime.open(lived, default_book()) as runtime:
        rows = [row for topic in topics for row in runtime._store.of_topic(topic)]
        return [runtime._codec.decode(row[4] or b"") for row in rows if row[4] != POISON]


def test_what_is_counted_is_what_the_log_holds(ready: ConsoleServer, log: list[ev.Event]) -> None:
    shown = told(ready, "/api/overview")
    kinds = Counter(type(e).__name__ for e in log)
    assert shown["accounts"] == kinds["AccountOpened"]
    assert shown["plans"]["activated"] == kinds["PlanActivated"]
    assert shown["plans"]["kept"] == kinds["PlanInstalmentKept"]
    assert sum(shown["answers"].values()) == kinds["OfferAnswered"]
    assert shown["funnel"]["missed"] == len({e.account_id for e in log if isinstance(e, ev.InstalmentMissed)})
    assert shown["funnel"]["planned"] == len({e.account_id for e in log if isinstance(e, ev.PlanActivated)})
    assert sum(shown["buckets"].values()) == shown["accounts"]
    buckets = {e.account_id: "current" for e in log if isinstance(e, ev.AccountOpened)}
    buckets |= {e.account_id: e.to for e in log if isinstance(e, ev.DelinquencyChanged)}
    assert shown["buckets"] == {b: list(buckets.values()).count(b) for b in shown["buckets"]}
    bad = Counter({e.account_id: e.to for e in log if isinstance(e, ev.BadDebtChanged)}.values())
    assert shown["bad_debt"] == {status: n for status, n in bad.items() if status != "none"}
    last_allowance = {e.account_id: (e.currency, e.allowance) for e in log if isinstance(e, ev.ImpairmentChanged)}
    allowance: Counter[str] = Counter()
    for currency, amount in last_allowance.values():
        allowance[currency] += amount
    assert shown["allowance"] == dict(allowance)
    assert shown["dead_letters"] == {"unreadable": 1}
    last = {e.borrower_id: e for e in log if isinstance(e, ev.OfferPublished)}
    ended = {e.offer_id for e in log if isinstance(e, ev.OfferWithdrawn | ev.OfferExpired | ev.PlanActivated)}
    waiting = {b for b, o in last.items() if not o.options and o.offer_id not in ended}
    assert {p["borrower"] for p in shown["for_specialist"]["first"]} == waiting
    assert shown["for_specialist"]["count"] == len(waiting)
    still = {b: o for b, o in last.items() if o.offer_id not in ended}
    assert shown["offers"]["open"] == len(still)
    open_day = date.fromisoformat(shown["day"]) + timedelta(days=1)
    today = {b for b, o in still.items() if o.options and o.expires_on == open_day}
    assert {o["borrower"] for o in shown["offers"]["expiring_today"]} == today


def test_every_account_and_borrower_of_the_log_has_a_story(
    ready: ConsoleServer, log: list[ev.Event], lived: Path
) -> None:
    with LocalRuntime.open(lived, default_book()) as runtime:
        for opened in [e for e in log if isinstance(e, ev.AccountOpened)]:
            story = told(ready, f"/api/accounts/{opened.account_id}")
            state = shown(runtime, opened.account_id)
            assert story["through"] == str(runtime.closed_through)
            assert story["status"]["days_past_due"] == state.days_past_due
            # What an arrangement for a time deferred counts as due on its last day.
            deferred = str(date.fromordinal(max(1, state.payments_deferred_to)))
            late = [i for i in story["instalments"] if max(i["due"], deferred) < story["through"]]
            assert story["status"]["overdue"] == state.overdue_amount == sum(sum(i["owed"].values()) for i in late)
            assert sum(story["owed"].values()) + story["to_come"] == state.owed().total()
            assert story["timeline"]["count"] >= 1
            for event in story["timeline"]["events"]:
                assert event["words"]["zh"]
                assert "{" not in event["words"]["en"]
            assert all(
                sum(o["recommended"] for o in offer["options"]) == bool(offer["options"]) for offer in story["offers"]
            )
        for borrower in {e.borrower_id for e in log if isinstance(e, ev.OfferPublished)}:
            story = told(ready, f"/api/borrowers/{borrower}")
            assert story["offers"]
            still = [offer["offer"] for offer in story["offers"] if offer["is"] == "open"]
            assert still == ([story["open_offer"]] if story["open_offer"] else [])
            for line in story["accounts"]:
                state = shown(runtime, line["account"])
                assert line["days_past_due"] == state.days_past_due
                assert line["owed"] == outstanding_on(state, state.folded_through).total()


def shown(runtime: LocalRuntime, account: str) -> AccountState:
    """Return an account as of the last closed day."""
    state = runtime.state("account", account)
    assert isinstance(state, AccountState)
    assert runtime.closed_through is not None
    rules = AccountAgent().rules(runtime.policies, state)
    return as_of(state, rules, runtime.closed_through.toordinal())


def test_every_event_of_a_story_is_told_once_page_by_page(
    ready: ConsoleServer, log: list[ev.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = next(e for e in log if isinstance(e, ev.InstalmentMissed)).account_id
    borrower = next(e for e in log if isinstance(e, ev.OfferPublished)).borrower_id
    for path in (f"/api/accounts/{opened}", f"/api/borrowers/{borrower}"):
        whole = told(ready, path)
        assert whole["timeline"]["older"] is None
        with monkeypatch.context() as short:
            short.setattr("console.timelines.TIMELINE", 7)
            short.setattr("console.timelines.TRANSITIONS", 2)
            found, answer = [], told(ready, path)
            found += answer["timeline"]["events"]
            while (older := answer["timeline"]["older"]) is not None:
                answer = told(ready, f"{path}?before={quote(older)}")
                assert answer["timeline"]["count"] == whole["timeline"]["count"]
                # What does not change from page to page is not told again, nor worked out.
                assert "offers" not in answer
                found += answer["timeline"]["events"]
            assert found == whole["timeline"]["events"]
            if "transitions" in whole:
                steps, answer = [], told(ready, path)
                steps += answer["transitions"]
                while (older := answer["transitions_older"]) is not None:
                    answer = told(ready, f"{path}?before={quote(older)}")
                    steps += answer["transitions"]
                assert steps == whole["transitions"]
                assert len(steps) == whole["transitions_count"] > 2
        for nonsense in ("x", "W10=", quote("逾期"), "WzFd"):
            status, _, said = asked(ready.url, f"{path}?before={nonsense}")
            assert (status, said.startswith(b"`before` is")) == (400, True)


def test_a_place_in_a_timeline_stays_when_late_events_come() -> None:
    def paid(n: int, day: date) -> tuple[str, ev.Event]:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        # One id for all: a careless source does not hide an event.
        event = ev.PaymentReceived(
            event_id="same",
            occurred_at=at,
            source="s",
            account_id="A1",
            payment_id=f"p{n}",
            amount=n + 1,
            currency="CNY",
            value_on=day,
            channel="transfer",
        )
        return f"payment:p{n}", event

    day = date(2026, 3, 1)
    history = [paid(n, day) for n in range(1000)]
    state = AccountState(
        account_id="A1",
        borrower_id="B1",
        product="loan",
        jurisdiction="CN",
        currency="CNY",
        annual_rate_bps=0,
        original_principal=0,
        opened_on=1,
        folded_through=1,
    )
    story = partial(account_page, state, AccountAgent().rules(default_book(), state))
    first = story(history, [], 1)["timeline"]
    history += [paid(5000, day - timedelta(days=1)), paid(5001, day + timedelta(days=1))]
    second = story(history, [], 1, parse_cursor(first["older"]))["timeline"]
    third = story(history, [], 1, parse_cursor(second["older"]))["timeline"]
    assert third["older"] is None
    words = [e["words"]["en"] for page in (first, second, third) for e in page["events"]]
    assert len(words) == len(set(words)) == 1001
    assert "50.01" in words[-1]


def test_a_story_of_means_tells_no_figure_of_them(ready: ConsoleServer, lived: Path, log: list[ev.Event]) -> None:
    with LocalRuntime.open(lived, default_book()) as runtime:
        for borrower in sorted({e.borrower_id for e in log if isinstance(e, ev.OfferPublished)})[:40]:
            _, _, body = asked(ready.url, f"/api/borrowers/{borrower}")
            reports = [e for _, e in runtime.history("planner", borrower) if isinstance(e, ev.ProfileReported)]
            for report in reports:
                assert f":{report.monthly_income}".encode() not in body
                assert f'"{report.monthly_income}"'.encode() not in body


def test_what_is_not_known_is_said_and_nothing_breaks(ready: ConsoleServer) -> None:
    for path, words in (
        ("/api/accounts/nobody", "No account nobody"),
        ("/api/borrowers/nobody", "Nothing is known of a borrower nobody"),
        ("/api/accounts/" + quote("<b>'\"%00"), "No account"),
        ("/api/accounts/" + quote("逾期" * 40), "No account"),
    ):
        status, headers, body = asked(ready.url, path)
        assert status == 404
        assert words in body.decode()
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert told(ready, "/api/search?q=") == {"accounts": [], "borrowers": []}
    assert told(ready, "/api/search?q=" + "A" * 500) == {"accounts": [], "borrowers": []}
    assert asked(ready.url, "/static/../server.py")[0] in (403, 404)


def test_only_its_own_host_is_answered_with_safe_headers(ready: ConsoleServer) -> None:
    assert asked(ready.url, "/api/overview", host="evil.example")[0] == 403
    assert asked(ready.url, "/livez", host="10.0.0.7:8700")[0] == 200
    for path in ("/", "/api/overview", "/static/app.js"):
        status, headers, _ = asked(ready.url, path)
        assert status == 200
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"


def test_a_dead_letter_shows_its_source_and_not_its_content(ready: ConsoleServer) -> None:
    answer = told(ready, "/api/letters")
    (letter,) = answer["letters"]
    assert answer["older"] is None
    assert told(ready, "/api/letters?before=0")["letters"] == []
    assert asked(ready.url, "/api/letters?before=-1")[0] == asked(ready.url, "/api/letters?before=x")[0] == 400
    assert (letter["topic"], letter["code"]) == ("payments", "unreadable")
    assert "not Avro" not in json.dumps(letter)


def test_rules_show_verification_and_the_learner_certainty(ready: ConsoleServer) -> None:
    rules = told(ready, "/api/rules")
    assert rules["in_force"] == default_book().name
    assert any(not r["verified"] for p in rules["packs"] for r in p["rules"])
    (change,) = rules["changes"]
    assert (change["id"], change["source"]) == ("learner-leads", "risk committee")
    assert change["packs"] == ["house", "learning_on"]
    learner = told(ready, "/api/learner")
    assert learner["version"] > 0
    assert all(w["deviation"] > 0 for w in learner["weights"])


def posted(served: ConsoleServer, body: bytes, **headers: str) -> tuple[int, str]:
    """Ask for letters to be sent in again, as the page does unless headers say otherwise."""
    parts = urlsplit(served.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    connection.request("POST", "/api/letters/again", body, headers or {"Sec-Fetch-Site": "same-origin"})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_a_dead_letter_is_resent_once_and_only_from_our_page(tmp_path: Path) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        for _ in range(3):
            runtime.publish_raw("payments", b"A1", POISON)
        runtime.run()
    with ConsoleServer(tmp_path) as served:
        letters = told(served, "/api/letters")["letters"]
        one = json.dumps({"ids": [letters[0]["id"]]}).encode()
        for headers in ({"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}):
            assert posted(served, one, **headers)[0] == 403
        assert posted(served, one, Origin=served.url, **{"Sec-Fetch-Site": "same-origin"})[0] == 200
        assert json.loads(posted(served, one)[1]) == {"sent": 0, "before": 1, "refused": 0}
        # That one was refused anew, so there are four; one of them was sent in again.
        assert json.loads(posted(served, b'{"code": "unreadable"}')[1]) == {"sent": 3, "before": 1, "refused": 3}
        assert posted(served, b'{"ids": []}')[0] == posted(served, b"no JSON")[0] == 400
        with LocalRuntime.open(tmp_path, default_book()):
            status, said = posted(served, b'{"code": "unreadable"}')
        assert status == 409
        assert "in use by process" in said
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        assert len(list(runtime._store.of_topic("payments"))) == 3 + 1 + 3


def test_a_reading_that_fails_is_said_and_ends_the_console(tmp_path: Path) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        runtime.publish_raw("payments", b"A1", POISON)
        runtime.run()
    with ConsoleServer(tmp_path) as served:
        while asked(served.url, "/readyz")[0] != 200:
            pass
        with closing(sqlite3.connect(tmp_path / "reprieve.db")) as db, db:
            db.execute("DROP TABLE log")
        with pytest.raises(FatalError, match=r"SQLITE_ERROR in console/read_store.py:\d+"):
            served.wait()
        status, _, said = asked(served.url, "/readyz")
        assert (status, b"SQLITE_ERROR" in said) == (503, True)
        assert "SQLITE_ERROR" in told(served, "/api/overview")["health"]["failure"]


def test_what_waits_in_a_data_directory_is_counted(tmp_path: Path) -> None:
    with LocalRuntime.open(tmp_path, default_book()) as runtime:
        for _ in range(5):
            runtime.publish_raw("payments", b"A1", POISON)
        with ConsoleServer(tmp_path) as served:
            while told(served, "/api/overview")["health"].get("lag") != 5:
                pass
            runtime.run()
            while told(served, "/api/overview")["health"]["lag"] != 0:
                pass
            assert told(served, "/api/overview")["health"]["newest_commit_ms"] > 0


def test_a_missing_folder_and_a_port_in_use_are_one_sentence(tmp_path: Path, lived: Path, ready: ConsoleServer) -> None:
    with pytest.raises(FatalError, match="no data"), ConsoleServer(tmp_path):
        pass
    port = urlsplit(ready.url).port or 0
    with pytest.raises(FatalError, match="Choose another --port"), ConsoleServer(lived, port=port):
        pass
