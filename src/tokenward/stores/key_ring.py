"""Where the key of the encrypted store lies, and what is done with it.

The problem: whoever loses the key loses every record, and a program that makes a new key whenever it finds none
does exactly that, silently: the old records become noise. And two processes that start together must not each
make one.

Rules:
- The key is a file, ``store.key``, 32 random bytes, 0600, beside the records. It is made once, whole or not at
  all; of two that make it, both use the one that came first.
- A key is made only where the caller says that nothing was sealed yet. A key file that others may read, that is
  another user's or of a wrong size is refused and left as it is: a person must look.
- Records are sealed with AES-256-GCM, a nonce of 12 random bytes each, bound to the associated data.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from os import geteuid
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.disk.atomic_file import FileImage, prepare_write, read_regular
from tokenward.disk.flock import FileLock
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.ports import Entropy

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_FILE = "store.key"
KEY_BYTES = 32
"""AES-256."""
KEY_ID_DIGITS = 16
"""64 bits: enough that two keys never share a name."""
NONCE_BYTES = 12
"""The size AES-GCM is made for (NIST SP 800-38D section 8.2)."""
PATIENCE_SECONDS = 5.0
"""Whoever makes the key writes 32 bytes; longer than this is a stuck disk."""

_FORMAT = b"\x01"
_KEY_ID_LABEL = b"tokenward store key\0"


def open_key_file(
    directory: Path,
    entropy: Entropy,
    *,
    may_create: bool,
    wait: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> bytes:
    """The key, made if there is none.

    Args:
        directory: the state directory; made if it is absent.
        entropy: where a new key comes from.
        may_create: whether nothing was sealed yet, so that a new key does no harm.
        wait: sleeps for so many seconds.
        monotonic: the monotonic clock.

    Returns:
        32 bytes.

    Raises:
        ConfigurationFault: if there is a key that must not be used, or none where there must be one.
        StoreUnavailable: if the disk does not give it.
    """
    path = directory / KEY_FILE
    try:
        key = _read(path)
        if key is None:
            if not may_create:
                raise ConfigurationFault(
                    f"the store's key {path} is missing, and the records there were sealed with it",
                    hint="put the key file back, or move the records away to begin anew",
                )
            key = _create(path, entropy, wait, monotonic)
    except OSError as error:
        raise StoreUnavailable(
            f"the store's key {path} cannot be used: {error.strerror or type(error).__name__}",
            hint="check the disk and the permissions of the state directory",
        ) from error
    return key


def _create(path: Path, entropy: Entropy, wait: Callable[[float], None], monotonic: Callable[[], float]) -> bytes:
    ensure_private_dir(path.parent)
    lock = FileLock(path.with_suffix(".lock"))
    if not lock.acquire(monotonic() + PATIENCE_SECONDS, wait, monotonic):
        raise StoreUnavailable(
            f"another process has been making the store's key {path} for {PATIENCE_SECONDS:g} s",
            hint="try again; if it stays so, look for a stopped tokenward process",
        )
    with lock:
        key = _read(path)
        if key is None:
            key = entropy.token(KEY_BYTES)
            with prepare_write(path, KEY_BYTES, create=True) as prepared:
                prepared.commit(key)
        return key


def _read(path: Path) -> bytes | None:
    try:
        image = read_regular(path, limit=KEY_BYTES * 16)
    except FileNotFoundError:
        return None
    if problem := _problem(image):
        raise ConfigurationFault(f"the store's key {path} {problem}", hint="nothing was changed; check the file")
    return image.data


def _problem(image: FileImage) -> str | None:
    if problem := openness_problem(image):
        return problem
    if len(image.data) != KEY_BYTES:
        return f"has {len(image.data)} bytes instead of {KEY_BYTES}"
    return None


def openness_problem(image: FileImage) -> str | None:
    """Why a file with a secret must not be used; None if it is ours and nobody else's."""
    if image.uid != geteuid():
        return f"belongs to user {image.uid}, not to us"
    if image.mode & 0o077:
        return f"is open to others (mode {image.mode:04o}); it must be 0600"
    return None


def key_id_of(key: bytes) -> str:
    """The public name of a key."""
    return hashlib.sha256(_KEY_ID_LABEL + key).hexdigest()[:KEY_ID_DIGITS]


class AesGcmSealer:
    """AES-256-GCM under one key; a ``ports.Sealer``.

    Args:
        key: 32 bytes.
        entropy: where nonces come from.

    Raises:
        ValueError: if the key has another size.
    """

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._key = key
        self._entropy = entropy
        self._cipher: AESGCM | None = None
        self.key_id = key_id_of(key)

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        """Encrypt, bound to the associated data.

        Returns:
            A format byte, the nonce, and the ciphertext with its tag.
        """
        nonce = self._entropy.token(NONCE_BYTES)
        return _FORMAT + nonce + self._aes().encrypt(nonce, plain, _FORMAT + associated)

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """Decrypt.

        Raises:
            StoreUnavailable: if the key, the associated data or the bytes do not fit together.
        """
        from cryptography.exceptions import InvalidTag

        nonce = sealed[1 : 1 + NONCE_BYTES]
        try:
            if sealed[:1] != _FORMAT or len(nonce) != NONCE_BYTES:
                raise ValueError("not of our format")
            return self._aes().decrypt(nonce, sealed[1 + NONCE_BYTES :], _FORMAT + associated)
        except (InvalidTag, ValueError):
            raise StoreUnavailable(
                "what was sealed cannot be opened: it was changed, or another key sealed it",
                hint="restore the file and the key that belong together from a backup",
            ) from None

    def _aes(self) -> AESGCM:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(self._key)
        return self._cipher
