"""What leaves this machine is encrypted to recipients, in the age format (age-encryption.org/v1).

The problem: a backup of credentials is worth as much as the credentials, and a passphrase that a machine knows
protects it from nobody. With recipients, who writes a backup cannot read it.

Rules: a recipient is an X25519 one, ``age1…``; the library (pyrage, the extra ``age``) is imported when needed; no
error ever quotes an identity.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenward.errors import ConfigurationFault, InvalidParams


class AgeArchive:
    """age, by pyrage (``ports.Archive``)."""

    def seal(self, plain: bytes, recipients: Sequence[str]) -> bytes:
        """See ``ports.Archive``."""
        try:
            from pyrage import RecipientError, encrypt, x25519
        except ImportError:
            raise _not_installed() from None
        to = []
        for recipient in recipients:
            try:
                to.append(x25519.Recipient.from_str(recipient))
            except (RecipientError, ValueError):
                raise InvalidParams(
                    "not an age recipient",
                    hint="a recipient begins with age1; age-keygen -y prints the one of an identity",
                ) from None
        return bytes(encrypt(plain, to))

    def unseal(self, sealed: bytes, identities: str) -> bytes:
        """See ``ports.Archive``."""
        try:
            from pyrage import DecryptError, IdentityError, decrypt, x25519
        except ImportError:
            raise _not_installed() from None
        lines = [line.strip() for line in identities.splitlines() if line.strip() and not line.startswith("#")]
        try:
            mine = [x25519.Identity.from_str(line) for line in lines]
        except (IdentityError, ValueError):
            mine = []
        if not mine:
            raise InvalidParams(
                "the identity file holds no age identity", hint="it has a line that begins with AGE-SECRET-KEY-1"
            )
        try:
            return bytes(decrypt(sealed, mine))
        except (DecryptError, ValueError):
            raise InvalidParams(
                "the file cannot be decrypted: it is no age file, or none of the identities is a recipient of it",
                hint="give the identity file of one of the recipients",
            ) from None


def _not_installed() -> ConfigurationFault:
    return ConfigurationFault(
        "age files need pyrage, which is not installed",
        hint="pip install 'tokenward[age]'",
    )
