"""Which foreign files a person told us to keep in place: ``adopted.json`` in the state directory.

The problem: an adoption is a decision that has to outlive the daemon, and one that may carry a consent. It is
no secret and no routing state; losing it would silently stop the keeping of a login.

Rules:
- What cannot be read stops the start: to take it for empty would write the next adoption over all others.
- A change is durable before it is in force.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from tokenward.disk.atomic_file import read_regular, replace_file
from tokenward.errors import ConfigurationFault

FILE = "adopted.json"
VERSION = 1

Refresh = Literal["watch", "direct"]


class Adoption(NamedTuple):
    """One credential in one foreign file.

    Args:
        profile: what it is called here.
        path: the file.
        layout: of which program.
        entry: its name in a file that holds many.
        refresh: whether we may spend its refresh token.
    """

    profile: str
    path: str
    layout: str
    entry: str | None = None
    refresh: Refresh = "watch"


class AdoptedFiles:
    """The list, in memory as on disk; its state directory belongs to this process.

    Args:
        state: the state directory.

    Raises:
        ConfigurationFault: if there is a list that cannot be read.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._all = {each.profile: each for each in _read(self._path)}

    def all(self) -> Sequence[Adoption]:
        """Every adoption, sorted by profile."""
        return [self._all[name] for name in sorted(self._all)]

    def of(self, profile: str) -> Adoption | None:
        """The adoption of one profile."""
        return self._all.get(profile)

    def put(self, adoption: Adoption) -> None:
        """Add or replace one, durably.

        Raises:
            OSError: if it could not be written; nothing has changed then.
        """
        self._write({**self._all, adoption.profile: adoption})

    def remove(self, profile: str) -> None:
        """End one, durably; the foreign file stays as it is.

        Raises:
            OSError: if it could not be written; nothing has changed then.
        """
        self._write({name: each for name, each in self._all.items() if name != profile})

    def _write(self, wanted: dict[str, Adoption]) -> None:
        record = {"version": VERSION, "adopted": [wanted[name]._asdict() for name in sorted(wanted)]}
        text = json.dumps(record, indent=1) + "\n"
        replace_file(self._path, text.encode())
        self._all = wanted


def _read(path: Path) -> list[Adoption]:
    try:
        document = json.loads(read_regular(path).data)
        if document.keys() - {"version"} != {"adopted"} or document.get("version", VERSION) != VERSION:
            raise ValueError(VERSION)
        return [_adoption(members) for members in document["adopted"]]
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError, TypeError, AttributeError, OSError):
        raise ConfigurationFault(
            f"{path} cannot be read, or was written by a newer tokenward",
            hint="correct it, or move it away and adopt anew",
        ) from None


def _adoption(members: dict[str, Any]) -> Adoption:
    adoption = Adoption(**members)
    said = (adoption.profile, adoption.path, adoption.layout, adoption.refresh)
    if not all(isinstance(text, str) for text in said) or adoption.refresh not in get_args(Refresh):
        raise ValueError(VERSION)
    if not isinstance(adoption.entry, str | None):
        raise ValueError(VERSION)  # noqa: TRY004 - a fault of the file
    return adoption
