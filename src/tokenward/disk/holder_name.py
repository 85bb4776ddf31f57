"""The name under which this host takes leases: the same after a restart, another on every other host.

The problem: a daemon that starts again must know its own lease, because its family files say what became of it;
and a host that has no such files, be it by the same name, must take it for another's.

Rules: the name lies beside the family files and shares their fate; it is made once, whole, and begins with the
machine's name, for people, so that a copy of a disk that runs under another name is another host.
"""

from __future__ import annotations

import re
from pathlib import Path

from tokenward.disk.atomic_file import prepare_write, read_regular
from tokenward.errors import StoreUnavailable
from tokenward.ports import Entropy

FILE_NAME = "host.id"
DIGITS = 12
"""48 bits: no two hosts of a fleet draw the same."""

_DRAWN = re.compile(rb"[0-9a-f]{12}\n")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")


def holder_name(families: Path, host: str, entropy: Entropy) -> str:
    """The name, drawn if this host has none.

    Where two processes draw at once, one of them goes by a name that it will not know again: its leases are then
    another's, and are left alone.

    Args:
        families: the families' directory; it exists.
        host: the machine's name.
        entropy: where it is drawn from.

    Raises:
        StoreUnavailable: if it can be neither read nor kept.
    """
    path = families / FILE_NAME
    try:
        drawn = _read(path)
        if drawn is None:
            drawn = entropy.token(DIGITS // 2).hex()
            with prepare_write(path, DIGITS + 1, create=True) as prepared:
                prepared.commit(drawn.encode() + b"\n")
    except OSError as error:
        raise StoreUnavailable(
            f"this host's name among those that share credentials, {path}, cannot be kept: "
            f"{error.strerror or type(error).__name__}",
            hint="check the disk and the permissions of that directory",
        ) from error
    return f"{_NOT_IN_NAMES.sub('-', host)[:64]}-{drawn}"


def _read(path: Path) -> str | None:
    try:
        data = read_regular(path, limit=64).data
    except FileNotFoundError:
        return None
    return data.decode().strip() if _DRAWN.fullmatch(data) else None
