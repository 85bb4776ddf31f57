"""A `ports.SharedSealer` under one key that every host of a test was given."""

from __future__ import annotations

from dataclasses import dataclass

from fakes.machine import CountingEntropy
from tokenward.core.credential import Credential
from tokenward.core.record import from_record, to_record
from tokenward.core.sharing import SealedValue
from tokenward.errors import StoreUnavailable
from tokenward.stores.key_ring import AesGcmSealer


@dataclass
class OneKeySealer:
    """Seals for real, under a known key.

    Args:
        key: 32 bytes.
    """

    key: bytes = b"f" * 32

    def __post_init__(self) -> None:
        self._sealer = AesGcmSealer(self.key, CountingEntropy())

    def seal(self, profile: str, credential: Credential, replaced: SealedValue | None) -> SealedValue:
        """Seal a value."""
        bound = f"{profile} {credential.generation}".encode()
        sealed = self._sealer.seal(to_record(credential), bound)
        return SealedValue(credential.generation, self._sealer.key_id, sealed)

    def unseal(self, profile: str, value: SealedValue) -> Credential:
        """Open a value."""
        if value.key_id != self._sealer.key_id:
            raise StoreUnavailable(f"the key {value.key_id} is not here", hint="join the fleet")
        return from_record(self._sealer.unseal(value.sealed, f"{profile} {value.generation}".encode()))
