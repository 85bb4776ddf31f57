"""One refresh in a process of its own, of Claude Code's login or of ours, to be killed at any line by its test.

Run by path with `-I -S`: it starts in a fraction of what the daemon takes, and makes the same calls to the disk,
for it is the daemon's own transaction on the daemon's own place. What it does not have is a network: the server
is a file with the number of the refresh token that is good now.

Rules:
- It acts as a daemon does that starts: read the place, and if the login is due, refresh, and try again what may
  succeed later. Waiting is not waited for: the clock is set forward instead.
- The server's file lies where the sweep does not look, so that the server never dies with its client.
- Its last line on standard output is what came of it, as JSON. No import but the standard library and ours.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

from tokenward.core.credential import Secret
from tokenward.core.grants import Condemned, Granted, RefreshOutcome
from tokenward.core.reading import Found
from tokenward.daemon.flight_results import Failed, FlightResult, Rejected, SaveFailed
from tokenward.daemon.transaction import Transaction
from tokenward.errors import StoreUnavailable
from tokenward.ports import Place
from tokenward.sources.claude_code import ClaudeCodeFile
from tokenward.stores.credential_store import EncryptedCredentialStore

LIFE = 3600.0
TRIES = 30
"""Each sets the clock forward: together beyond the minute after which a lock is taken from a dead holder."""
STEP_SECONDS = 5.0


class SettableClock:
    """The machine's clocks, moved forward by every wait."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def wall(self) -> datetime:
        """The wall clock."""
        return datetime.fromtimestamp(time.time() + self.ahead, UTC)

    def monotonic(self) -> float:
        """The monotonic clock."""
        return time.monotonic() + self.ahead

    def boottime(self) -> float:
        """As the monotonic clock: there is no suspend here."""
        return self.monotonic()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += seconds


class TransparentSealer:
    """Seals so that only the associated data is checked: what is encrypted here is not the question."""

    key_id = "none"

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        """Bind the bytes to the associated data."""
        return associated + plain[::-1]

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """The bytes, if they were bound to the associated data."""
        if not sealed.startswith(associated):
            raise StoreUnavailable("it was sealed for another family", hint="there is none")
        return sealed[len(associated) :][::-1]


class FileServer:
    """A server that rotates: the refresh token with the number in its file is good, and every other is dead.

    What was shown to it and was dead is a line in `reused` beside it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def post(self, refresh: Secret) -> RefreshOutcome:
        """Spend a refresh token."""
        number = int(self._path.read_text())
        if refresh.reveal() != f"refresh-{number}":
            with self._path.with_name("reused").open("a") as reused:
                reused.write(f"{refresh.reveal()}\n")
            return Condemned("invalid_grant", "it was used before")
        self._path.write_text(str(number + 1))
        return Granted(Secret(f"access-{number + 1}"), Secret(f"refresh-{number + 1}"), LIFE, None, "Bearer")


def store_in(home: Path) -> EncryptedCredentialStore:
    """Our own store in a home."""
    return EncryptedCredentialStore(home / "credentials", TransparentSealer())


def refresh_as_a_daemon_does(transaction: Transaction, place: Place, clock: SettableClock) -> object:
    """Refresh what is due, and say what came of it."""
    reading = place.read()
    if not isinstance(reading, Found):
        return type(reading).__name__
    held = reading.credential
    if held.expires_at is not None and held.expires_at > clock.wall():
        return "not due"
    result: FlightResult = transaction.refresh(held)
    for _ in range(TRIES):
        clock.wait(STEP_SECONDS)
        match result:
            case SaveFailed():
                result = transaction.save(result)
            case Failed():
                result = transaction.refresh(held)
            case _:
                break
    shown = result._asdict() if isinstance(result, Rejected | Failed) else {}
    return {"result": type(result).__name__, **shown}


def place_in(home: Path, kind: str, clock: SettableClock) -> Place:
    """Where the login of a home is: in our store, or in Claude Code's file."""
    if kind == "store":
        return store_in(home).place("acme:me")
    path = home / ".claude" / ".credentials.json"
    return ClaudeCodeFile(path, clock=clock, wait=clock.wait, entropy=lambda: 0.0)


def main(home: Path, server: Path, kind: str) -> None:
    """Refresh the login of one home at one server."""
    clock = SettableClock()
    place = place_in(home, kind, clock)
    transaction = Transaction(
        profile="acme:me",
        place=place,
        token_endpoint="https://auth.invalid/token",
        reuse_grace=0.0,
        families=home / "families",
        sealer=TransparentSealer(),
        clock=clock,
        wait=clock.wait,
        post=FileServer(server).post,
    )
    sys.stdout.write(json.dumps(refresh_as_a_daemon_does(transaction, place, clock)) + "\n")


if __name__ == "__main__":
    if sys.argv[5:] == ["predictable"]:
        os.urandom = bytes  # the names of temporary files are watched, so they have to be known
    main(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
