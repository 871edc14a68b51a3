"""Master keys that a key management service has wrapped.

The service is asked once a key when a process starts, and not on the hot path: it opens the few master keys, and these
the many data keys. Its API is two calls, as those of AWS KMS, Vault's transit engine or a small gateway before another:

    POST <url>/wrap    {"key_id": …, "plaintext": base64}   -> {"ciphertext": base64}
    POST <url>/unwrap  {"key_id": …, "ciphertext": base64}  -> {"plaintext": base64}

`key_id` is the id of our master key, which the service binds to what it wraps. A bearer token, where one is set, says
who we are.
"""

from __future__ import annotations

import http.client
import json
import ssl
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import SHUT_RDWR
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from schemas.errors import FatalError, RetryableError
from streams.security.key_file import decoded, read_entries
from streams.security.master_keys import MasterKeys

_MOST_BYTES = 65_536


class Kms:
    """A client. `timeout`: seconds that an answer may take as a whole, however slowly it comes."""

    def __init__(self, url: str, token: str | None = None, ca_file: Path | None = None, timeout: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self._parts = urlsplit(self.url)
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname:
            raise FatalError(f"privacy.kms_url is {url}, which is no address of a server. Set https://…")
        self._token, self._ca_file, self._timeout = token, ca_file, timeout

    def wrap(self, key_id: str, plaintext: bytes) -> bytes:
        """Return a key as the service wraps it. Raises as `unwrap` does."""
        answer = self._request("wrap", {"key_id": key_id, "plaintext": b64encode(plaintext).decode()})
        return self._bytes(answer, "ciphertext")

    def unwrap(self, key_id: str, ciphertext: bytes) -> bytes:
        """Return a key that the service wrapped.

        Raises RetryableError while the service is away or too slow, FatalError where it denies us or does not know the
        key.
        """
        answer = self._request("unwrap", {"key_id": key_id, "ciphertext": b64encode(ciphertext).decode()})
        return self._bytes(answer, "plaintext")

    def _request(self, what: str, body: dict[str, str]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            status, text = self._answer(what, json.dumps(body), headers)
        except ssl.SSLCertVerificationError as error:
            raise FatalError(
                f"The certificate of the KMS at {self.url} is not trusted: {error.verify_message}. Set "
                "privacy.kms_ca_file."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise RetryableError(f"The KMS at {self.url} does not answer: {type(error).__name__} {error}.") from error
        # What it answers may hold a key: no sentence repeats it.
        if status == 429 or status >= 500:
            raise RetryableError(f"The KMS at {self.url} cannot answer now: status {status}.")
        if status in (401, 403):
            raise FatalError(
                f"The KMS at {self.url} denies us to {what} {body['key_id']}: status {status}. See to "
                "privacy.kms_token and to what it may do."
            )
        if status != 200:
            raise FatalError(
                f"The KMS at {self.url} did not {what} {body['key_id']}: status {status}. It does not know this key, "
                "or what it wrapped was changed. Restore the file of master keys, or ask the right KMS."
            )
        try:
            found = json.loads(text)
        except ValueError as error:
            raise FatalError(f"The KMS at {self.url} answers no JSON. See whether privacy.kms_url is right.") from error
        return found if isinstance(found, dict) else {}

    def _answer(self, what: str, body: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """Return the status and body of an answer. Raises TimeoutError where it is not here whole in time.

        A socket's own timeout counts from each byte, so another thread reads, and this one counts.
        """
        connection = self._connection()
        found: SimpleQueue[tuple[int, bytes] | BaseException] = SimpleQueue()

        def ask() -> None:
            try:
                connection.request("POST", f"{self._parts.path}/{what}", body, headers)
                answer = connection.getresponse()
                found.put((answer.status, answer.read(_MOST_BYTES)))
            except BaseException as error:
                found.put(error)
            finally:
                connection.close()

        Thread(target=ask, name="kms", daemon=True).start()
        try:
            answer = found.get(timeout=self._timeout)
        except Empty:
            # Ends the other thread's wait.
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(SHUT_RDWR)
            raise TimeoutError(f"not within {self._timeout:g} s") from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)

    def _bytes(self, answer: dict[str, Any], name: str) -> bytes:
        value = answer.get(name)
        if not isinstance(value, str) or not value:
            raise FatalError(f"The KMS at {self.url} answers without {name}. See whether privacy.kms_url is right.")
        return decoded(value, Path(self.url))


def unwrap_master_keys(path: Path, kms: Kms) -> MasterKeys:
    """Return the master keys of a file, each opened by the KMS that wrapped it. Raises as `Kms.unwrap` does."""
    entries = read_entries(path)
    if any(not entry.wrapped for entry in entries):
        raise FatalError(f"{path} holds keys that no KMS has wrapped. Make a new file with privacy.kms_url set.")
    keys = {entry.id: kms.unwrap(entry.id, decoded(entry.wrapped, path)) for entry in entries}
    return MasterKeys(keys, entries[-1].id if entries else "", f"{path}, opened by the KMS at {kms.url}")
