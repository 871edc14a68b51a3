"""Master keys: one file or a KMS, several at a time, and never without them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import FatalError
from streams.cli import cli
from streams.security.key_file import make, read_entries, read_master_keys, rotate
from streams.security.master_keys import MasterKeys
from streams.security.vault import Vault, is_sealed, open_part, seal_part
from streams.security.vault_factory import vault_of
from streams.settings import PrivacySettings

MASTERS = MasterKeys({"k1": b"1" * 32}, "k1", "a test")
VAULT = Vault(MASTERS)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(data=st.binary(max_size=200), scope=st.binary(max_size=20), other=st.binary(max_size=20), bit=st.integers(0))
def test_what_is_sealed_opens_as_it_was_or_not_at_all(data: bytes, scope: bytes, other: bytes, bit: int) -> None:
    key = VAULT.new_key(scope)
    whole, part = VAULT.seal(data, scope, key), seal_part(data, scope, key)
    assert is_sealed(whole)
    assert is_sealed(part)
    assert VAULT.open(whole, scope) == data
    assert open_part(part, scope, VAULT.key_of(whole, scope)) == data
    if other != scope:
        with pytest.raises(FatalError):
            VAULT.open(whole, other)
        with pytest.raises(FatalError):
            open_part(part, other, key)
    for sealed, opens in ((whole, lambda b: VAULT.open(b, scope)), (part, lambda b: open_part(b, scope, key))):
        place = bit % (len(sealed) * 8)
        damaged = bytearray(sealed)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(FatalError):
            opens(bytes(damaged))
        for length in {0, 1, 3, len(sealed) // 2, len(sealed) - 1}:
            with pytest.raises(FatalError):
                opens(sealed[:length])


def test_the_same_data_is_sealed_differently_every_time() -> None:
    assert len({VAULT.seal(b"same", scope) for scope in (b"a", b"b", b"a", b"a")}) == 4


def test_a_new_master_key_wraps_and_the_older_ones_still_open(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first = make(path)
    sealed = Vault(read_master_keys(path)).seal(b"data", b"scope")
    second = rotate(path)
    vault = Vault(read_master_keys(path))
    assert vault.masters.ids == [first, second]
    assert vault.open(sealed, b"scope") == b"data"
    # Written anew, the same data key is under the new master key, and the old one is asked for no more.
    again = vault.seal(b"data", b"scope", vault.key_of(sealed, b"scope"))
    alone = tmp_path / "alone.json"
    alone.write_bytes(path.read_bytes())
    alone.chmod(0o600)
    only_new = MasterKeys({second: vault.masters._raw[second]}, second, "a test")
    assert Vault(only_new).open(again, b"scope") == b"data"
    with pytest.raises(FatalError, match=f"master key '{first}'.*Put '{first}' back"):
        Vault(only_new).open(sealed, b"scope")


def test_another_key_under_the_same_id_opens_nothing() -> None:
    sealed = VAULT.seal(b"data", b"scope")
    with pytest.raises(FatalError, match="the key under this id is another"):
        Vault(MasterKeys({"k1": b"2" * 32}, "k1", "another file")).open(sealed, b"scope")


def test_a_file_of_keys_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rotate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o440)
    assert read_master_keys(path).current
    path.chmod(0o444)
    with pytest.raises(FatalError, match="may be read by others"):
        read_master_keys(path)
    with pytest.raises(FatalError, match="is there already"):
        make(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"keys": []}',
        '{"keys": [{"id": "k", "key": "%%%"}]}',
        '{"keys": [{"id": "k", "key": "c2hvcnQ="}]}',
        '{"keys": [{"id": "k", "key": "a"}, {"id": "k", "key": "b"}]}',
        '{"keys": [{"id": "k", "wrapped": "YQ=="}]}',
    ],
)
def test_a_damaged_key_file_is_fatal_and_no_key_is_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(FatalError) as raised:
        read_master_keys(path)
    assert "c2hvcnQ" not in str(raised.value)


def test_without_master_keys_nothing_starts_and_advice_is_given(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"reprieve keys make.*for development only"):
        vault_of(PrivacySettings())
    with pytest.raises(FatalError, match="cannot be read"):
        vault_of(PrivacySettings(master_keys_file=tmp_path / "none.json"))
    assert vault_of(PrivacySettings(mode="off")) is None


def test_the_command_makes_rotates_and_lists_and_shows_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for command in ("make", "rotate", "list"):
        found = CliRunner().invoke(cli, ["keys", command, str(path)])
        assert found.exit_code == 0, found.output
    entries = read_entries(path)
    assert [line.split()[0] for line in found.output.splitlines()] == [entry.id for entry in entries]
    assert not any(entry.key in found.output for entry in entries)
