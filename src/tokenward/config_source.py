"""A configuration's text, and the way back from what is wrong in it to a line and to words.

The problem: "1 validation error for Settings" tells a person neither where nor what, and quotes the key that
was in the wrong place.

Rules:
- A fault begins with ``file:line: name``, in the spelling of the file.
- Types are named as a person sees them in the file: a text, a number, a table.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenward.core.redact import printable
from tokenward.errors import ConfigurationFault
from tokenward.settings import TABLES
from tokenward.toml_lines import line_of

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]

_WORDS = {
    "string_type": "must be a text",
    "is_instance_of": "must be a text",  # a path
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "too_short": "is empty",
    "dict_type": "must be a table",
    "list_type": "must be a list",
    "missing": "is missing",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "string_too_short": "is empty",
    "string_too_long": "is too long",
    "string_pattern_mismatch": "holds a character that cannot be sent",
    "value_error": "{error}",
}
"""What pydantic's errors mean, in words; each key is a ``type`` of pydantic's error list."""


@dataclass(slots=True)
class ConfigSource:
    """One configuration's text.

    Args:
        place: the file.
        text: what is in it.
        written: how the file spells a provider's name, for each name as we know it.
    """

    place: Path
    text: str
    written: dict[str, str] = field(default_factory=dict)

    def parsed(self) -> dict[str, Any]:
        """The text as TOML.

        Raises:
            ConfigurationFault: with the line, if it is none.
        """
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            words, _, where = str(error).rpartition(" (at ")
            found = re.match(r"line (\d+),", where)
            line = int(found[1]) if found else self.text.count("\n") + 1
            raise ConfigurationFault(
                f"{self.place}:{line}: {printable(words)}", hint="this is not TOML; a text stands in quotes"
            ) from None

    def said(self, location: Location, words: str) -> str:
        """One line on one value: where it stands, its name, and the words."""
        written = self._as_written(location)
        line = line_of(self.text, written)
        position = f"{self.place}:{line}" if line is not None else str(self.place)
        return f"{position}: {printable('.'.join(map(str, written)))}: {words}"

    def fault(self, location: Location, reason: str, hint: str) -> ConfigurationFault:
        """The error that says what is wrong with one value."""
        return ConfigurationFault(self.said(location, reason), hint=hint)

    def explained(self, invalid: ValidationError) -> ConfigurationFault:
        """Pydantic's verdict as one error: the first fault in the order of the text, and how many follow."""
        faults = invalid.errors(include_url=False, include_input=False)
        first = min(faults, key=self._rank)
        reason, hint = _in_words(first)
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        return self.fault(first["loc"], reason + more, hint)

    def _rank(self, fault: ErrorDetails) -> tuple[bool, int]:
        """Where it is said; a key that is missing comes last, since it may be there and be misspelt."""
        return fault["type"] == "missing", line_of(self.text, self._as_written(fault["loc"])) or 0

    def _as_written(self, location: Location) -> Location:
        if len(location) > 1 and location[0] == "providers":
            return ("providers", self.written.get(str(location[1]), location[1]), *location[2:])
        return location


def _in_words(fault: ErrorDetails) -> tuple[str, str]:
    if fault["type"] == "extra_forbidden":
        return "is not a known key", _suggestion(fault["loc"])
    template = _WORDS.get(fault["type"])
    reason = template.format(**fault.get("ctx", {})) if template else printable(fault["msg"])
    return reason, "correct this value, or leave the key out for its default"


def _suggestion(location: Sequence[str | int]) -> str:
    import difflib  # only a mistake needs it

    known = _known_keys(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"


def _known_keys(table: Sequence[str | int]) -> list[str]:
    place = tuple(str(key) for key in table)
    if place[:1] in {("providers",), ("sinks",)}:
        place = (place[0], "*", *place[2:])
    elif place[:2] == ("sources", "command"):
        place = ("sources", "command", "*")
    elif place[:1] == ("sockets",):
        place = ("sockets", "*")
    return list(TABLES[place].keys())
