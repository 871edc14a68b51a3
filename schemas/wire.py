"""The bytes of Avro's numbers: zigzag longs of 1..10 bytes, days and instants.

Functions that read take the bytes and a position and return the value and the position
after it. They raise ValueError for a number that does not fit 64 bits or a date beyond
the calendar, IndexError where the bytes end too early.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
MILLISECOND = timedelta(milliseconds=1)

# The continuation bits of the first five of six bytes, as they add up when left in.
_SIX_BYTES = sum(128 << shift for shift in (0, 7, 14, 21, 28))
# Business dates come again and again; three bytes hold every day from 1992 to 4840.
_KEPT_DAYS = 8_192
DAY_OF_BYTES: dict[bytes, date] = {}
BYTES_OF_DAY: dict[date, bytes] = {}


def unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length number as it stands, before zigzag, below 2**64."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than ten bytes")
    if value >> 64:
        raise ValueError("a number does not fit 64 bits")
    return value, at


def long(data: bytes, at: int) -> tuple[int, int]:
    """Read a signed long."""
    value, at = unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at


def length(data: bytes, at: int) -> tuple[int, int]:
    """Read the length of a string or of bytes; more than all bytes there are is refused, as is less than none."""
    value, at = long(data, at)
    if not 0 <= value <= len(data):
        raise ValueError(f"a length that is none of a value in {len(data)} bytes")
    return value, at


def day(data: bytes, at: int) -> tuple[date, int]:
    """Read a date as days since 1970-01-01."""
    days, after = long(data, at)
    value = date_of(days)
    if after - at == 3 and len(DAY_OF_BYTES) < _KEPT_DAYS:
        DAY_OF_BYTES[data[at:after]] = value
    return value, after


def date_of(days: int) -> date:
    """Return the date of days since 1970-01-01; raises ValueError outside the years 1 to 9999."""
    try:
        return date.fromordinal(days + EPOCH_ORDINAL)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def instant(data: bytes, at: int) -> tuple[datetime, int]:
    """Read an instant as milliseconds since 1970-01-01T00:00Z."""
    a, b, c, d, e, f = data[at : at + 6]
    if f < 128 and a & b & c & d & e & 128:
        # 1987 to 2039: near enough to 1970 for a float of seconds to hold the millisecond exactly.
        value = a + (b << 7) + (c << 14) + (d << 21) + (e << 28) + (f << 35) - _SIX_BYTES
        return datetime.fromtimestamp(((value >> 1) ^ -(value & 1)) / 1000, UTC), at + 6
    millis, at = long(data, at)
    return instant_of(millis), at


def instant_of(millis: int) -> datetime:
    """Return the instant of milliseconds since 1970; raises ValueError outside the years 1 to 9999."""
    try:
        return EPOCH + timedelta(milliseconds=millis)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def bytes_of_long(value: int) -> bytes:
    """Write a signed long."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def bytes_of_day(value: date) -> bytes:
    """Write a date."""
    out = bytes_of_long(value.toordinal() - EPOCH_ORDINAL)
    if len(BYTES_OF_DAY) < _KEPT_DAYS:
        BYTES_OF_DAY[value] = out
    return out


def millis_of(value: datetime) -> int:
    """Return the whole milliseconds since 1970 of an instant with a time zone."""
    since = value - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def bytes_of_instant(value: datetime) -> bytes:
    """Write an instant, cut to the millisecond."""
    return bytes_of_long(millis_of(value))
