"""What upstream seals decides as if it were open, and can be read by nobody else."""

from __future__ import annotations

from base64 import b64decode
from datetime import date
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import FatalError, InvalidEventError
from schemas.jsonlines import to_line
from state.policy_packs.loader import default_book
from streams.cli import cli
from streams.local.dead_letters import read_dead_letters
from streams.local.runtime import LocalRuntime
from streams.security.field_encryption import FIELDS, FieldKeys, decrypt_fields, encrypt_fields, sealer
from tests.support.canaries import answer, granted, report, seen, shapes
from tests.support.strategies import events_of

DAY = date(2026, 1, 5)
PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = FieldKeys({"w1": PRIVATE})


@settings(max_examples=150, derandomize=True, deadline=None)
@given(event=st.one_of(events_of(ev.ProfileReported), events_of(ev.OfferAnswered), events_of(ev.PaymentReceived)))
def test_what_is_sealed_opens_as_it_was_and_is_empty_before(event: ev.Event) -> None:
    event = replace(event, sealed=None) if type(event) in FIELDS else event
    sealed = encrypt_fields(event, "w1", PRIVATE.public_key())
    # It goes over the wire as every event does.
    sealed = Codec().decode(Codec().encode(sealed))
    assert decrypt_fields(sealed, KEYS) == event
    for name in FIELDS.get(type(event), ()):
        assert not getattr(sealed, name)


def test_sealed_bytes_fit_no_other_event_or_borrower() -> None:
    made = [report("B1", DAY), answer("B1", DAY, "o1", "declined", reasons=("distress",))]
    for event in made:
        sealed = encrypt_fields(event, "w1", PRIVATE.public_key())
        assert not seen(Codec().encode(sealed) + to_line(sealed), shapes())
        for other in (replace(sealed, borrower_id="B2"), replace(sealed, event_id="another")):
            with pytest.raises(InvalidEventError) as refused:
                decrypt_fields(other, KEYS)
            assert refused.value.code == "unsealable"
        with pytest.raises(InvalidEventError) as refused:
            decrypt_fields(sealed, FieldKeys({}))
        assert refused.value.code == "unknown_wire_key"
        with pytest.raises(FatalError, match=r"privacy\.wire_keys_file is not set"):
            decrypt_fields(sealed, None)


@given(sealed=st.binary(max_size=120))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_whatever_stands_in_sealed_is_answered_with_a_refusal(sealed: bytes) -> None:
    with pytest.raises(InvalidEventError):
        decrypt_fields(replace(report("B1", DAY), sealed=sealed), KEYS)


def test_sealed_fields_out_of_range_are_refused() -> None:
    sealed = encrypt_fields(replace(report("B1", DAY), household_size=900), "w1", PRIVATE.public_key())
    with pytest.raises(InvalidEventError) as refused:
        decrypt_fields(sealed, KEYS)
    assert refused.value.code == "out_of_range"


def test_publish_seals_and_decisions_are_those_of_open_events(tmp_path: Path) -> None:
    told = [granted("B1", DAY), report("B1", DAY)]
    (tmp_path / "events.jsonl").write_bytes(b"".join(to_line(event) for event in told))
    data, public = tmp_path / "data", tmp_path / "public.json"
    made = CliRunner().invoke(cli, ["keys", "wire", str(data / "wire-keys.json"), "--public", str(public)])
    assert made.exit_code == 0, made.output
    assert b64decode(msgspec.json.decode(public.read_bytes())["public"]) not in (data / "wire-keys.json").read_bytes()
    args = ["publish", str(tmp_path / "events.jsonl"), "--data", str(data), "--seal", str(public)]
    done = CliRunner().invoke(cli, args)
    assert done.exit_code == 0, done.output
    with LocalRuntime.open(data, default_book()) as runtime, LocalRuntime.open(None, default_book()) as clear:
        clear.feed(told)
        assert runtime.state("planner", "B1") == clear.state("planner", "B1")
        assert runtime.history("planner", "B1") == clear.history("planner", "B1")
        came = [event for _, event in runtime.outputs("profiles")]
        assert not seen(b"".join(to_line(event) for event in came), shapes())
        # Sealed for a key that was destroyed since: a dead letter, which can be sent in again.
        lost = encrypt_fields(report("B1", DAY, "lost"), "gone", PRIVATE.public_key())
        runtime.feed([lost])
        assert [x.letter.code for x in read_dead_letters(runtime)] == ["unknown_wire_key"]


def test_a_file_that_is_no_public_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "public.json").write_text("{}")
    with pytest.raises(FatalError, match="is no public key"):
        sealer(tmp_path / "public.json")
