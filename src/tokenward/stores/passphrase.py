"""Where the passphrase of a wrapped key comes from.

The problem: a daemon has no terminal, and a passphrase in its configuration, its environment or its arguments
would lie beside what it protects, or be seen by everybody.

Rules:
- Asked in this order, and the first that is there decides: the systemd credential ``tokenward-passphrase``, the
  command ``[store] askpass``, the person at the terminal from which we were started.
- The terminal is asked only from its foreground: a background process that reads it is stopped by the kernel.
- The command gets a clean environment and no terminal input; the first line of what it prints is the passphrase.
- Nothing of it is ever kept in a file, shown, or handed to another program.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from getpass import getpass
from pathlib import Path

from tokenward.disk.atomic_file import read_regular
from tokenward.errors import StoreUnavailable

CREDENTIAL = "tokenward-passphrase"
PATIENCE_SECONDS = 120.0
"""The command may ask a person."""
LARGEST_PASSPHRASE = 4096
"""Characters; more is a wrong file."""
HINT = (
    "give it as the systemd credential tokenward-passphrase, by the command [store] askpass, "
    "or start tokenward from a terminal"
)


class PassphraseSource:
    """Gets the passphrase; what a ``PassphraseKeyPlace`` asks.

    Args:
        credentials: ``$CREDENTIALS_DIRECTORY``; None outside of a systemd service.
        askpass: the command, empty if there is none.
        environ: its whole environment.
    """

    def __init__(self, credentials: str | None, askpass: Sequence[str], environ: Mapping[str, str]) -> None:
        self._credentials = credentials
        self._askpass = askpass
        self._environ = environ

    def __call__(self, new: bool) -> str:  # noqa: FBT001 - the one question there is: a new one or the old one
        """The passphrase.

        Raises:
            StoreUnavailable: if nobody gives one.
        """
        passphrase = self._from_credential()
        if passphrase is None and self._askpass:
            passphrase = self._from_command()
        if passphrase is None:
            passphrase = _from_terminal(new=new)
        if not passphrase:
            raise StoreUnavailable("the store is locked: its passphrase was not given", hint=HINT)
        return passphrase

    def _from_credential(self) -> str | None:
        if not self._credentials:
            return None
        try:
            data = read_regular(Path(self._credentials) / CREDENTIAL, limit=LARGEST_PASSPHRASE).data
            return data.decode().rstrip("\r\n")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            raise StoreUnavailable(f"the systemd credential {CREDENTIAL} cannot be read", hint=HINT) from None

    def _from_command(self) -> str:
        name = Path(self._askpass[0]).name
        try:
            ran = subprocess.run(
                self._askpass,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=PATIENCE_SECONDS,
                check=True,
            )
            return ran.stdout[:LARGEST_PASSPHRASE].decode().partition("\n")[0].rstrip("\r")
        except subprocess.TimeoutExpired:
            cause = f"{name} gave no passphrase in {PATIENCE_SECONDS:g} s"
        except subprocess.CalledProcessError as error:
            cause = f"{name} ended with status {error.returncode}"
        except (OSError, UnicodeDecodeError) as error:
            cause = f"{name} cannot be used: {type(error).__name__}"
        raise StoreUnavailable(f"the store is locked: {cause}", hint="check [store] askpass in the configuration")


def _from_terminal(*, new: bool) -> str | None:
    if not _in_the_foreground():
        return None
    try:
        passphrase = getpass("Passphrase of tokenward's store: ")
        if new and passphrase != getpass("The same once more: "):
            raise StoreUnavailable("the two passphrases differ", hint="nothing was changed; try again")
    except (EOFError, OSError):
        return None
    return passphrase


def _in_the_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
