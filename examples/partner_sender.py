"""A hotline that sends what was said to it: events of a file of JSON lines, signed, until they are taken.

A message keeps its id and its body when it is sent again, so nothing counts twice. Nothing of Reprieve is imported.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

EACH = 100


def messages(file: Path) -> Iterator[bytes]:
    """Yield the bodies of a file's events, some in each."""
    events = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    for start in range(0, len(events), EACH):
        yield json.dumps(events[start : start + EACH]).encode()


def send(url: str, webhook: Webhook, body: bytes) -> dict[str, Any]:
    """Send a message until it is taken; returns the answer. Exits where it is refused for good."""
    # The same body has the same id, today and after a crash.
    message_id = hashlib.sha256(body).hexdigest()
    pause = 1.0
    while True:
        at = datetime.now(UTC)
        request = urllib.request.Request(
            url,
            body,
            {
                "content-type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": webhook.sign(message_id, at, body.decode()),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)  # type: ignore[no-any-return]
        except urllib.error.HTTPError as error:
            said = json.load(error)
            if error.code not in (408, 429) and error.code < 500:
                sys.exit(f"{said['title']} {said['detail']} {json.dumps(said.get('results', ''))}")
            pause = max(pause, float(error.headers.get("retry-after", 0)))
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            print(f"not reached: {error}", file=sys.stderr)
        time.sleep(pause)
        pause = min(pause * 2, 60)


def main() -> None:
    """Send a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8701/v1/events?source=hotline")
    given = parser.parse_args()
    secret = os.environ.get("SENDING_SECRET")
    if not secret:
        sys.exit("Set SENDING_SECRET to the secret that the lender gave you (whsec_…).")
    webhook, refused = Webhook(secret), 0
    for body in messages(given.file):
        for result in send(given.url, webhook, body)["results"]:
            if result["status"] == "refused":
                refused += 1
                print(f"event {result['index']}: {result['problem']['detail']}", file=sys.stderr)
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
