"""Values of settings that pydantic cannot judge by their type: addresses, and files for TLS."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from schemas.errors import UsageError

_SERVER = re.compile(r"(\[[\w:.%]+\]|[^\s:/\[\]]+)(?::(\d{1,5}))?")


def servers(found: list[str]) -> list[str]:
    """Return Kafka's servers. Raises ValueError where one is no address."""
    for server in found:
        parts = _SERVER.fullmatch(server)
        if parts is None or not 1 <= int(parts[2] or 9092) <= 65_535:
            raise ValueError("each is HOST:PORT, as 127.0.0.1:9092, with a port of 1 to 65535")
    if not found:
        raise ValueError("there must be one at least, as 127.0.0.1:9092")
    return found


def http_url(url: str) -> str:
    """Return an address of the web. Raises ValueError where it is none."""
    parts = urlsplit(url)
    # To ask for a port that is none raises too.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("it must begin with http:// or https:// and name a host")
    return url


def redis_url(url: str) -> str:
    """Return an address of Redis. Raises ValueError where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix") or parts.port == 0:
        raise ValueError("it is redis://HOST:PORT/DATABASE, rediss:// by TLS, or unix://PATH")
    return url


def kafka_tls(ca: Path | None, cert: Path | None, key: Path | None, password: str | None) -> ssl.SSLContext:
    """Return what speaks TLS with Kafka. Raises UsageError that names the file at fault."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise _unusable("kafka.ssl_ca_file", ca, error) from error
    if cert is not None:
        try:
            context.load_cert_chain(cert, key, password)
        except OSError as error:
            both = f"{cert} with kafka.ssl_key_file {key or '(not set)'}"
            raise _unusable("kafka.ssl_cert_file", both, error) from error
    return context


def _unusable(setting: str, file: Path | str | None, error: OSError) -> UsageError:
    # An error of TLS has a reason, which may be that the file holds no PEM; one of the system has words of its own.
    why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return UsageError(
        f"{setting} is {file}, which cannot be used: {why or error}. Name PEM files that belong together."
    )
