"""The key of the store in the system's keyring: Secret Service, KWallet, the macOS Keychain.

The problem: a keyring can be locked, can wait for a person for ever, and can be none at all; and the library
that finds it may choose a back end that writes secrets to a plain file, or that keeps nothing.

Rules:
- Only the 32-byte key is kept there, under its own id, and is never written over: what a back end does to
  replace an item (macOS: delete, then add) never happens to a key in use.
- Locked, silent or missing is ``StoreUnavailable``: never "there is no key", and never a reason to make one.
- Back ends are admitted by class. A chain of back ends is used only if each of its links is admitted, and then
  its first.
- The library is imported when first needed, and asked in one thread of our own, which may hang in a dialog for as
  long as it likes; while it does, the keyring counts as locked.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tokenward.errors import ConfigurationFault, StoreUnavailable, TokenwardError
from tokenward.ports import Entropy
from tokenward.stores.key_ring import KEY_BYTES, key_id_of

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "tokenward"
PATIENCE_SECONDS = 25.0
"""A person types a password in this time; the service manager waits longer for our start."""
ADMITTED = frozenset(
    {
        "keyring.backends.SecretService.Keyring",
        "keyring.backends.libsecret.Keyring",
        "keyring.backends.kwallet.DBusKeyring",
        "keyring.backends.kwallet.DBusKeyringKWallet4",
        "keyring.backends.macOS.Keyring",
        "keyring.backends.Windows.WinVaultKeyring",
    }
)
"""Back ends that keep secrets encrypted and under the system's own lock."""
_CHAIN = "keyring.backends.chainer.ChainerBackend"
_NONE = "keyring.backends.fail.Keyring"

T = TypeVar("T")


def find_backend() -> KeyringBackend:
    """The back end that the keyring library chose, if it may be used.

    Raises:
        StoreUnavailable: if there is none.
        ConfigurationFault: if it must not be used.
    """
    from keyring.core import get_keyring

    return admitted(get_keyring())


def admitted(backend: KeyringBackend) -> KeyringBackend:
    """The back end itself, or the first of a chain.

    Raises:
        StoreUnavailable: if there is none.
        ConfigurationFault: if it must not be used.
    """
    links: list[KeyringBackend] = [backend]
    if _class_name(backend) == _CHAIN:
        links = list(getattr(backend, "backends", ()))
    names = [_class_name(link) for link in links]
    if not links or _NONE in names:
        raise StoreUnavailable(
            "no system keyring answers: no Secret Service, KWallet or Keychain can be reached from here",
            hint="start tokenward in the session that has one, or keep the key in a file",
        )
    if refused := [name for name in names if name not in ADMITTED]:
        raise ConfigurationFault(
            f"the keyring library would use {refused[0]}, which does not protect what it keeps",
            hint="uninstall it, or set PYTHON_KEYRING_BACKEND=keyring.backends.SecretService.Keyring",
        )
    return links[0]


class KeyringKeyPlace:
    """The system's keyring (``ports.KeyPlace``).

    Args:
        entropy: where a new key comes from.
        backend: finds the back end; called in our thread, each time.
        patience: seconds until a keyring that does not answer counts as locked.
    """

    name = "keyring"
    opens_later = True
    description = f"system keyring, service {SERVICE}"

    def __init__(
        self,
        entropy: Entropy,
        *,
        backend: Callable[[], KeyringBackend] = find_backend,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._entropy = entropy
        self._backend = backend
        self._patience = patience
        self._busy = threading.Lock()

    def find(self, key_id: str | None) -> bytes | None:
        """See ``ports.KeyPlace``; a keyring does not tell which keys it has, so without an id there is none."""
        if key_id is None:
            self._ask(lambda backend: backend.get_password(SERVICE, _item("")))  # locked is not "none"
            return None
        text = self._ask(lambda backend: backend.get_password(SERVICE, _item(key_id)))
        if text is None:
            return None
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES or key_id_of(key) != key_id:
            raise ConfigurationFault(
                f"the keyring's item {SERVICE} / {_item(key_id)} does not hold that key",
                hint="nothing was changed; restore the item from a backup of the keyring",
            )
        return key

    def make(self) -> bytes:
        """See ``ports.KeyPlace``."""
        key = self._entropy.token(KEY_BYTES)
        self._ask(lambda backend: backend.set_password(SERVICE, _item(key_id_of(key)), key.hex()))
        return key

    def retire(self, key_id: str, successor: str | None) -> None:  # noqa: ARG002 - every key has an item of its own
        """See ``ports.KeyPlace``."""

        def delete(backend: KeyringBackend) -> None:
            if backend.get_password(SERVICE, _item(key_id)) is not None:
                backend.delete_password(SERVICE, _item(key_id))

        self._ask(delete)

    def _ask(self, question: Callable[[KeyringBackend], T]) -> T:
        """Ask in a thread that nobody has to wait for, and that a dialog may hold for ever."""
        if not self._busy.acquire(blocking=False):
            raise _locked("it has not answered an earlier question")
        answers: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(question(self._backend()))
            except BaseException as error:  # noqa: BLE001 - it belongs to the thread that asked
                answers.put(error)
            finally:
                self._busy.release()

        threading.Thread(target=ask, name="tokenward-keyring", daemon=True).start()
        try:
            answer = answers.get(timeout=self._patience)
        except queue.Empty:
            raise _locked(f"it has not answered in {self._patience:g} s; does it ask for a password?") from None
        if isinstance(answer, TokenwardError):
            raise answer
        if isinstance(answer, BaseException):
            raise _unanswered(answer) from None
        return answer


def _unanswered(error: BaseException) -> StoreUnavailable:
    from keyring.errors import KeyringLocked, NoKeyringError

    if isinstance(error, KeyringLocked):
        return _locked("nobody unlocked it")
    if isinstance(error, NoKeyringError):
        return _locked("no keyring can be reached")
    return StoreUnavailable(
        f"the system keyring does not work: {type(error).__name__}",
        hint="try: secret-tool search service tokenward",
    )


def _locked(why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the system keyring is locked: {why}",
        hint="unlock it (log in to the desktop), then: tokenward store status",
    )


def _item(key_id: str) -> str:
    return f"store key {key_id}"


def _class_name(backend: object) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"
