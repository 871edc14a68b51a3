"""A KMS of our own, as a server process: it wraps keys under one that it never shows.

`python -m tests.support.programs.kms_server PORT TOKEN MODE`; MODE is well, slow, busy or odd.
"""

from __future__ import annotations

import json
import sys
import time
from base64 import b64decode, b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# It outlives the process, as a real one's does.
KEY = AESGCM(b"a key that the KMS never shows.."[:32])


class Handler(BaseHTTPRequestHandler):
    """Answers wrap and unwrap."""

    token, mode = "", "well"

    def do_POST(self) -> None:
        """Answer a call."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.mode == "slow":
            time.sleep(30)
        if self.mode == "trickling":
            # Byte by byte, each long before a socket's timeout.
            for byte in b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n" + b" " * 99:
                self.wfile.write(bytes([byte]))
                time.sleep(0.2)
        elif self.mode == "busy":
            self._say(503, {})
        elif self.headers["Authorization"] != f"Bearer {self.token}":
            self._say(403, {"error": "this token may not"})
        elif self.mode == "odd":
            self._say(200, {"plaintext": b64encode(b"short").decode()})
        elif self.path == "/v1/wrap":
            nonce = urandom(12)
            made = nonce + KEY.encrypt(nonce, b64decode(body["plaintext"]), body["key_id"].encode())
            self._say(200, {"ciphertext": b64encode(made).decode()})
        else:
            given = b64decode(body["ciphertext"])
            try:
                found = KEY.decrypt(given[:12], given[12:], body["key_id"].encode())
            except (InvalidTag, ValueError):
                self._say(400, {"error": "not mine"})
            else:
                self._say(200, {"plaintext": b64encode(found).decode()})

    def _say(self, status: int, value: object) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    Handler.token, Handler.mode = sys.argv[2], sys.argv[3]
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
