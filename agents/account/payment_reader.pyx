# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Reads of a payment's bytes what says whether it merely waits for its day, and makes no event of it.

It takes a payment that `AccountAgent.handle` would find within all limits, in ASCII, of a small amount; of anything else
it says None, and the event is decoded and judged. What it takes, the codec and `agents.input_limits` take too.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from datetime import date, datetime, UTC

from agents import input_limits
from schemas import contracts
from schemas.codec import SINGLE_OBJECT

cdef extern from "Python.h":
    object PyUnicode_FromKindAndData(int kind, const void* data, Py_ssize_t size)

ctypedef const unsigned char* Bytes

cdef object SCHEMA = contracts.schema_of("PaymentReceived")
# In the order of their bytes; all are needed, and none is a union.
if [field["name"] for field in SCHEMA["fields"]] != [
    "event_id", "occurred_at", "source", "payment_id", "account_id", "amount", "currency", "value_on", "channel"
]:
    raise ImportError("PaymentReceived has other fields than this reader knows")

cdef bytes FRAME = SINGLE_OBJECT + contracts.fingerprint(SCHEMA)
cdef int64_t EPOCH = date(1970, 1, 1).toordinal()
cdef int64_t FIRST_DAY = date(input_limits.FIRST_YEAR, 1, 1).toordinal() - EPOCH
cdef int64_t LAST_DAY = date(input_limits.LAST_YEAR, 12, 31).toordinal() - EPOCH
# Earlier ones may be seconds that are taken for milliseconds.
cdef int64_t FIRST_MS = int(datetime(1971, 1, 1, tzinfo=UTC).timestamp()) * 1000
cdef int64_t LAST_MS = (LAST_DAY + 1) * 86_400_000 - 1
cdef int64_t MOST = input_limits.NEGLIGIBLE_AMOUNT

cdef enum:
    MOST_ID = 64, MOST_NAME = 200, PREFIX = 8
    # The lowest bytes of a name and of an id, and the highest.
    SPACE = 32, VISIBLE = 33, LAST = 126


def glimpse(bytes key not None, bytes value not None):
    """Return the account, the fact key, and the day (ordinal) and currency of a payment; None where it is to be decoded.

    key, value: of its record, the value in single-object framing.
    """
    cdef Bytes raw = <Bytes>PyBytes_AS_STRING(value)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(value), at = PyBytes_GET_SIZE(FRAME)
    cdef Py_ssize_t payment, account, currency, size, account_size
    cdef int64_t number, day
    cdef char fact[PREFIX + MOST_ID]
    if end < at or memcmp(raw, PyBytes_AS_STRING(FRAME), at):
        return None
    if text(raw, end, &at, VISIBLE, MOST_ID) < 0:
        return None
    if not long_(raw, end, &at, &number) or not FIRST_MS <= number <= LAST_MS:
        return None
    if text(raw, end, &at, SPACE, MOST_NAME) < 0:
        return None
    size = text(raw, end, &at, VISIBLE, MOST_ID)
    payment = at - size
    if size < 0:
        return None
    account_size = text(raw, end, &at, VISIBLE, MOST_ID)
    account = at - account_size
    if account_size < 0 or account_size != PyBytes_GET_SIZE(key):
        return None
    if memcmp(raw + account, PyBytes_AS_STRING(key), account_size):
        return None
    if not long_(raw, end, &at, &number) or not 1 <= number <= MOST:
        return None
    if text(raw, end, &at, c"A", 3) != 3 or raw[at - 3] > c"Z" or raw[at - 2] > c"Z" or raw[at - 1] > c"Z":
        return None
    currency = at - 3
    if not long_(raw, end, &at, &day) or not FIRST_DAY <= day <= LAST_DAY:
        return None
    if text(raw, end, &at, SPACE, MOST_NAME) < 0 or at != end:
        return None
    memcpy(fact, b"payment:", PREFIX)
    memcpy(fact + PREFIX, raw + payment, size)
    return (
        PyUnicode_FromKindAndData(1, raw + account, account_size),
        PyUnicode_FromKindAndData(1, fact, PREFIX + size),
        (day + EPOCH, PyUnicode_FromKindAndData(1, raw + currency, 3)),
    )


cdef Py_ssize_t text(Bytes raw, Py_ssize_t end, Py_ssize_t* at, unsigned char lowest, int64_t most) noexcept:
    """Go past a text of ASCII of at least one byte and so many at most; returns its size, -1 where it is none."""
    cdef int64_t size = 0
    cdef Py_ssize_t place
    if not long_(raw, end, at, &size) or not 0 < size <= most or size > end - at[0]:
        return -1
    for place in range(at[0], at[0] + size):
        if not lowest <= raw[place] <= LAST:
            return -1
    at[0] += size
    return size


cdef bint long_(Bytes raw, Py_ssize_t end, Py_ssize_t* at, int64_t* found) noexcept:
    """Read a signed long of at most nine bytes; returns whether there is one."""
    cdef uint64_t value = 0
    cdef int shift = 0
    cdef unsigned char one
    while shift < 63:
        if at[0] >= end:
            return False
        one = raw[at[0]]
        at[0] += 1
        value |= <uint64_t>(one & 127) << shift
        if one < 128:
            found[0] = <int64_t>(value >> 1) ^ -<int64_t>(value & 1)
            return True
        shift += 7
    return False
