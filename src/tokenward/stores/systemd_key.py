"""The key of the store as a credential that systemd hands to the service (``LoadCredential=``, systemd 247).

The problem: systemd can keep a key where the user's files are not: root's files, a TPM, a hypervisor. It hands
the key to the service that it starts, and to nobody else; so we can neither make one nor remove one.

Rules:
- The credential is named ``tokenward-key``: 32 bytes, or 64 hexadecimal digits.
- Outside of a service that has it, it is *not here*, which says nothing about whether there is one: locked.
"""

from __future__ import annotations

import re
from pathlib import Path

from tokenward.disk.atomic_file import read_regular
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.stores.key_ring import KEY_BYTES, key_id_of

CREDENTIAL = "tokenward-key"
LARGEST = 256
_HEX = re.compile(rb"[0-9A-Fa-f]{64}\s*")


class SystemdKeyPlace:
    """One systemd credential (``ports.KeyPlace``).

    Args:
        credentials: ``$CREDENTIALS_DIRECTORY``; None outside of a systemd service.
    """

    name = "systemd"
    opens_later = False

    def __init__(self, credentials: str | None) -> None:
        self._path = Path(credentials) / CREDENTIAL if credentials else None
        self.description = f"systemd credential {CREDENTIAL}"

    def find(self, key_id: str | None) -> bytes | None:
        """See ``ports.KeyPlace``."""
        key = self._read()
        return key if key_id in {None, key_id_of(key)} else None

    def make(self) -> bytes:
        """The key that somebody put there; see ``ports.KeyPlace``."""
        return self._read()

    def retire(self, key_id: str, successor: str | None) -> None:
        """Nothing: only who put the credential there can take it away."""

    def _read(self) -> bytes:
        if self._path is None:
            raise _not_given("this process was not started with systemd credentials")
        try:
            data = read_regular(self._path, limit=LARGEST).data
        except FileNotFoundError:
            raise _not_given(f"systemd gave us no credential {CREDENTIAL}") from None
        except OSError as error:
            raise _not_given(
                f"the systemd credential {CREDENTIAL} cannot be read: {error.strerror or type(error).__name__}"
            ) from None
        if len(data) == KEY_BYTES:
            return data
        if _HEX.fullmatch(data):
            return bytes.fromhex(data.decode())
        raise ConfigurationFault(
            f"the systemd credential {CREDENTIAL} has {len(data)} bytes",
            hint="it must be 32 bytes, or 64 hexadecimal digits (openssl rand -hex 32)",
        )


def _not_given(cause: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the store's key is not here: {cause}",
        hint=f"add LoadCredential={CREDENTIAL}:/path/to/it to the service, and run tokenward as that service",
    )
