"""``man/tokenward.1``: the manual page, from the parsers (man(7), man-pages(7))."""

from __future__ import annotations

from tokenward.cli.command_tree import Argument, Command, command_tree
from tokenward.cli.main import whole_parser

_EXIT_STATUSES = (
    ("0", "ok"),
    ("1", "error"),
    ("2", "wrong usage, or a wrong configuration"),
    ("3", "a person must log in"),
    ("4", "no daemon answers"),
    ("5", "locked"),
)
_FILES = (
    ("~/.config/tokenward/config.toml", "the configuration; also --config and TOKENWARD_CONFIG"),
    ("~/.local/state/tokenward/", "what is kept, encrypted; also --state-dir and TOKENWARD_STATE_DIR"),
    ("~/.local/state/tokenward/families/", "lock and journal of each refresh token, always here"),
    ("$XDG_RUNTIME_DIR/tokenward/tokenward.sock", "the socket; also TOKENWARD_SOCKET"),
)


def page() -> str:
    """The page, as troff."""
    tree = command_tree(whole_parser())
    parts = [
        '.\\" Made by: python -m tokenward.reference\n.TH TOKENWARD 1 "" "tokenward" "User Commands"\n',
        ".SH NAME\ntokenward \\- owns your logins and keys, and hands out tokens that are valid now\n",
        ".SH SYNOPSIS\n.B tokenward\n.I COMMAND\n.RI [ ARGUMENT ...]\n",
        f".SH DESCRIPTION\n{_text(tree.about)}\n.SH COMMANDS\n",
        *(_command(each) for each in list(tree.everything())[1:]),
        ".SH EXIT STATUS\n",
        *(f".TP\n.B {status}\n{_text(meaning)}\n" for status, meaning in _EXIT_STATUSES),
        ".SH FILES\n",
        *(f".TP\n.I {_text(path)}\n{_text(meaning)}\n" for path, meaning in _FILES),
        ".SH SEE ALSO\n.BR curl (1),\n.BR systemctl (1),\n.BR unix (7)\n",
    ]
    return "".join(parts)


def _command(command: Command) -> str:
    parts = [f".SS {_text(' '.join(('tokenward', *command.words)))}\n{_text(command.about)}\n"]
    parts += [_argument(each) for each in command.arguments]
    if command.example:
        parts.append(f".PP\nExample:\n.PP\n.nf\n.RS\n{_text(command.example)}\n.RE\n.fi\n")
    return "".join(parts)


def _argument(argument: Argument) -> str:
    flags = ", ".join(f"\\fB{_text(flag)}\\fR" for flag in argument.flags)
    value = f"\\fI{_text(argument.metavar)}\\fR" if argument.metavar else ""
    return f".TP\n{f'{flags} {value}'.strip()}\n{_text(argument.meaning)}\n"


def _text(text: str) -> str:
    """Text without a meaning to troff: hyphens as they are typed, and no request at a line's start."""
    safe = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in safe.splitlines())
