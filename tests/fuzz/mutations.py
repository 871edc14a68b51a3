"""Inputs that are nearly right: an example mutated in a few places, as hypothesis draws and shrinks them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

# What has broken parsers before: ends of ranges, half characters, nesting, other notations of a number.
FRAGMENTS: tuple[bytes, ...] = (
    b"", b"\x00", b"\xff", b"\x80" * 9 + b"\x01", b"\xff" * 10, b"\xfe\xff\xff\xff\x0f", b"\xed\xa0\x80", b"\xc0\x80",
    b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\xe2\x80\x8b", b"[" * 80, b"{" * 80, b'{"a":' * 80, b"- " * 80, b"\n", b"\t",
    b'"', b"'", b"\\", b"\\ud800", b"\\u0000", b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e999", b"1e-999",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"0x10", b"1_000", b"0.1", b"99" * 40,
    b"0001-01-01", b"9999-12-31", b"2026-02-30", b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00Z", b"&a *a", b"!!str",
    b"<<: *a", b"%YAML 1.1\n---\n", b"---\n", b"..%2f", b"%00", b"%ff", b"?q=", b"//", b"\r\n",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Return a seed with one to four places cut out, doubled, or replaced by what has broken parsers before."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from((0, 1, 2, 4, 16, len(data)))))
        piece = draw(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=8), st.just(data[start:end] * 2)))
        data = data[:start] + piece + data[end:]
    return data
