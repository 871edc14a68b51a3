"""Where a process has its master keys from: settings, or the data directory of a local runtime."""

from __future__ import annotations

import os
from pathlib import Path

from schemas.errors import FatalError
from streams.security.field_encryption import FieldKeys
from streams.security.key_file import make, read_master_keys
from streams.security.kms import Kms, unwrap_master_keys
from streams.security.master_keys import MasterKeys
from streams.security.vault import Vault
from streams.settings import PrivacySettings

FILE = "master-keys.json"
# The environment's name of `privacy.master_keys_file`, which counts for a local runtime too.
VARIABLE = "REPRIEVE_PRIVACY__MASTER_KEYS_FILE"
WIRE_FILE, WIRE_VARIABLE = "wire-keys.json", "REPRIEVE_PRIVACY__WIRE_KEYS_FILE"


def kms_of(privacy: PrivacySettings) -> Kms | None:
    """Return the KMS of settings, None where there is none."""
    if privacy.kms_url is None:
        return None
    token = None if privacy.kms_token is None else privacy.kms_token.get_secret_value()
    return Kms(privacy.kms_url, token, privacy.kms_ca_file, privacy.kms_timeout_seconds)


def master_keys_of(privacy: PrivacySettings) -> MasterKeys:
    """Return the master keys of settings. It blocks while a KMS is asked.

    Raises FatalError where they are missing, wrong or denied, RetryableError where whoever has them is away.
    """
    path, kms = privacy.master_keys_file, kms_of(privacy)
    if path is None:
        raise FatalError(
            "privacy.master_keys_file is not set, and personal data are stored only sealed. Make a file with "
            'reprieve keys make, give it to every worker, and set its path; privacy.mode = "off" stores them in the '
            "clear, for development only."
        )
    return read_master_keys(path) if kms is None else unwrap_master_keys(path, kms)


def vault_of(privacy: PrivacySettings) -> Vault | None:
    """Return the vault of settings, None with `privacy.mode = "off"`.

    Raises FatalError where master keys are missing, wrong or denied, RetryableError where the KMS is away.
    """
    if privacy.mode == "off":
        return None
    wire = privacy.wire_keys_file
    return Vault(master_keys_of(privacy), None if wire is None else FieldKeys.of(wire))


def local_keys(folder: Path) -> Path:
    """Return the file of master keys of a local runtime's data directory."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else folder / FILE


def local_vault(folder: Path, *, new: bool) -> Vault:
    """Return the vault of a data directory. `new`: nothing is sealed there yet, so a key may be made for it."""
    path = local_keys(folder)
    if new and not path.exists():
        make(path)
    wire = Path(os.environ.get(WIRE_VARIABLE) or folder / WIRE_FILE)
    return Vault(read_master_keys(path), FieldKeys.of(wire) if wire.exists() else None)
