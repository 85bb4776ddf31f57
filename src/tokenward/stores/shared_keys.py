"""The keys that the hosts of a fleet hold, and what is sealed with them.

The problem: hosts share an engine that must not be able to read what it holds; so each host is given the same key
from elsewhere. While a key is changed some hosts hold the new one and some do not yet, and none may write what
the others cannot read.

Rules:
- The keys are a document: one key a line, 64 hexadecimal digits; while a key is changed, two lines. It is a file
  of ours (0600), a systemd credential, or what a command prints. Who makes a new key adds it; nothing of it is
  ever sent to the engine but its public name.
- A value that replaces another is sealed by the key of that other one: whoever could read the one can read the
  next. A first value is sealed by the key that the engine names.
- Profile and generation are bound to what is sealed, so that it cannot be passed off as another's.
- A key that is not known has the document read again, at most every ``REREAD_SECONDS``.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from os import geteuid
from pathlib import Path
from typing import Protocol

from tokenward.core.credential import Credential
from tokenward.core.record import UnknownRecord, from_record, to_record
from tokenward.core.redact import printable
from tokenward.core.sharing import SealedValue
from tokenward.disk.atomic_file import FileImage, read_regular, replace_file
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.errors import ConfigurationFault, StoreUnavailable, TokenwardError
from tokenward.ports import Entropy
from tokenward.stores.key_ring import AesGcmSealer, openness_problem

KEY_FILE = "fleet.key"
CREDENTIAL = "tokenward-fleet-key"
LARGEST_DOCUMENT = 4096
COMMAND_SECONDS = 30.0
"""A KMS is asked over the network."""
REREAD_SECONDS = 30.0
_LINE = re.compile(r"[0-9A-Fa-f]{64}")


class KeyDocument(Protocol):
    """Where a host finds its keys. Its methods block."""

    @property
    def description(self) -> str:
        """Where, for people."""

    def read(self) -> Sequence[bytes]:
        """The keys, at least one.

        Raises:
            StoreUnavailable: if they cannot be had now.
            ConfigurationFault: if what is there must not be used.
        """


class KeyFile:
    """A file of ours.

    Args:
        path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.description = str(path)

    def read(self) -> Sequence[bytes]:
        """See ``KeyDocument``."""
        try:
            image = read_regular(self.path, limit=LARGEST_DOCUMENT)
        except FileNotFoundError:
            raise StoreUnavailable(
                f"the fleet's key {self.path} is not here",
                hint="copy it from a host that has it, mode 0600; the first host makes it: tokenward fleet init",
            ) from None
        except OSError as error:
            raise StoreUnavailable(
                f"the fleet's key {self.path} cannot be read: {error.strerror or type(error).__name__}",
                hint="check the file",
            ) from None
        if problem := _openness_problem(image):
            raise ConfigurationFault(f"the fleet's key {self.path} {problem}", hint="check the file")
        return _keys_in(image.data, self.description)

    def write(self, keys: Sequence[bytes]) -> None:
        """Have the file hold these, durably.

        Raises:
            StoreUnavailable: if it cannot be written; it is as it was.
        """
        try:
            ensure_private_dir(self.path.parent)
            replace_file(self.path, "".join(f"{key.hex()}\n" for key in keys).encode())
        except OSError as error:
            raise StoreUnavailable(
                f"the fleet's key {self.path} cannot be written: {error.strerror or type(error).__name__}",
                hint="nothing was changed; check the directory",
            ) from None


class KeyCredential:
    """The systemd credential ``tokenward-fleet-key``.

    Args:
        credentials: ``$CREDENTIALS_DIRECTORY``; None outside of a systemd service.
    """

    description = f"systemd credential {CREDENTIAL}"

    def __init__(self, credentials: str | None) -> None:
        self._path = Path(credentials) / CREDENTIAL if credentials else None

    def read(self) -> Sequence[bytes]:
        """See ``KeyDocument``."""
        hint = f"add LoadCredential={CREDENTIAL}:/path/to/it to the service, and run tokenward as that service"
        if self._path is None:
            raise StoreUnavailable(
                "the fleet's key is not here: this process was not started with systemd credentials", hint=hint
            )
        try:
            data = read_regular(self._path, limit=LARGEST_DOCUMENT).data
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise StoreUnavailable(
                f"the fleet's key, {self.description}, cannot be read: {reason}", hint=hint
            ) from None
        return _keys_in(data, self.description)


class KeyCommand:
    """What a command prints, for instance one that asks a KMS.

    Args:
        command: the command and its arguments.
        environ: its whole environment.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environ = dict(environ)
        self._name = Path(command[0]).name
        self.description = f"what the command {self._name} prints"

    def read(self) -> Sequence[bytes]:
        """See ``KeyDocument``."""
        try:
            ran = subprocess.run(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_SECONDS,
                check=True,
            )
        except subprocess.TimeoutExpired:
            cause = f"{self._name} gave none in {COMMAND_SECONDS:g} s"
        except subprocess.CalledProcessError as error:
            cause = f"{self._name} ended with status {error.returncode}"
        except OSError as error:
            cause = f"{self._name} cannot be run: {error.strerror or type(error).__name__}"
        else:
            return _keys_in(ran.stdout, self.description)
        raise StoreUnavailable(
            f"the fleet's key is not here: {cause}", hint="check [store] shared_key_command in the configuration"
        )


def key_document(
    where: str,
    *,
    file: Path,
    credentials: str | None,
    command: Sequence[str],
    command_environ: Mapping[str, str],
) -> KeyDocument:
    """Where a host finds its keys.

    Args:
        where: as ``[store] shared_key`` says.
        file: the file, if it is one.
        credentials: ``$CREDENTIALS_DIRECTORY``.
        command: the command, if it is one.
        command_environ: its whole environment.

    Raises:
        ConfigurationFault: if no command is named.
    """
    if where == "systemd":
        return KeyCredential(credentials)
    if where == "command":
        if not command:
            raise ConfigurationFault(
                '[store] shared_key is "command", and none is named', hint="set [store] shared_key_command"
            )
        return KeyCommand(command, command_environ)
    return KeyFile(file)


class SharedKeys:
    """Seals what hosts share; a ``ports.SharedSealer``.

    Args:
        document: where the keys are.
        entropy: where nonces come from.
        current_key: asks the engine for the name of the key that seals first values.
        monotonic: the monotonic clock.
    """

    def __init__(
        self,
        document: KeyDocument,
        entropy: Entropy,
        current_key: Callable[[], str],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.description = document.description
        self._document = document
        self._entropy = entropy
        self._current_key = current_key
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._sealers: dict[str, AesGcmSealer] = {}
        self._read_at: float | None = None
        self._trouble: TokenwardError | None = None

    def key_ids(self) -> Sequence[str]:
        """The names of the keys that we hold now; none if they cannot be had. Never raises."""
        with self._guard:
            self._refill()
            return tuple(self._sealers)

    def seal(self, profile: str, credential: Credential, replaced: SealedValue | None) -> SealedValue:
        """See the port."""
        sealer = self._sealer(self._current_key() if replaced is None else replaced.key_id)
        return self.sealed_by(sealer, profile, credential)

    def seal_again(self, profile: str, value: SealedValue, key_id: str) -> SealedValue:
        """The same value under another key.

        Raises:
            StoreUnavailable: if one of the two is not here, or it is not what we sealed.
        """
        return self.sealed_by(self._sealer(key_id), profile, self.unseal(profile, value))

    def unseal(self, profile: str, value: SealedValue) -> Credential:
        """See the port."""
        sealer = self._sealer(value.key_id)
        try:
            return from_record(sealer.unseal(value.sealed, _associated(profile, value.generation)))
        except UnknownRecord:
            raise StoreUnavailable(
                f"what hosts share of {profile} was written by a newer tokenward",
                hint="upgrade tokenward on this host",
            ) from None

    @staticmethod
    def sealed_by(sealer: AesGcmSealer, profile: str, credential: Credential) -> SealedValue:
        """A value under this key."""
        associated = _associated(profile, credential.generation)
        return SealedValue(credential.generation, sealer.key_id, sealer.seal(to_record(credential), associated))

    def _sealer(self, key_id: str) -> AesGcmSealer:
        with self._guard:
            if key_id not in self._sealers:
                self._refill()
            if (sealer := self._sealers.get(key_id)) is not None:
                return sealer
            if self._trouble is not None and not self._sealers:
                raise StoreUnavailable(self._trouble.cause, hint=self._trouble.hint)
            raise StoreUnavailable(
                f"this host does not have the fleet's key {printable(key_id)[:16]}",
                hint=f"bring it here from a host that has it: {self.description}",
            )

    def _refill(self) -> None:
        now = self._monotonic()
        if self._read_at is not None and now - self._read_at < REREAD_SECONDS:
            return
        self._read_at = now
        try:
            keys = self._document.read()
        except TokenwardError as trouble:
            self._trouble = trouble  # what we hold already stays good
            return
        self._trouble = None
        sealers = [AesGcmSealer(key, self._entropy) for key in keys]
        self._sealers = {sealer.key_id: sealer for sealer in sealers}


def _openness_problem(image: FileImage) -> str | None:
    """As for every key of ours; but root may have put it there for our group, as a mounted secret is."""
    if image.uid == 0 != geteuid() and not image.mode & 0o037:
        return None
    return openness_problem(image)


def _keys_in(data: bytes, where: str) -> Sequence[bytes]:
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines or not all(_LINE.fullmatch(line) for line in lines):
        raise ConfigurationFault(
            f"the fleet's key, {where}, is not made of lines of 64 hexadecimal digits",
            hint="nothing was changed; a new one is made by: tokenward fleet init, or openssl rand -hex 32",
        )
    return [bytes.fromhex(line) for line in lines]


def _associated(profile: str, generation: str) -> bytes:
    return json.dumps(["tokenward shared credential", profile, generation]).encode()
