"""What goes into a log, and what never does: nobody's data, at no level, wherever an error was raised.

Everything that this process says of itself comes by here: our own lines, those of libraries, warnings, and what ends a
thread or the process. Of an error its kind and place are told, never its words. Of another's line, its text as it
stands in the library's source, with numbers and kinds of values filled in; a text that was put together at run time is
left out, and its place stands for it. Lines that come in numbers are told seldom.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from types import FrameType, TracebackType
from typing import Any, TextIO

import structlog

from streams.redaction import describe_error, error_fields, short

# Seconds between two complaints that are alike, of those who try again many times a second.
_SELDOM_SECONDS = 10.0
_TALKATIVE = ("aiokafka", "opentelemetry", "asyncio", "aiohttp")
# So many warnings and errors that are alike are told at once, and so many a second after that.
_BURST, _A_SECOND, _REMEMBERED = 100, 2.0, 1_000
# Strings that a library fills in are names of topics, groups and hosts where it warns, as its source has it.
_NAMES_TOPICS = "aiokafka"
_NAME = re.compile(r"[\w.:\-\[\]/]{1,255}", re.ASCII)
_Event = MutableMapping[str, Any]


def set_up_logging(level: str = "INFO", form: str = "console") -> None:
    """Let all that is told be lines of one kind on standard error, JSON or for a person (`json`, `console`)."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_words,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = _Handler()
    handler.addFilter(Seldom())
    handler.setFormatter(
        _Formatter(
            foreign_pre_chain=[_with_fault, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Libraries tell much that nobody asked for.
    for name in ("faust", "mode", "aiokafka", "asyncio", "aiohttp", "httpx", "httpx2", "httpcore", "httpcore2"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    _hook()


def _hook() -> None:
    """Tell by the log what Python itself would print: warnings, and what ends a thread, a callback or the process."""
    log = structlog.get_logger("reprieve")

    def ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("unexpected_fault", exc_info=error.with_traceback(trace))

    def thread_ended(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = None if args.thread is None else args.thread.name
            log.error("thread_failed", thread=name, exc_info=args.exc_value)

    def ignored(args: Any) -> None:
        if args.exc_value is not None:
            log.error("fault_ignored", exc_info=args.exc_value)

    def warned(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        log.warning("python_warning", category=category.__name__, place=f"{short(filename)}:{lineno}")

    sys.excepthook, sys.unraisablehook = ended, ignored
    threading.excepthook = thread_ended
    warnings.showwarning = warned


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to standard error; a line that cannot be written is not repeated elsewhere, with what it holds."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say that a line is missing, and of which logger."""
        try:
            self.stream.write(f"a line of {record.name} could not be written: {short(record.pathname)}\n")
        except (OSError, ValueError):
            return


class Seldom(logging.Filter):
    """Lets complaints that are alike through once in a while; the next that is told says how many were not.

    clock: seconds. What is told at `INFO` and below is not counted, but for those who talk much.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # By what is alike: what is left to tell, since when, and how many were left out.
        self._left: OrderedDict[tuple[Any, ...], tuple[float, float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is told."""
        talkative = record.name.startswith(_TALKATIVE)
        if not talkative and record.levelno < logging.WARNING:
            return True
        burst, rate = (1.0, 1 / _SELDOM_SECONDS) if talkative else (float(_BURST), _A_SECOND)
        # The text before it is filled in: a complaint about another node is the same complaint.
        said = record.msg.get("event") if isinstance(record.msg, dict) else _template(record) or record.lineno
        with self._lock:
            key, now = (record.name, record.levelno, said), self._clock()
            left, at, hidden = self._left.get(key, (burst, now, 0))
            left = min(burst, left + (now - at) * rate)
            tells = left >= 1 - 1e-9
            self._left[key] = (left - 1, now, 0) if tells else (left, now, hidden + 1)
            self._left.move_to_end(key)
            while len(self._left) > _REMEMBERED:
                self._left.popitem(last=False)
        if tells and hidden:
            record.__dict__["alike"] = hidden
            if isinstance(record.msg, dict):
                record.msg["alike_left_out"] = hidden
        return tells


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Formats our lines, and of others' what may be told."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line."""
        return super().format(record if hasattr(record, "_logger") else _reduced(record))


def _reduced(record: logging.LogRecord) -> logging.LogRecord:
    """Return another's record without anything that came of data."""
    fields: dict[str, Any] = {}
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        fields |= error_fields(record.exc_info[1])
    if hidden := getattr(record, "alike", 0):
        fields["alike_left_out"] = hidden
    template, place = _template(record), f"{short(record.pathname)}:{record.lineno} {record.funcName}"
    text = place if template is None else _filled(template, record)
    made = logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, text, None, None)
    made.__dict__["fault"] = fields if template is None else {"place": place, **fields}
    return made


def _template(record: logging.LogRecord) -> str | None:
    """Return a record's text where it stands so in the source that told it, None where it was put together."""
    if not isinstance(record.msg, str):
        return None
    # Faust's services put their names before it.
    text = re.sub(r"\A\[\^-*.*?\]: ", "", record.msg, count=1, flags=re.DOTALL)
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == record.pathname and frame.f_code.co_name == record.funcName:
            return text if text in frame.f_code.co_consts else None
        frame = frame.f_back
    return None


def _filled(template: str, record: logging.LogRecord) -> str:
    args = record.args if isinstance(record.args, tuple) else (record.args,) if record.args else ()
    if not args:
        return template
    try:
        return template % tuple(_plain(arg, record) for arg in args)
    except (TypeError, ValueError):
        return template


def _plain(value: Any, record: logging.LogRecord) -> Any:
    """Return what may be told of a value that a library fills in."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, BaseException):
        return _Word(describe_error(value))
    if isinstance(value, type):
        return _Word(value.__name__)
    if record.name.startswith(_NAMES_TOPICS) and record.levelno >= logging.WARNING:
        if isinstance(value, str) and _NAME.fullmatch(value):
            return _Word(value)
        if type(value).__name__ == "TopicPartition":
            return _Word(f"{value.topic}/{value.partition}")
    return _Word(f"<{type(value).__name__}>")


class _Word(str):
    """A word that is the same for `%s` and `%r`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _without_words(_: Any, method: str, event: _Event) -> _Event:
    """Tell of errors their kinds and places."""
    shown = event.pop("exc_info", None)
    event.pop("stack_info", None)
    if shown is True:
        shown = sys.exc_info()[1]
    if isinstance(shown, tuple):
        shown = shown[1]
    if isinstance(shown, BaseException):
        event.update(error_fields(shown))
    for name, value in event.items():
        if isinstance(value, BaseException):
            event[name] = describe_error(value)
        elif isinstance(value, bytes | bytearray | memoryview):
            event[name] = f"<{len(value)} bytes>"
    return event


def _with_fault(_: Any, method: str, event: _Event) -> _Event:
    """Add what is told of another's line besides its text."""
    record = event.get("_record")
    event.update(getattr(record, "fault", {}))
    return event
