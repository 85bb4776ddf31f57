"""The key of the store in a file of its own: as it is, or wrapped with a passphrase.

The problem: when a store changes its key, the old key and the new one must both be there until the last record
is sealed by the new one, and a crash at any moment must leave both findable.

Rules:
- The key in use has the plain name. A new one is first written beside it, under its id, and takes the plain name
  when the old one is retired: one rename, after which no file under an id is left.
- A wrapped key's id stands in its file, so that which key it is can be told without the passphrase.
- The passphrase goes through scrypt (RFC 7914); its parameters stand in the file and are bounded when read.
- A passphrase that does not fit is "locked", and never a reason to make a new key.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenward.disk.atomic_file import prepare_write, read_regular
from tokenward.disk.durability import sync_directory
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.ports import Entropy
from tokenward.stores.key_ring import KEY_BYTES, KEY_FILE, AesGcmSealer, key_id_of, openness_problem

WRAPPED_KEY_FILE = "store.wrapped-key"
LARGEST_KEY_FILE = 4096
"""A wrapped key is some 300 bytes."""
SCRYPT_N = 2**17
"""With r = 8: 128 MiB and some 0.3 s a try (OWASP's recommendation for scrypt)."""
SCRYPT_R = 8
SCRYPT_P = 1
LARGEST_SCRYPT_N = 2**20
"""A file that somebody else made must not take all memory: 1 GiB at most."""
SALT_BYTES = 16

Passphrase = Callable[[bool], str]
"""Gets the passphrase; with True a new one, asked for twice where a person types it. Raises StoreUnavailable."""


class _KeyFiles:
    """Files of one name and of that name with a key's id behind it."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / name

    def named(self, key_id: str) -> Path:
        """The file of a key that is not in use yet."""
        return self.path.with_name(f"{self.path.name}.{key_id}")

    def read(self, path: Path) -> bytes | None:
        """A private file's bytes; None if there is none."""
        try:
            image = read_regular(path, limit=LARGEST_KEY_FILE)
        except FileNotFoundError:
            return None
        if problem := openness_problem(image):
            raise ConfigurationFault(
                f"the store's key {path} {problem}", hint="nothing was changed; check the file"
            )
        return image.data

    def write(self, key_id: str, data: bytes) -> None:
        """Put a new key beside what is here, or under the plain name if nothing is."""
        path = self.named(key_id) if os.path.lexists(self.path) else self.path
        with prepare_write(path, len(data), create=True) as prepared:
            prepared.commit(data)

    def retire(self, id_of: Callable[[Path], str | None], key_id: str, successor: str | None) -> None:
        """Remove one key; a successor takes the plain name."""
        if successor is not None and id_of(self.named(successor)) == successor:
            self.named(successor).rename(self.path)
        for path in (self.path, self.named(key_id)):
            if id_of(path) == key_id:
                path.unlink()
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_directory(fd)
        finally:
            os.close(fd)


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"the store's key {path} cannot be used: {error.strerror or type(error).__name__}",
            hint="check the disk and the permissions of the state directory",
        ) from error


class FileKeyPlace:
    """32 bytes in a 0600 file beside the records (``ports.KeyPlace``).

    Args:
        directory: the state directory.
        entropy: where a new key comes from.
    """

    name = "file"
    opens_later = False

    def __init__(self, directory: Path, entropy: Entropy) -> None:
        self._files = _KeyFiles(directory, KEY_FILE)
        self._entropy = entropy
        self.description = str(self._files.path)

    def find(self, key_id: str | None) -> bytes | None:
        """See ``ports.KeyPlace``."""
        candidates = [self._files.path, *([self._files.named(key_id)] if key_id is not None else [])]
        with _on_disk(self._files.path):
            for path in candidates:
                key = self._files.read(path)
                if key is not None and len(key) != KEY_BYTES:
                    raise ConfigurationFault(
                        f"the store's key {path} has {len(key)} bytes instead of {KEY_BYTES}",
                        hint="nothing was changed; check the file",
                    )
                if key is not None and key_id in {None, key_id_of(key)}:
                    return key
        return None

    def make(self) -> bytes:
        """See ``ports.KeyPlace``."""
        key = self._entropy.token(KEY_BYTES)
        with _on_disk(self._files.path):
            self._files.write(key_id_of(key), key)
        return key

    def retire(self, key_id: str, successor: str | None) -> None:
        """See ``ports.KeyPlace``."""
        with _on_disk(self._files.path):
            self._files.retire(self._id, key_id, successor)

    def _id(self, path: Path) -> str | None:
        key = self._files.read(path)
        return None if key is None else key_id_of(key)


class PassphraseKeyPlace:
    """A key wrapped with a passphrase, in a 0600 file beside the records (``ports.KeyPlace``).

    Args:
        directory: the state directory.
        entropy: where a new key, its salt and its nonce come from.
        passphrase: gets the passphrase.
        cost: scrypt's N for new files.
    """

    name = "passphrase"
    opens_later = False  # to ask a person again every few seconds is no way to wait for them

    def __init__(self, directory: Path, entropy: Entropy, passphrase: Passphrase, *, cost: int = SCRYPT_N) -> None:
        self._files = _KeyFiles(directory, WRAPPED_KEY_FILE)
        self._entropy = entropy
        self._passphrase = passphrase
        self._cost = cost
        self._typed: str | None = None
        self.description = f"{self._files.path}, wrapped with a passphrase"

    def find(self, key_id: str | None) -> bytes | None:
        """See ``ports.KeyPlace``."""
        candidates = [self._files.path, *([self._files.named(key_id)] if key_id is not None else [])]
        with _on_disk(self._files.path):
            for path in candidates:
                data = self._files.read(path)
                if data is not None and key_id in {None, self._id_in(path, data)}:
                    return self._unwrapped(path, data)
        return None

    def make(self) -> bytes:
        """See ``ports.KeyPlace``."""
        passphrase = self._typed = self._passphrase(True)
        key, salt = self._entropy.token(KEY_BYTES), self._entropy.token(SALT_BYTES)
        key_id = key_id_of(key)
        sealer = AesGcmSealer(_scrypt(passphrase, salt, self._cost, SCRYPT_R, SCRYPT_P), self._entropy)
        wrapped = {
            "version": 1,
            "key": key_id,
            "kdf": {"name": "scrypt", "n": self._cost, "r": SCRYPT_R, "p": SCRYPT_P, "salt": _text(salt)},
            "wrapped": _text(sealer.seal(key, key_id.encode())),
        }
        with _on_disk(self._files.path):
            self._files.write(key_id, json.dumps(wrapped).encode() + b"\n")
        return key

    def retire(self, key_id: str, successor: str | None) -> None:
        """See ``ports.KeyPlace``."""
        with _on_disk(self._files.path):
            self._files.retire(self._id, key_id, successor)

    def _id(self, path: Path) -> str | None:
        data = self._files.read(path)
        return None if data is None else self._id_in(path, data)

    def _id_in(self, path: Path, data: bytes) -> str:
        try:
            return str(json.loads(data)["key"])
        except (ValueError, KeyError, TypeError):
            raise _damaged(path) from None

    def _unwrapped(self, path: Path, data: bytes) -> bytes:
        try:
            document = json.loads(data)
            kdf = document["kdf"]
            salt, sealed = base64.b64decode(kdf["salt"]), base64.b64decode(document["wrapped"])
            cost, r, p, key_id = int(kdf["n"]), int(kdf["r"]), int(kdf["p"]), str(document["key"])
            fair = 1 < cost <= LARGEST_SCRYPT_N and cost & (cost - 1) == 0 and r == SCRYPT_R and p == SCRYPT_P
            if document["version"] != 1 or kdf["name"] != "scrypt" or not fair:
                raise _damaged(path)
        except (ValueError, KeyError, TypeError):
            raise _damaged(path) from None
        passphrase, self._typed = self._typed or self._passphrase(False), None  # no person types it a third time
        sealer = AesGcmSealer(_scrypt(passphrase, salt, cost, r, p), self._entropy)
        try:
            return sealer.unseal(sealed, key_id.encode())
        except StoreUnavailable:
            raise StoreUnavailable(
                f"the store is locked: this passphrase does not open {path}", hint="try again with the right one"
            ) from None


def _scrypt(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=KEY_BYTES, n=n, r=r, p=p).derive(passphrase.encode())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _damaged(path: Path) -> ConfigurationFault:
    return ConfigurationFault(
        f"the store's key {path} is not a wrapped key that this version wrote",
        hint="nothing was changed; restore the file from a backup",
    )
