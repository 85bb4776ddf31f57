"""A keyring back end that does what a test says."""

import threading

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError


class FakeKeyring(KeyringBackend):
    """Items in memory; can be locked, and can wait for a person who never comes."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library has no types there
        self.items: dict[tuple[str, str], str] = {}
        self.locked = False
        self.silent: threading.Event | None = None
        self.asked = 0

    def _ask(self) -> None:
        self.asked += 1
        if self.silent is not None:
            self.silent.wait()
        if self.locked:
            raise KeyringLocked("Failed to unlock the collection!")

    def get_password(self, service: str, username: str) -> str | None:
        """One item."""
        self._ask()
        return self.items.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep one."""
        self._ask()
        self.items[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Delete one."""
        self._ask()
        if self.items.pop((service, username), None) is None:
            raise PasswordDeleteError("No such password!")
