# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Reads the records of a batch as a consumer hands them over, but for their headers, which are read when asked for.

aiokafka makes Python objects of all headers, twice: a third of what fetching costs, and only a trace, a dead letter and
a record that waits ever ask for them. Lengths of headers are walked, so what is damaged is found as by aiokafka.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint64_t

ctypedef const unsigned char* Bytes

cdef enum:
    # Of a batch: where its parts are, and bits of its attributes (Kafka's message format 2).
    BASE_OFFSET = 0, MAGIC = 16, ATTRIBUTES = 21, FIRST_TIME = 27, LAST_TIME = 35, COUNT = 57, RECORDS = 61
    CODEC = 7, LOG_APPEND_TIME = 8


cdef class Record:
    """What aiokafka's ConsumerRecord is."""

    cdef public str topic
    cdef public int partition
    cdef readonly int64_t offset, timestamp
    cdef readonly int timestamp_type
    cdef readonly bytes key, value
    cdef bytes _raw
    cdef tuple _headers
    cdef Py_ssize_t _count

    @property
    def headers(self):
        """Return names and values; bytes of a name that are not UTF-8 are written out (`\\xff`)."""
        if self._headers is None:
            self._headers = self._read_headers()
        return self._headers

    @property
    def checksum(self):
        """Return None: records have none of their own."""
        return None

    @property
    def serialized_key_size(self):
        """Return how many bytes the key has, -1 where there is none."""
        return -1 if self.key is None else len(self.key)

    @property
    def serialized_value_size(self):
        """Return how many bytes the value has, -1 where there is none."""
        return -1 if self.value is None else len(self.value)

    cdef tuple _read_headers(self):
        cdef list found = []
        cdef Py_ssize_t at = 0, end
        cdef bytes name
        if self._count:
            end = PyBytes_GET_SIZE(self._raw)
            for _ in range(self._count):
                name = part(<Bytes>PyBytes_AS_STRING(self._raw), end, &at)
                value = part(<Bytes>PyBytes_AS_STRING(self._raw), end, &at)
                found.append((name.decode("utf-8", "backslashreplace"), value))
        return tuple(found)


def read_records(const unsigned char[::1] data not None):
    """Return the records of a batch; None where it is compressed, older or damaged, which aiokafka sees to."""
    cdef Py_ssize_t end = data.shape[0], at = RECORDS
    cdef Bytes raw
    cdef int attributes
    if end < RECORDS or data[MAGIC] != 2:
        return None
    raw = &data[0]
    attributes = raw[ATTRIBUTES] << 8 | raw[ATTRIBUTES + 1]
    if attributes & CODEC:
        return None
    cdef int64_t base = big(raw + BASE_OFFSET, 8)
    cdef int64_t first = big(raw + FIRST_TIME, 8), last = big(raw + LAST_TIME, 8)
    cdef list found = []
    try:
        for _ in range(<int32_t>big(raw + COUNT, 4)):
            found.append(record(raw, end, &at, base, first, last, attributes & LOG_APPEND_TIME))
    except ValueError:
        return None
    return found if at == end else None


cdef Record record(Bytes raw, Py_ssize_t end, Py_ssize_t* at, int64_t base, int64_t first, int64_t last, bint stamped):
    cdef Record made = Record.__new__(Record)
    cdef int64_t size = varint(raw, end, at)
    if size < 1 or size > end - at[0]:
        raise ValueError
    cdef Py_ssize_t stop = at[0] + size, place
    varint(raw, stop, at)
    made.timestamp = sum_(first, varint(raw, stop, at))
    if stamped:
        made.timestamp, made.timestamp_type = last, 1
    made.offset = sum_(base, varint(raw, stop, at))
    made.key = part(raw, stop, at)
    made.value = part(raw, stop, at)
    made._count = varint(raw, stop, at)
    if made._count < 0:
        raise ValueError
    place = at[0]
    for _ in range(made._count):
        if skipped(raw, stop, at) < 0:
            raise ValueError
        skipped(raw, stop, at)
    if at[0] != stop:
        raise ValueError
    if made._count:
        made._raw = PyBytes_FromStringAndSize(<const char*>raw + place, stop - place)
    return made


cdef int64_t skipped(Bytes raw, Py_ssize_t end, Py_ssize_t* at) except? -2:
    """Go past bytes with their length before them; returns it, below zero where there are none."""
    cdef int64_t size = varint(raw, end, at)
    if size > end - at[0]:
        raise ValueError
    if size > 0:
        at[0] += size
    return size


cdef bytes part(Bytes raw, Py_ssize_t end, Py_ssize_t* at):
    cdef int64_t size = skipped(raw, end, at)
    return None if size < 0 else PyBytes_FromStringAndSize(<const char*>raw + at[0] - size, size)


cdef int64_t varint(Bytes raw, Py_ssize_t end, Py_ssize_t* at) except? -2:
    cdef uint64_t value = 0
    cdef int shift = 0
    cdef unsigned char one
    while True:
        if at[0] >= end or shift > 63:
            raise ValueError
        one = raw[at[0]]
        at[0] += 1
        value |= <uint64_t>(one & 127) << shift
        if one < 128:
            return <int64_t>(value >> 1) ^ -<int64_t>(value & 1)
        shift += 7


cdef int64_t sum_(int64_t one, int64_t other) noexcept:
    """Add as 64 bits do: no offset and no time is near their end."""
    return <int64_t>(<uint64_t>one + <uint64_t>other)


cdef int64_t big(Bytes raw, int size) noexcept:
    cdef uint64_t value = 0
    cdef int place
    for place in range(size):
        value = value << 8 | raw[place]
    return <int64_t>value
