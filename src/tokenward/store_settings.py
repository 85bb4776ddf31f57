"""What ``config.toml`` says of our own store and of the engine that hosts share.

Rule: the address of the engine may hold a password, and so is a secret.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from tokenward.setting_types import AbsolutePath, PassedOn, Table, Text


def _postgresql(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    return value


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgresql)]


class StoreSettings(Table):
    """``[store]``: where the key of our own store lies, and what is shared with other hosts."""

    key: Literal["file", "keyring", "systemd", "passphrase"] | None = Field(
        default=None,
        description="Where a new store's key is put (None = file). A key that exists is moved only by "
        "`tokenward store rekey`.",
    )
    askpass: list[Text] = Field(
        default=[], description="A command that prints the passphrase, as words, where key is passphrase."
    )
    shared: PostgresUrl | None = Field(
        default=None,
        description="The PostgreSQL in which hosts share credentials, `postgresql://ROLE@HOST:PORT/DATABASE`; the "
        "password is better kept in `~/.pgpass`.",
    )
    shared_key: Literal["file", "systemd", "command"] = Field(
        default="file",
        description="Where this host finds the keys that seal what is shared: a file, the systemd credential "
        "`tokenward-fleet-key`, or a command that prints them.",
    )
    shared_key_file: AbsolutePath | None = Field(
        default=None, description="The file, mode 0600; None = fleet.key in the state directory."
    )
    shared_key_command: list[Text] = Field(
        default=[], description="The command, as words, where shared_key is command; no shell."
    )
    shared_key_env: PassedOn = Field(default=[])

    @field_validator("shared_key_command")
    @classmethod
    def _command_is_named(cls, command: list[str], info: ValidationInfo) -> list[str]:
        if not command and info.data.get("shared_key") == "command":
            raise ValueError('must name the command, as shared_key is "command"')
        return command
