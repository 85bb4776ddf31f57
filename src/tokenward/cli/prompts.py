"""Questions on a terminal: what may be answered, and what an empty answer means.

Rules: every question has a default, which it shows; an answer that is none of the offered is asked for again,
three times at most. Questions go to standard output, so that they can be read in a transcript.
"""

from __future__ import annotations

from collections.abc import Mapping

from tokenward.cli import output
from tokenward.errors import ConfigurationFault

TRIES = 3
"""Wrong answers before nobody seems to read the question."""
_YES = {"y": True, "yes": True, "n": False, "no": False}


def choose(question: str, offered: Mapping[str, str], *, default: str) -> str:
    """Have one of several chosen, by its number or name.

    Args:
        question: one line.
        offered: names and what they mean.
        default: the name that an empty answer means.

    Raises:
        ConfigurationFault: if no answer was one of the offered.
        EOFError: if the terminal was closed.
    """
    names = list(offered)
    output.say("")
    output.say(question)
    for number, name in enumerate(names, 1):
        output.say(f"{number}. {offered[name]}")
    for _ in range(TRIES):
        answer = input(f"1-{len(names)} [{names.index(default) + 1}]: ").strip().lower()
        if not answer:
            return default
        if answer in names:
            return answer
        if answer.isdecimal() and 1 <= int(answer) <= len(names):
            return names[int(answer) - 1]
    raise _unanswered()


def is_yes(question: str, *, default: bool) -> bool:
    """Have a question answered with yes or no.

    Raises:
        ConfigurationFault: if no answer was either.
        EOFError: if the terminal was closed.
    """
    for _ in range(TRIES):
        answer = input(f"{question} [{'Y/n' if default else 'y/N'}]: ").strip().lower()
        if not answer:
            return default
        if answer in _YES:
            return _YES[answer]
    raise _unanswered()


def _unanswered() -> ConfigurationFault:
    return ConfigurationFault("none of the answers was one of the offered", hint="run it again, or use the flags")
