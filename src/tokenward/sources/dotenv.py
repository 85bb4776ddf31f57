"""Credentials in ``.env`` files that the configuration names (N5).

The problem: people keep keys in ``.env`` files beside their projects. A daemon that looks for such files by
itself would take whatever a checked-out repository holds for its user's own credential.

Rules:
- Only files that are named, only the names of credentials, and never an address: a file that comes with a
  repository must not decide where a key is sent.
- The real environment wins: what is set there is not looked for here.
- A file that everybody may write, or that is another user's, is not believed.
- Nothing is expanded, and nothing is ever written.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from tokenward.core.credential import Profile
from tokenward.core.reading import Absent, Reading, Unreadable
from tokenward.disk.atomic_file import read_regular, signature_of
from tokenward.sources import environment
from tokenward.sources.environment import SLOTS, Gateway, Slot
from tokenward.sources.fixed import ReadOnlyPlace
from tokenward.sources.offered import Offered

NAME = "dotenv"
_BEGINNING = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=")
_ASSIGNED = re.compile(
    r"""[ \t]*(?:'(?P<single>[^'\n]*)'|"(?P<double>(?:[^"\\\n]|\\.)*)"|(?P<bare>(?!(?<=[ \t])#)[^'"\n].*?)??)"""
    r"[ \t]*(?:[ \t]#.*)?"
)
_ESCAPED = re.compile(r"\\(.)")


def assignments(text: str) -> tuple[dict[str, str], list[str]]:
    """What a ``.env`` text assigns to credentials; the last assignment of a name counts.

    Returns:
        The values by name, and the names whose line cannot be read.
    """
    values: dict[str, str] = {}
    broken: list[str] = []
    for line in text.splitlines():
        begun = _BEGINNING.match(line)
        if begun is None or (name := begun["name"]) not in environment.CREDENTIAL_VARIABLES:
            continue
        match = _ASSIGNED.fullmatch(line, begun.end())
        if match is None:
            broken.append(name)
        elif match["double"] is not None:
            values[name] = _ESCAPED.sub(r"\1", match["double"])
        else:
            values[name] = match["single"] or match["bare"] or ""
    return values, broken


class DotenvPlace(ReadOnlyPlace):
    """One credential in one ``.env`` file (``ports.Place``).

    Args:
        path: the file.
        slot: which credential.
        beside: where requests with it go.
    """

    def __init__(self, path: Path, slot: Slot, beside: Gateway) -> None:
        super().__init__(name=NAME, description=str(path))
        self.path = path
        self._slot = slot
        self._beside = beside

    def signature(self) -> Hashable | None:
        """One stat of the file; what cannot be looked at has not changed as long as it cannot."""
        try:
            return signature_of(self.path)
        except OSError as error:
            return error.errno

    def read(self) -> Reading:
        """Look at the file."""
        try:
            image = read_regular(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return Absent()
        except OSError as error:
            return Unreadable(f"{self.path.name}: {error.strerror or error}")
        if image.mode & stat.S_IWOTH or image.uid not in {os.geteuid(), 0}:
            return Unreadable(f"others may write {self.path.name}; run: chmod o-w on it, and own it")
        try:
            values, broken = assignments(image.data.decode("utf-8-sig"))
        except UnicodeDecodeError:
            return Unreadable(f"{self.path.name} is not UTF-8")
        if (variable := environment.variable_set(self._slot, values)) is not None:
            return environment.read_slot(values[variable], self._slot, self._beside)
        unclear = [name for name in self._slot.variables if name in broken]
        return Unreadable(f"{self.path.name}: the quotes of {unclear[0]} do not match") if unclear else Absent()


def offered(paths: Sequence[Path], environ: Mapping[str, str], beside: Gateway) -> list[Offered]:
    """The profiles that the files may hold, but those that the real environment holds.

    Args:
        paths: the files.
        environ: the real environment.
        beside: where requests with them go.
    """
    found = []
    for number, path in enumerate(paths, 1):
        which = NAME if number == 1 else f"{NAME}-{number}"
        for slot in SLOTS:
            if environment.variable_set(slot, environ) is None:
                name = f"{environment.PROVIDER}:{which}{slot.suffix}"
                profile = Profile(name, environment.PROVIDER, NAME, base_url=beside.base_url)
                place = DotenvPlace(path, slot, beside)
                found.append(Offered(profile, place, environment.refresh_note(str(path)), (path, slot, beside)))
    return found
