"""A secret from a person or a pipe: not shown, and whole even where a terminal wrapped it into lines.

The problem: ``claude setup-token`` prints a token that is longer than a terminal is wide, and what is copied from
there has line breaks inside. ``getpass`` takes the first line for all of it, the rest lands in the shell, and a
token of which 80 characters are left looks like one (requirement E13).

Rules:
- A paste comes in one burst. A line break that more input follows at once is a part of it; one that is followed
  by nothing is the Enter key.
- Standard input that is a terminal is asked there, without an echo, however the command was called.
"""

from __future__ import annotations

import os
import select
import sys
import termios

from tokenward.core import protocol
from tokenward.errors import ConfigurationFault

QUIET_SECONDS = 0.1
"""A paste goes on within a millisecond, over a slow ssh too; a person's next key takes longer."""
LARGEST_INPUT = 64 * 1024
"""A login's JSON is a few KiB."""
_END_OF_INPUT = b"\x04"
_ERASERS = b"\x7f\x08"


def read_secret(prompt: str) -> str:
    """Take a secret from standard input: a pipe is read to its end, at a terminal it is asked for.

    Args:
        prompt: what a terminal shows.

    Raises:
        ConfigurationFault: if standard input is closed or too long for a secret, or its terminal cannot be opened.
    """
    if sys.stdin is None:
        raise ConfigurationFault("standard input is closed, and no secret was given", hint="pipe it in")
    if sys.stdin.isatty():
        try:
            return read_hidden(prompt, os.ttyname(sys.stdin.fileno()))
        except OSError:
            raise ConfigurationFault("there is no terminal to ask on", hint="pipe the credential in") from None
    text = sys.stdin.read(protocol.MAX_LINE_BYTES + 1)
    if len(text) > protocol.MAX_LINE_BYTES:
        raise ConfigurationFault("standard input is too long for a credential", hint="pipe in only the credential")
    return text


def read_hidden(prompt: str, terminal: str) -> str:
    """Ask for a secret on the terminal; blocks until Enter or the end of input.

    Args:
        prompt: shown, without the answer.
        terminal: the terminal's path.

    Returns:
        What was typed or pasted, line breaks inside included.

    Raises:
        OSError: if there is no such terminal.
    """
    descriptor = os.open(terminal, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        before = termios.tcgetattr(descriptor)
        quiet = termios.tcgetattr(descriptor)
        quiet[3] &= ~(termios.ECHO | termios.ICANON)
        try:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
            os.write(descriptor, prompt.encode())
            return _typed(descriptor).decode("utf-8", "replace")
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
            os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)


def _typed(descriptor: int) -> bytes:
    typed = bytearray()
    while len(typed) < LARGEST_INPUT:
        burst = os.read(descriptor, LARGEST_INPUT)
        for byte in burst:
            if byte in _ERASERS:
                del typed[-1:]
            else:
                typed.append(byte)
        if not burst or typed.endswith(_END_OF_INPUT):
            break
        if typed.endswith((b"\n", b"\r")) and not select.select([descriptor], [], [], QUIET_SECONDS)[0]:
            break
    return bytes(typed.strip(_END_OF_INPUT + b"\r\n"))
