"""Claude Code's settings: which files count, and their ``apiKeyHelper`` set and put back.

The problem: ``settings.json`` is the person's and Claude Code's, which writes it too; it may hold a helper of
somebody else, and after our uninstall it must hold that helper again, as it was.

Rules:
- One member is changed, and nothing else; a file that is not JSON is refused and left alone.
- What was there before is noted in our state before the settings are changed, since nothing else remembers it. It
  may hold a secret (``echo 'sk-…'``), so the note is its owner's alone, and ``shown`` masks it.
- A helper is ours if it is what the note says we wrote, or runs the file that we would run.
- What the person changed since is not put back over.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenward import whole_file
from tokenward.core import json_members
from tokenward.core.redact import printable
from tokenward.errors import ConfigurationFault

HELPER = "apiKeyHelper"
USER_FILE = "settings.json"
PROJECT_FILES = (Path(".claude/settings.local.json"), Path(".claude/settings.json"))
"""Of a project, the stronger first; both outrank the user's."""
NOTE = "claude-code-settings.json"
_PRINTS = re.compile(r"^(\S*\b(?:echo|printf))\s.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """One settings file as it was read.

    Args:
        path: where it is.
        data: its bytes; None = there is no such file.
        document: what it says.
    """

    path: Path
    data: bytes | None
    document: Mapping[str, Any]

    @property
    def text(self) -> str:
        """What it holds, as text."""
        return (self.data or b"").decode("utf-8")

    @property
    def helper(self) -> str | None:
        """Its helper as JSON, as it is written; None if it has none."""
        return json_members.value_text(self.text, HELPER) if self.text.strip() else None

    @property
    def env(self) -> dict[str, str]:
        """The variables that it lays over Claude Code's environment."""
        block = self.document.get("env")
        variables = block if isinstance(block, dict) else {}
        return {name: value for name, value in variables.items() if isinstance(value, str)}


def read(path: Path) -> SettingsFile:
    """Read one settings file.

    Raises:
        ConfigurationFault: if it is there and is not settings.
    """
    hint = "it was not touched: correct it first, Claude Code cannot read it either"
    try:
        data = whole_file.read(path)
        text = (data or b"").decode("utf-8")
        document = json_members.parsed(text) if text.strip() else {}
        settings = SettingsFile(path, data, document)
        _ = settings.helper  # a name that stands twice is found here, before anything is decided
    except OSError as error:
        raise ConfigurationFault(f"{path}: {error.strerror}", hint="check its owner and mode") from None
    except json.JSONDecodeError as error:
        raise ConfigurationFault(f"{path}:{error.lineno}: is not JSON", hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigurationFault(f"{path}: is not UTF-8", hint=hint) from None
    except ValueError as error:
        raise ConfigurationFault(f"{path}: {error}", hint=hint) from None
    return settings


def shown(helper: str | None) -> str:
    """A helper's JSON for people, without the secret that it may print."""
    if helper is None:
        return ""
    command = json.loads(helper)
    if not isinstance(command, str):
        return printable(helper)
    return json.dumps(printable(_PRINTS.sub(r"\1 [masked]", command)), ensure_ascii=False)


def runs_ours(helper: str | None) -> bool:
    """Whether a helper's JSON is a command that runs tokenward's helper."""
    command = None if helper is None else json.loads(helper)
    if not isinstance(command, str):
        return False
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    by_file = len(words) > 2 and words[1] == "-IS" and words[2].endswith("/tokenward/helper.py")
    return by_file or (bool(words) and Path(words[0]).name == "tokenward-helper")


class Installation:
    """Our helper in one settings file, and the note of what was there before.

    Args:
        state: our state directory.
        path: the settings file.
    """

    def __init__(self, state: Path, path: Path) -> None:
        self._note_file = state / NOTE
        self._key = str(path)
        self.settings = read(path)

    @property
    def is_ours(self) -> bool:
        """Whether the helper that is there is one that we wrote."""
        return self.settings.helper in self._note.get("wrote", []) or runs_ours(self.settings.helper)

    @property
    def is_changed(self) -> bool:
        """Whether a helper that we wrote was changed since by somebody else."""
        note = self._note
        return bool(note) and not self.is_ours and self.settings.helper != note["before"]

    @property
    def before(self) -> str | None:
        """The helper that was there before ours, as JSON."""
        before: str | None = self._note.get("before")
        return before

    def install(self, helper: str) -> None:
        """Have the settings name this helper.

        Args:
            helper: the command as JSON.

        Raises:
            ConfigurationFault: if they cannot be written.
        """
        settings, note = self.settings, self._note
        keeps_note = bool(note) and self.is_ours
        first = {"before": None if self.is_ours else settings.helper, "made": settings.data is None}
        wrote = [*(note["wrote"] if keeps_note else []), helper]
        self._keep_note({**(note if keeps_note else first), "wrote": wrote[-2:]})
        self._write(json_members.with_member(settings.text, HELPER, helper))

    def uninstall(self) -> None:
        """Put back what was there before, and forget it; a helper that is not ours stays.

        Raises:
            ConfigurationFault: if somebody changed ours since, or it cannot be written.
        """
        settings, note = self.settings, self._note
        if self.is_changed:
            raise ConfigurationFault(
                f"the {HELPER} of {settings.path} was changed since: {shown(settings.helper) or 'there is none'}",
                hint=f"what was there before install: {shown(self.before) or 'none'}; put it back yourself",
            )
        if self.is_ours and settings.helper != self.before:
            if self.before is not None:
                self._write(json_members.with_member(settings.text, HELPER, self.before))
            elif note.get("made") and len(settings.document) == 1:
                self._change(lambda: whole_file.remove(settings.path, was=settings.data or b""))
            else:
                self._write(json_members.without_member(settings.text, HELPER))
        self._keep_note(None)

    def _write(self, text: str) -> None:
        self._change(lambda: whole_file.replace(self.settings.path, text.encode(), was=self.settings.data))

    def _change(self, change: Any) -> None:
        try:
            change()
        except OSError as error:
            raise ConfigurationFault(
                f"{self.settings.path} was not changed: {error.strerror}", hint="run it again when that is mended"
            ) from None

    @property
    def _notes(self) -> dict[str, Any]:
        try:
            return json_members.parsed((whole_file.read(self._note_file) or b"{}").decode())
        except (OSError, ValueError):
            raise ConfigurationFault(
                f"{self._note_file} cannot be read, and with it what the settings held before",
                hint="mend it, or remove it if you need nothing put back",
            ) from None

    @property
    def _note(self) -> dict[str, Any]:
        note = self._notes.get(self._key, {})
        return note if isinstance(note, dict) and {"before", "made", "wrote"} <= note.keys() else {}

    def _keep_note(self, note: Mapping[str, Any] | None) -> None:
        notes = self._notes
        notes.pop(self._key, None)
        if note is not None:
            notes[self._key] = note
        try:
            was = whole_file.read(self._note_file)
            if notes:
                whole_file.replace(self._note_file, json.dumps(notes, indent=1).encode() + b"\n", was=was)
            elif was is not None:
                whole_file.remove(self._note_file, was=was)
        except OSError as error:
            raise ConfigurationFault(
                f"{self._note_file} cannot be written: {error.strerror}", hint="the settings were not changed"
            ) from None
