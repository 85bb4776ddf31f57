"""One change of the store's key in a process of its own, to be killed at any call by `test_rekey_crash`.

Run by path with `-I`. Its last line on standard output is how many records there are.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

from tokenward.daemon.machine import SystemEntropy
from tokenward.stores.custody import KeyCustody
from tokenward.stores.key_files import FileKeyPlace, PassphraseKeyPlace

CHEAP = 2
"""scrypt's N: what it costs is not the question here."""


def custody_of(state: Path) -> KeyCustody:
    """The custody of a state directory, with somebody who knows the passphrase."""
    entropy = SystemEntropy()
    places = (
        FileKeyPlace(state, entropy),
        PassphraseKeyPlace(state, entropy, lambda _: "correct horse", cost=CHEAP),
    )
    return KeyCustody(state, state / "credentials", {place.name: place for place in places}, entropy)


if __name__ == "__main__":
    custody = custody_of(Path(sys.argv[2]))
    custody.open()
    sys.stdout.write(f"{custody.rekey(sys.argv[3])}\n")
