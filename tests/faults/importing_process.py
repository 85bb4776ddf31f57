"""One import of another program's store in a process of its own, to be killed at any call by `test_import_crash`.

Run by path with `-I`. It does on the disk what `daemon.intake` does: reads the foreign store, and puts into ours
what is not kept yet. Its last line on standard output is how many were put.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

from tokenward.core.imported import Imported
from tokenward.daemon.machine import SystemEntropy
from tokenward.sources.foreign.catalogue import ForeignStores
from tokenward.stores.credential_store import EncryptedCredentialStore
from tokenward.stores.custody import KeyCustody
from tokenward.stores.key_files import FileKeyPlace


def opened(state: Path) -> EncryptedCredentialStore:
    """The store of a state directory, as a start opens it."""
    entropy = SystemEntropy()
    place = FileKeyPlace(state, entropy)
    return KeyCustody(state, state / "credentials", {place.name: place}, entropy).open()


if __name__ == "__main__":
    store = opened(Path(sys.argv[2]))
    gathered = ForeignStores(Path(sys.argv[3]), {}).read("clawdbot", None, "main")
    kept = set(store.profiles())
    new = [each for each in gathered.entries if isinstance(each, Imported) and each.profile not in kept]
    for entry in new:
        store.add(entry.profile, entry.credential)
    sys.stdout.write(f"{len(new)}\n")
