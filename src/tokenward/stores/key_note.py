"""What the state directory notes of the key: in which place it lies, and which change of it is under way.

The problem: a change of the key writes many files and two places, and can die between any two of them. Whoever
starts next must know where both keys are, without guessing.

Rules:
- The note is written durably *before* the first record is sealed by a new key, again when the last one is, and
  again when the old key is gone; what it names exists.
- It holds no secret: names of places and ids of keys.
- A note that cannot be read stops the start: to take it for none could make a new key.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tokenward.disk.atomic_file import read_regular, replace_file
from tokenward.errors import ConfigurationFault, StoreUnavailable

NOTE_FILE = "store.json"
VERSION = 1
LARGEST_NOTE = 4096


@dataclass(frozen=True, slots=True)
class KeyName:
    """A key, by where it lies.

    Args:
        place: the place's name.
        id: the key's.
    """

    place: str
    id: str


@dataclass(frozen=True, slots=True)
class KeyNote:
    """The state of the key.

    Args:
        key: the key in use; while the store moves, the one it leaves.
        next: the key that records are being sealed by anew; None = no change is under way.
        former: a key that nothing is sealed by any more and that may still lie in its place.
    """

    key: KeyName
    next: KeyName | None = None
    former: KeyName | None = None


def read_note(state: Path) -> KeyNote | None:
    """The note, None if there is none.

    Raises:
        ConfigurationFault: if it is damaged, or of a newer version.
        StoreUnavailable: if the disk does not give it.
    """
    path = state / NOTE_FILE
    try:
        said = json.loads(read_regular(path, limit=LARGEST_NOTE).data)
        if said["version"] != VERSION:
            raise ValueError(said["version"])
        names = {role: said[role] and KeyName(str(said[role]["place"]), str(said[role]["id"])) for role in _ROLES}
        return KeyNote(**names)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(
            f"{path} cannot be read: {error.strerror or type(error).__name__}", hint="check the disk"
        ) from error
    except (ValueError, KeyError, TypeError):
        raise ConfigurationFault(
            f"{path} is damaged, or a newer tokenward wrote it: it names the key that the store is sealed by",
            hint="restore it from a backup; if there is none, move it away, and the key file is used",
        ) from None


def write_note(state: Path, note: KeyNote) -> None:
    """Put the note down, durably.

    Raises:
        StoreUnavailable: if it could not be written.
    """
    path = state / NOTE_FILE
    try:
        replace_file(path, json.dumps({"version": VERSION, **asdict(note)}).encode() + b"\n")
    except OSError as error:
        raise StoreUnavailable(
            f"{path} cannot be written: {error.strerror or type(error).__name__}",
            hint="nothing is lost; check the disk",
        ) from error


_ROLES = ("key", "next", "former")
