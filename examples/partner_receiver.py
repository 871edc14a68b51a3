"""A partner that receives webhooks: verifies each, and takes it once, however often it comes.

It answers 204 only when what it was told is on disk. Nothing of Reprieve is imported; `standardwebhooks` is the
specification's own library, and there is one for most languages.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

MOST = 1024 * 1024
TABLES = """
CREATE TABLE IF NOT EXISTS message (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS offer (offer_id TEXT PRIMARY KEY, state TEXT NOT NULL, body TEXT NOT NULL);
"""
# What becomes of an offer with each event that this partner asked for.
STATES = {"OfferPublished": "open", "OfferWithdrawn": "over", "OfferExpired": "over"}


class OfferBook:
    """What the partner knows, in one SQLite file."""

    def __init__(self, file: str) -> None:
        self._file = file
        with self._open() as db:
            db.executescript(TABLES)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=10)

    def take(self, message_id: str, said: dict[str, Any]) -> bool:
        """Note a message and what follows from it, or nothing; returns whether it was new."""
        # The connection commits at the end of the block, the id together with what was done.
        with self._open() as db:
            if db.execute("INSERT OR IGNORE INTO message VALUES (?)", (message_id,)).rowcount == 0:
                return False
            state, data = STATES.get(said["type"]), said["data"]
            if state is not None:
                db.execute(
                    "INSERT INTO offer VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state",
                    (data["offer_id"], state, json.dumps(data)),
                )
            return True


class Handler(BaseHTTPRequestHandler):
    """Answers webhooks."""

    webhook: Webhook
    book: OfferBook

    def do_POST(self) -> None:
        """Verify a message and take it."""
        length = int(self.headers.get("content-length", "0"))
        if length > MOST:
            return self._answer(413)
        body = self.rfile.read(length)
        try:
            # The very bytes that came are signed: verify before anything reads them.
            said = self.webhook.verify(body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError):
            return self._answer(401)
        is_new = self.book.take(self.headers["webhook-id"], said)
        print(f"{said['type']} {said['data'].get('offer_id', '')}{'' if is_new else ' (again)'}", flush=True)
        return self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--book", default="partner.db")
    given = parser.parse_args()
    secret = os.environ.get("WEBHOOK_SECRET")
    if not secret:
        sys.exit("Set WEBHOOK_SECRET to the secret that the lender gave you (whsec_…).")
    Handler.webhook, Handler.book = Webhook(secret), OfferBook(given.book)
    server = ThreadingHTTPServer(("127.0.0.1", given.port), Handler)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
