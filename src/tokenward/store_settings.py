"""What ``config.toml`` says of our own store and of the engine that hosts share.

Rule: the address of the engine may hold a password, and so is a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from tokenward.core.credential import Secret
from tokenward.setting_types import About, AbsolutePath, Checked, HeldSecret, ListOf, PassedOn, Table, Text

if TYPE_CHECKING:
    from pydantic import ValidationInfo


def _postgresql(value: Secret) -> Secret:
    if not value.reveal().startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    return value


def _named(command: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if not command and info.data.get("shared_key") == "command":
        raise ValueError('must name the command, as shared_key is "command"')
    return command


PostgresUrl = Annotated[Secret, HeldSecret(), Checked(by=_postgresql)]


class StoreSettings(Table):
    """``[store]``: where the key of our own store lies, and what is shared with other hosts."""

    key: Annotated[
        Literal["file", "keyring", "systemd", "passphrase"] | None,
        About(
            "Where a new store's key is put (None = file). A key that exists is moved only by "
            "`tokenward store rekey`."
        ),
    ] = None
    askpass: Annotated[
        ListOf[Text], About("A command that prints the passphrase, as words, where key is passphrase.")
    ] = ()
    shared: Annotated[
        PostgresUrl | None,
        About(
            "The PostgreSQL in which hosts share credentials, `postgresql://ROLE@HOST:PORT/DATABASE`; the "
            "password is better kept in `~/.pgpass`."
        ),
    ] = None
    shared_key: Annotated[
        Literal["file", "systemd", "command"],
        About(
            "Where this host finds the keys that seal what is shared: a file, the systemd credential "
            "`tokenward-fleet-key`, or a command that prints them."
        ),
    ] = "file"
    shared_key_file: Annotated[
        AbsolutePath | None, About("The file, mode 0600; None = fleet.key in the state directory.")
    ] = None
    shared_key_command: Annotated[
        ListOf[Text],
        Checked(by=_named),
        About("The command, as words, where shared_key is command; no shell."),
    ] = ()
    shared_key_env: PassedOn = ()
