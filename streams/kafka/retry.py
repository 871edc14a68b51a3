"""Retries with growing pauses while a broker is away, and tells errors that pass from those that never will.

aiokafka raises both: a leader that moves passes by itself, a missing right does not. `Backoff.wait` asks
`permanent_error` first, so that no process waits for an answer that will never change.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from weakref import WeakSet

import structlog
from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    IncompatibleBrokerVersion,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidRequiredAcksError,
    InvalidSessionTimeoutError,
    InvalidTopicError,
    InvalidTransactionTimeout,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    SecurityDisabled,
    UnrecognizedBrokerVersion,
    UnsupportedCodecError,
    UnsupportedForMessageFormatError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)

from schemas.errors import FatalError, RetryableError
from streams.kafka.auth_check import FORBIDDEN
from streams.kafka.metrics import BROKER_AWAY
from streams.redaction import describe_error
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)
T = TypeVar("T")

_CREDENTIALS = "See to kafka.sasl_username, kafka.sasl_password and the rights that they have"
_TOO_OLD = "Run brokers of Kafka 3.0 or later"
_MECHANISM = (
    "kafka.security_protocol is {kafka.security_protocol} and kafka.sasl_mechanism {kafka.sasl_mechanism}; set them to "
    "what the broker's listener has"
)
_TOO_LARGE = "Let `reprieve topics apply` set max.message.bytes, and see that no broker allows less"
# What to do about an error, with settings in braces.
_ADVICE: dict[type[KafkaError], str] = {
    **dict.fromkeys((*FORBIDDEN, AuthenticationFailedError, SaslAuthenticationFailed), _CREDENTIALS),
    AuthenticationMethodNotSupported: _MECHANISM,
    IllegalSaslStateError: _MECHANISM,
    SecurityDisabled: _MECHANISM,
    UnsupportedSaslMechanismError: _MECHANISM,
    IncompatibleBrokerVersion: _TOO_OLD,
    UnrecognizedBrokerVersion: _TOO_OLD,
    UnsupportedForMessageFormatError: _TOO_OLD,
    UnsupportedVersionError: _TOO_OLD,
    MessageSizeTooLargeError: _TOO_LARGE,
    RecordListTooLargeError: _TOO_LARGE,
    InconsistentGroupProtocolError: (
        "Another program is in the group {worker.application_id} and shares partitions in another way. End it, or give "
        "this deployment a worker.application_id of its own before its first start"
    ),
    InvalidGroupIdError: "Set worker.application_id to a name that Kafka takes for a group",
    InvalidRequiredAcksError: "See to what stands between this process and the brokers",
    InvalidSessionTimeoutError: (
        "worker.session_timeout_seconds is {worker.session_timeout_seconds:g}: set it between the brokers' "
        "group.min.session.timeout.ms and group.max.session.timeout.ms, or change these"
    ),
    InvalidTopicError: "Set topics.prefix to what Kafka takes in names: letters, digits, '.', '_' and '-'",
    InvalidTransactionTimeout: (
        "worker.transaction_timeout_seconds is {worker.transaction_timeout_seconds:g}: set it to no more than the "
        "brokers' transaction.max.timeout.ms, or raise that"
    ),
    PolicyViolationError: "A policy of the cluster forbids it: ask who runs the brokers",
}
# aiokafka says of some answers only what they were called.
_NAMED = {kind.__name__: advice for kind, advice in _ADVICE.items()}
_NAME = re.compile(r"^(?:KafkaError: )?(?:\[Error \d+\] )?(\w+)\b")


def permanent_error(settings: Settings, doing: str, error: BaseException) -> FatalError | None:
    """Return the error with which a process ends, None where a retry may help."""
    told = f"({doing}): {error}" if type(error).__name__ in str(error) else f"({doing}): {type(error).__name__} {error}"
    if isinstance(error, UnsupportedCodecError):
        return FatalError(
            f"Records are compressed in a way that cannot be read here {told}. Nothing was passed over: "
            f"{codec_remedy()}."
        )
    advice = next((_ADVICE[kind] for kind in type(error).__mro__ if kind in _ADVICE), None)
    if advice is None and type(error) is KafkaError:
        named = _NAME.match(str(error))
        advice = None if named is None else _NAMED.get(named[1])
    if advice is None:
        return None
    advice = advice.format(kafka=settings.kafka, worker=settings.worker)
    return FatalError(f"Kafka refuses this process {told}. {advice}. Nothing that was committed is lost.")


# What a broker that is away, or changes its leader, makes aiokafka raise; and any other neighbour.
RETRIABLE_ERRORS = (KafkaError, OSError, TimeoutError, RetryableError)


# The backoffs that are waiting now.
_waiting: WeakSet[Backoff] = WeakSet()


# Seconds of waiting after which a process is not ready.
_LONG = 10.0


def long_wait() -> str | None:
    """Return what has been waited for too long to call the process ready, None where nothing has."""
    waits = [(time.monotonic() - backoff.since, backoff.doing) for backoff in list(_waiting)]
    seconds, doing = max(waits, default=(0.0, ""))
    return f"it has waited for {seconds:.0f} s for an answer ({doing})" if seconds > _LONG else None


def is_waiting() -> bool:
    """Return whether something waits for a broker, or another service, that does not answer."""
    return bool(_waiting)


class Backoff:
    """Growing pauses between attempts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._first = settings.kafka.retry_pause_seconds
        self._most = settings.kafka.retry_pause_max_seconds
        self._next = self._first
        # What is waited for, and since when.
        self.doing, self.since = "", 0.0

    async def wait(self, doing: str, error: BaseException) -> None:
        """Sleep, longer each time, and say why. Raises FatalError where no repetition mends it."""
        final = permanent_error(self._settings, doing, error)
        if final is not None:
            raise final from error
        log.warning("broker_away", doing=doing, error=describe_error(error), retry_in_seconds=self._next)
        if self not in _waiting:
            self.since = time.monotonic()
        self.doing = doing
        _waiting.add(self)
        BROKER_AWAY.set(self._next)
        await asyncio.sleep(self._next)
        self._next = min(self._next * 2, self._most)

    def reset(self) -> None:
        """Begin with short pauses again."""
        self._next = self._first
        _waiting.discard(self)
        if not _waiting:
            BROKER_AWAY.set(0)


async def retry_until_available(settings: Settings, doing: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Retry an attempt with growing pauses while the broker is away. Raises what no retry mends."""
    backoff = Backoff(settings)
    try:
        while True:
            try:
                return await attempt()
            except RETRIABLE_ERRORS as error:
                await backoff.wait(doing, error)
    finally:
        backoff.reset()


# -- compressed records: aiokafka reads lz4, snappy and zstd by the package cramjam

_CODECS: dict[str, Callable[[], bool]] = {"gzip": has_gzip, "lz4": has_lz4, "snappy": has_snappy, "zstd": has_zstd}
# What a topic's compression.type may say besides: that records stay as they come, or are not compressed.
_NONE = ("producer", "uncompressed", "none")


def can_read(codec: str) -> bool:
    """Say whether records of a compression type, as Kafka names it, can be read here."""
    return codec in _NONE or (codec in _CODECS and _CODECS[codec]())


def codec_remedy(codec: str | None = None) -> str:
    """Return what to do where records of a compression type cannot be read. codec: None where nobody says which."""
    if codec in _CODECS or (codec is None and not all(has() for has in _CODECS.values())):
        return "the package cramjam is missing. Install what requirements.lock names, and start this again"
    return (
        f"this release reads {', '.join(_CODECS)} and what is not compressed. Set another compression.type on the "
        "topic and in its producers, or install a release that reads this one"
    )
