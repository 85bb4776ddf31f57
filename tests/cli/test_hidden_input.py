"""What is pasted at a hidden prompt, on a terminal of the test's own."""

import os
import pty
import select
import termios
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tokenward.cli.hidden_input import read_hidden


@dataclass
class Terminal:
    """A terminal: our end, and the path of the other."""

    ours: int
    path: str

    def types(self, text: str) -> None:
        """All at once, as a paste comes."""
        os.write(self.ours, text.encode())

    def shows(self) -> str:
        """What is to be seen on it now."""
        seen = b""
        while select.select([self.ours], [], [], 0)[0]:
            seen += os.read(self.ours, 65536)
        return seen.decode()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """One that does not echo yet, so that what is typed before the prompt is not shown either."""
    ours, theirs = pty.openpty()
    quiet = termios.tcgetattr(theirs)
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(theirs, termios.TCSANOW, quiet)
    yield Terminal(ours, os.ttyname(theirs))
    os.close(ours)
    os.close(theirs)


@pytest.mark.covers("E13")
@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("sk-secret\n", "sk-secret"),
        ("sk-first\n  second\nthird\n", "sk-first\n  second\nthird"),
        ("sk-first\r\nsecond\r\n", "sk-first\n\nsecond"),
        ("sk-wronh\x7fg\n", "sk-wrong"),
        ("sk-secret\x04", "sk-secret"),
        ("\n", ""),
    ],
)
def test_a_paste_is_read_whole_and_not_shown(terminal: Terminal, typed: str, read: str) -> None:
    """Line breaks inside are a part of it, the last one is Enter; only the prompt is seen."""
    terminal.types(typed)
    assert read_hidden("Token: ", terminal.path) == read
    assert terminal.shows().strip() == "Token:"


def test_the_terminal_is_given_back_as_it_was(terminal: Terminal) -> None:
    """Echo and line editing are what they were before."""
    descriptor = os.open(terminal.path, os.O_RDWR | os.O_NOCTTY)
    try:
        before = termios.tcgetattr(descriptor)
        terminal.types("x\n")
        read_hidden("? ", terminal.path)
        assert termios.tcgetattr(descriptor) == before
    finally:
        os.close(descriptor)
