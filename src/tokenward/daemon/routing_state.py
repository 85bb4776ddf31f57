"""What is known and was decided about profiles and no secret depends on: ``state.json``.

The problem: that a profile is disabled, cools down or was used last must outlast a restart, and must not be
written into the credential's record, which may be another program's file. Some of it changes with every request,
and some of it a person was told has been done.

Who uses it:
- ``section(Section.X)`` is what is known: a read-only mapping from a key to a small JSON value. It is true until
  the next ``put`` or ``await``; ask again rather than keep it. The reader trusts no value: a person may have
  edited the file, another version may have written it.
- ``put``, ``drop`` and ``forget`` note what may be lost: memory changes at once, the file within
  ``state_flush.FLUSH_SECONDS`` and at stop. They never block, belong to the event loop's thread, and are cheap
  enough for each request. A value that was put is never changed afterwards; another is put in its place.
- ``gather`` is asked before the file is written, for what changes too often to be put each time.
- ``decide`` and ``set_disabled`` are what a person decided: durable when they return, or an ``OSError`` and
  everything is as before. They block on the disk: worker threads (``Household.writing``).

Rules (design section 5):
- Losing the file loses no secret: what cannot be read counts as empty, is said once, and is set aside.
- Members that we do not know are kept.
- A section is bounded: its value that was put longest ago goes first. A value is some hundred bytes; whoever makes
  it bounds what came from outside.
- What is held of a profile goes when it is forgotten, so that a namesake begins anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from itertools import islice
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

from tokenward.disk.atomic_file import read_regular, replace_file

STATE_NAME = "state.json"
SET_ASIDE = ".unreadable"
"""Ends the name of a file that could not be read, for a person to look at."""
LARGEST_STATE_BYTES = 32 * 1024 * 1024
"""More than full sections come to; anything larger is another file."""
MAX_ENTRIES = 2048
"""In one section: what names an entry, a session for one, may come from a caller."""
_DISABLED = "disabled"

_NOTHING: Mapping[Any, Any] = MappingProxyType({})

log = logging.getLogger(__name__)


class Section(StrEnum):
    """The parts of the state, by their name in the file."""

    HEALTH = "health"
    """By profile key."""
    LAST_USED = "last_used"
    """By profile key."""
    USAGE = "usage"
    """By profile key: ``core.usage_document``."""
    ORDERS = "orders"
    """By ``agent/provider``: a person's decision."""
    PINS = "pins"
    """By session: the profile that it got by itself."""
    CHOICES = "choices"
    """By session: a person's decision, which no number of sessions without one may push out."""
    NOTICES = "notices"
    """By profile key: ``core.notices_document``."""


OF_PROFILES = (Section.HEALTH, Section.LAST_USED, Section.USAGE, Section.NOTICES)
"""The sections whose keys are those of profiles."""


def _unheard() -> None:
    pass


class RoutingState:
    """The file, and what it says.

    Args:
        path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed: Callable[[], None] = _unheard
        """Called on the event loop's thread by whatever may be lost; must not block."""
        self.gather: Callable[[], None] = _unheard
        """Called on the event loop's thread before ``write``, to put what was noted elsewhere. Who has any
        calls ``changed`` once before; a decision is written without it."""
        self.decided = 0
        """How often a person decided something."""
        self._writing = Lock()  # held through a write, in worker threads only
        self._guard = Lock()  # held for moments, while memory is changed or copied
        self._changes = 0
        self._written = 0
        document = _read(path)
        self._sections = {section: _entries(document.get(section)) for section in Section}
        self._rest = {name: value for name, value in document.items() if not _is_section(name, value)}

    @property
    def disabled(self) -> frozenset[str]:
        """The keys of the profiles that are neither served nor refreshed."""
        named = self._rest.get(_DISABLED)
        return frozenset(filter(_is_text, named)) if isinstance(named, list) else frozenset()

    @property
    def dirty(self) -> bool:
        """Whether memory holds what the file does not."""
        return self._changes != self._written

    def section(self, section: Section) -> Mapping[str, Any]:
        """What is known in one section, the value that was put longest ago first."""
        return MappingProxyType(self._sections[section])

    def put(self, section: Section, key: str, value: Any) -> None:
        """Note a value that may be lost.

        Args:
            section: where.
            key: what it is about.
            value: anything that JSON has; not changed afterwards.
        """
        self.put_all(section, {key: value})

    def put_all(self, section: Section, entries: Mapping[str, Any]) -> None:
        """Note many values that may be lost; the last of them is the one put last.

        Args:
            section: where.
            entries: by what they are about, anything that JSON has; not changed afterwards.
        """
        with self._guard:
            _place(self._sections[section], entries)
            self._changes += 1
        self.changed()

    def drop(self, section: Section, key: str) -> None:
        """Let go of a value, if there is one; that may be lost too."""
        with self._guard:
            if key not in self._sections[section]:
                return
            del self._sections[section][key]
            self._changes += 1
        self.changed()

    def forget(self, key: str) -> None:
        """Let go of everything about one profile, which is gone; like ``drop``, never blocks.

        Args:
            key: the profile's key.
        """
        with self._guard:
            before = self._changes
            for section in OF_PROFILES:
                self._changes += self._sections[section].pop(key, None) is not None
            if key in self.disabled:
                self._rest = self._deciding({key: False})
                self._changes += 1
        if self._changes != before:
            self.changed()

    def decide(self, section: Section, key: str, value: Any) -> None:
        """Keep a person's decision, durably; blocks on the disk.

        Args:
            section: where.
            key: what it is about.
            value: anything that JSON has; None lets go of what was decided.

        Raises:
            OSError: if it could not be written; the decision is then as before.
        """
        with self._writing:
            self._commit(entries={section: {key: value}})

    def set_disabled(self, key: str, *, disabled: bool) -> None:
        """Decide for one profile whether it rests, durably; blocks on the disk.

        Args:
            key: the profile's key.
            disabled: whether it rests from now on.

        Raises:
            OSError: if it could not be written; the decision is then as before.
        """
        with self._writing:
            self._commit(disabled={key: disabled})

    def write(self) -> None:
        """Make the file hold what memory holds, if it does not; blocks on the disk.

        Raises:
            OSError: if it could not be written; memory keeps everything, and it can be tried again.
        """
        with self._writing:
            if self.dirty:
                self._replace({}, {})

    def _commit(
        self,
        *,
        disabled: Mapping[str, bool] = _NOTHING,
        entries: Mapping[Section, Mapping[str, Any]] = _NOTHING,
    ) -> None:
        self._replace(disabled, entries)
        with self._guard:
            # New mappings, because the event loop may be walking over the old ones.
            self._rest = self._deciding(disabled)
            self._sections = self._placing(entries)
            self.decided += 1

    def _deciding(self, disabled: Mapping[str, bool]) -> dict[str, Any]:
        if not disabled:
            return self._rest
        keys = (self.disabled - disabled.keys()) | {key for key, rests in disabled.items() if rests}
        return {**self._rest, _DISABLED: sorted(keys)}

    def _placing(self, entries: Mapping[Section, Mapping[str, Any]]) -> dict[Section, dict[str, Any]]:
        return {section: _altered(held, entries.get(section, {})) for section, held in self._sections.items()}

    def _replace(self, disabled: Mapping[str, bool], entries: Mapping[Section, Mapping[str, Any]]) -> None:
        with self._guard:
            changes = self._changes
            rest, sections = self._deciding(disabled), self._placing(entries)
        held = {section.value: values for section, values in sections.items() if values}
        encoded = json.dumps({**rest, "version": 1, **held}, separators=(",", ":")).encode()
        self._written = -1  # a failure can come after the rename
        replace_file(self.path, encoded)
        self._written = changes


def _is_section(name: str, value: object) -> bool:
    return name in tuple(Section) and isinstance(value, dict)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _entries(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _place(entries: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        entries.pop(key, None)  # so that it becomes the last
        entries[key] = value
    for key in list(islice(entries, max(0, len(entries) - MAX_ENTRIES))):
        del entries[key]


def _altered(entries: dict[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(entries)
    for key, value in by.items():
        if value is None:
            result.pop(key, None)
        else:
            _place(result, {key: value})
    return result


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_regular(path, limit=LARGEST_STATE_BYTES).data)
        if not isinstance(document, dict):
            raise ValueError("no object")  # noqa: TRY004 - handled as any other damage
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be read (%s): profiles that were disabled serve again", path, type(error).__name__)
        with suppress(OSError):  # then it is written over
            path.replace(path.with_name(path.name + SET_ASIDE))
        return {}
    return document
