"""The page of the audit trail: who was shown whose data, in tables, with each chain verified as it grows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from schemas import events as ev
from schemas.codec import Codec
from streams.security.audit_chain import Head, misfit

TABLES = """
CREATE TABLE IF NOT EXISTS audited (
    place INTEGER PRIMARY KEY, borrower TEXT NOT NULL, actor TEXT NOT NULL, value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS audited_borrower ON audited (borrower);
CREATE INDEX IF NOT EXISTS audited_actor ON audited (actor);
CREATE TABLE IF NOT EXISTS chain (
    name TEXT PRIMARY KEY, number INTEGER NOT NULL, digest TEXT NOT NULL, at TEXT NOT NULL, broken TEXT NOT NULL
) WITHOUT ROWID;
"""
EMPTIED = ("audited", "chain")
# Records on the page, the latest first, and chains: broken ones, then those with the latest records.
RECORDS, CHAINS = 200, 50

_codec = Codec()


def add(db: sqlite3.Connection, events: Iterable[ev.Event]) -> None:
    """Add audit records in the order of their chains, within the caller's transaction."""
    for event in events:
        if isinstance(event, ev.PersonalDataRead):
            _advance_chain(db, event)
            actor = event.actor
        elif isinstance(event, ev.PersonalDataErased):
            actor = event.source
        else:
            continue
        row = (event.borrower_id, actor, _codec.encode(event))
        db.execute("INSERT INTO audited (borrower, actor, value) VALUES (?, ?, ?)", row)


def _advance_chain(db: sqlite3.Connection, record: ev.PersonalDataRead) -> None:
    """Advance the head of the record's chain, or store its first break."""
    found = db.execute("SELECT number, digest, broken FROM chain WHERE name = ?", (record.chain,)).fetchone()
    head, broken = (Head(), "") if found is None else (Head(*found[:2]), found[2])
    if not broken:
        wrong = misfit(head, record)
        if wrong is None:
            head = Head(record.number, record.digest)
        else:
            broken = f"{wrong.number}: {wrong.why}"
    row = (record.chain, *head, record.occurred_at.isoformat(), broken)
    db.execute("INSERT OR REPLACE INTO chain VALUES (?, ?, ?, ?, ?)", row)


def audit_page(db: sqlite3.Connection, who: str = "") -> dict[str, Any]:
    """Return the latest records, and the chains.

    who: only records of this borrower or actor, by exact name; empty for all.
    """
    where, names = ("WHERE borrower = ? OR actor = ?", (who, who)) if who else ("", ())
    newest = f"SELECT value FROM audited {where} ORDER BY place DESC LIMIT ?"  # nosec B608
    chains = "SELECT name, number, at, broken FROM chain ORDER BY broken = '', at DESC, name LIMIT ?"
    (count,) = db.execute(f"SELECT COUNT(*) FROM audited {where}", names).fetchone()  # nosec B608
    (all_chains, broken) = db.execute("SELECT COUNT(*), COUNT(NULLIF(broken, '')) FROM chain").fetchone()
    return {
        "who": who,
        "count": count,
        "records": [_audit_row(_codec.decode(value)) for (value,) in db.execute(newest, (*names, RECORDS))],
        "chain_count": all_chains,
        "broken_count": broken,
        "chains": [
            {"chain": name, "records": number, "at": _moment(datetime.fromisoformat(at)), "broken": why or None}
            for name, number, at, why in db.execute(chains, (CHAINS,))
        ],
    }


def _audit_row(event: ev.Event) -> dict[str, Any]:
    assert isinstance(event, ev.PersonalDataRead | ev.PersonalDataErased)
    row = {"at": _moment(event.occurred_at), "borrower": event.borrower_id}
    if isinstance(event, ev.PersonalDataErased):
        erased = ("readings", "reports", "answers", "consents", "education")
        what = [f"{name} {count}" for name in erased if (count := getattr(event, name))]
        return {**row, "who": event.source, "purpose": "erasure", "what": what}
    return {**row, "who": event.actor, "purpose": event.purpose, "what": list(event.fields)}


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
