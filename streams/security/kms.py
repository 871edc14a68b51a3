"""Master keys that a key management service has wrapped.

The service is asked once a key when a process starts, and not on the hot path: it opens the few master keys, and these
the many data keys. Its API is two calls, as those of AWS KMS, Vault's transit engine or a small gateway before another:

    POST <url>/wrap    {"key_id": …, "plaintext": base64}   -> {"ciphertext": base64}
    POST <url>/unwrap  {"key_id": …, "ciphertext": base64}  -> {"plaintext": base64}

`key_id` is the id of our master key, which the service binds to what it wraps. A bearer token, where one is set, says
who we are.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from pathlib import Path
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
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
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
        # Its import takes a while, and few processes have a KMS.
        from aiohttp import ClientConnectorCertificateError, ClientError

        try:
            status, text = asyncio.run(self._post(what, body))
        except ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", error.certificate_error)
            raise FatalError(
                f"The certificate of the KMS at {self.url} is not trusted: {why}. Set privacy.kms_ca_file."
            ) from error
        except (OSError, ClientError) as error:
            why = f"not within {self._timeout:g} s" if isinstance(error, TimeoutError) else str(error)
            raise RetryableError(f"The KMS at {self.url} does not answer: {type(error).__name__} {why}.") from error
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

    async def _post(self, what: str, body: dict[str, str]) -> tuple[int, bytes]:
        """Return the status and body of an answer. Raises TimeoutError where it is not here whole in time."""
        from aiohttp import ClientSession, ClientTimeout

        tls = ssl.create_default_context(cafile=self._ca_file) if self.url.startswith("https:") else True
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        text = b""
        async with (
            ClientSession(timeout=ClientTimeout(total=self._timeout), headers=headers) as session,
            session.post(f"{self.url}/{what}", json=body, ssl=tls, allow_redirects=False) as answer,
        ):
            async for chunk in answer.content.iter_any():
                text += chunk
                if len(text) > _MOST_BYTES:
                    break
            return answer.status, text

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
