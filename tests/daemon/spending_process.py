"""A process that refreshes ``acme:me`` in a store and tells its steps on standard output.

It prints ``waiting`` when it meets a held family, ``posting`` when its request is under way, waits there for a
line on standard input, and ends with the kind of its result. Every request is a line in the file ``posts``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from daemon.refreshing import ENDPOINT, sealer
from tokenward.core.credential import Secret
from tokenward.core.grants import Granted, RefreshOutcome
from tokenward.core.reading import Found
from tokenward.daemon.machine import SystemClock
from tokenward.daemon.transaction import Transaction
from tokenward.stores.credential_store import EncryptedCredentialStore


def say(word: str) -> None:
    """One step."""
    print(word, flush=True)  # noqa: T201 - this is what the process is for


def main() -> None:
    """Refresh once."""
    directory = Path(sys.argv[1])
    place = EncryptedCredentialStore(directory / "store", sealer()).place("acme:me")

    def wait(seconds: float) -> None:
        say("waiting")
        time.sleep(seconds)

    def post(refresh: Secret) -> RefreshOutcome:
        with (directory / "posts").open("a") as posts:
            posts.write(f"{refresh.reveal()}\n")
        say("posting")
        sys.stdin.readline()
        return Granted(Secret("granted-access"), Secret("granted-refresh"), 3600.0, None, "Bearer")

    transaction = Transaction(
        profile="acme:me",
        place=place,
        token_endpoint=ENDPOINT,
        reuse_grace=0,
        families=directory / "families",
        sealer=sealer(),
        clock=SystemClock(),
        wait=wait,
        post=post,
    )
    reading = place.read()
    assert isinstance(reading, Found)
    say(type(transaction.refresh(reading.credential)).__name__)


if __name__ == "__main__":
    main()
