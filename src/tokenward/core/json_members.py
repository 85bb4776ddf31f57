"""One member of a JSON object's text, set or removed, and every other character left as it was.

The problem: a settings file is written by hand and by its own program. What parses it and prints it anew changes
its indentation, its escapes and the spelling of its numbers, and the person who reads the difference finds ours
among a hundred lines.

Rules:
- Only members of the outermost object; what the text says is parsed before and after, and must differ in that
  one member alone.
- A name that stands twice is refused: programs disagree on which one counts.
- A new member goes to the end, in the style of the first one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_SPACE = " \t\n\r"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Member:
    """Where a member stands: from its name's quote to the end of its value."""

    name: str
    start: int
    name_end: int
    value_start: int
    end: int


def parsed(text: str) -> dict[str, Any]:
    """What the text says.

    Raises:
        ValueError: if it is not JSON, or not an object.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - a fault of the text
    return document


def value_text(text: str, name: str) -> str | None:
    """A member's value as it is written; None if there is no such member.

    Raises:
        ValueError: if the text is not an object, or has the member twice.
    """
    parsed(text)
    member = _the_one(_members(text), name)
    return None if member is None else text[member.value_start : member.end]


def with_member(text: str, name: str, value: str) -> str:
    """The text with a member set.

    Args:
        text: a JSON object; empty text is taken for ``{}``.
        name: the member's name.
        value: its value as JSON.

    Raises:
        ValueError: if the text is not an object, or has the member twice.
    """
    text = text if text.strip(_SPACE) else "{}\n"
    expected = {**parsed(text), name: json.loads(value)}
    members = _members(text)
    member = _the_one(members, name)
    if member is not None:
        edited = text[: member.value_start] + value + text[member.end :]
    elif members:
        first, last = members[0], members[-1]
        lead = text[text.index("{") + 1 : first.start]
        colon = text[first.name_end : first.value_start]
        edited = f"{text[: last.end]},{lead}{json.dumps(name)}{colon}{value}{text[last.end :]}"
    else:
        newline = "\r\n" if "\r\n" in text else "\n"
        line = f"{newline}  {json.dumps(name)}: {value}{newline}"
        edited = text[: text.index("{") + 1] + line + text[text.rindex("}") :]
    return _checked(edited, expected)


def without_member(text: str, name: str) -> str:
    """The text with a member removed; unchanged if there is none.

    Raises:
        ValueError: if the text is not an object, or has the member twice.
    """
    expected = {key: value for key, value in parsed(text).items() if key != name}
    members = _members(text)
    member = _the_one(members, name)
    if member is None:
        return text
    index = members.index(member)
    if len(members) == 1:
        start, end = text.index("{") + 1, text.rindex("}")
    elif index == len(members) - 1:
        start, end = members[index - 1].end, member.end
    else:
        start, end = member.start, members[index + 1].start
    return _checked(text[:start] + text[end:], expected)


def _checked(edited: str, expected: dict[str, Any]) -> str:
    if parsed(edited) != expected:
        raise ValueError("cannot be edited without changing something else")
    return edited


def _the_one(members: list[_Member], name: str) -> _Member | None:
    found = [member for member in members if member.name == name]
    if len(found) > 1:
        raise ValueError(f"has {name} twice")
    return found[0] if found else None


def _members(text: str) -> list[_Member]:
    """The members of a text that was found to be an object."""
    members: list[_Member] = []
    place = _after_space(text, text.index("{") + 1)
    while text[place] != "}":
        name, name_end = _DECODER.raw_decode(text, place)
        value_start = _after_space(text, _after_space(text, name_end) + 1)
        _, end = _DECODER.raw_decode(text, value_start)
        members.append(_Member(name, place, name_end, value_start, end))
        place = _after_space(text, end)
        if text[place] == ",":
            place = _after_space(text, place + 1)
    return members


def _after_space(text: str, place: int) -> int:
    while text[place] in _SPACE:
        place += 1
    return place
