"""A partner's ids are its own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from schemas.events import Id
from streams.security.pseudonyms import pseudonym

KEY = bytes(range(32))
PARTS = st.tuples(st.text(max_size=8), st.text(max_size=8))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(one=PARTS, other=PARTS)
def test_two_are_alike_only_where_partner_and_id_are(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (pseudonym(KEY, *one) == pseudonym(KEY, *other)) == (one == other)


def test_it_is_a_valid_id_and_holds_nothing_of_the_original() -> None:
    found = pseudonym(KEY, "shop", "B0000042")
    pattern = next(m.pattern for m in Id.__metadata__ if m.pattern)
    assert re.fullmatch(pattern, found)
    assert re.fullmatch("[a-z2-7]{32}", found)
    assert "b0000042" not in found


def test_another_key_gives_another_id_and_short_ones_fail() -> None:
    assert pseudonym(KEY, "shop", "B1") != pseudonym(KEY[::-1], "shop", "B1")
    with pytest.raises(UsageError, match="it must have 32"):
        pseudonym(b"short", "shop", "B1")


def test_it_stays_as_it_is_since_partners_keep_it() -> None:
    assert pseudonym(KEY, "shop", "B1") == "crdcmxowbbbmbafpgasum3ifn2izudgt"
