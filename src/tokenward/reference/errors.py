"""``docs/reference/errors.md``: every error a caller can meet, from the tree of ``errors.py``."""

from __future__ import annotations

from tokenward import errors
from tokenward.cli import output
from tokenward.core import protocol
from tokenward.errors import TokenwardError
from tokenward.reference.schema_words import cell, table

_HEAD = """# The errors

Every error has one line of cause, one of hint, and no secret. On the socket an error's `data` holds `type` (the
name below), `class` (AuthenticationError, RateLimitError, NetworkError, ProviderError or ConfigurationError),
`hint`, and what the error says of itself. In Python they are in `tokenward.errors`, and what a caller can do is a
base class: `except RetryLater` catches all that pass by themselves. The command line prints both lines on standard
error and ends with the exit status; a wrong configuration ends `tokenward daemon` with 2.
"""
_WHAT_TO_DO = {
    "RetryLater": "Wait and try again; `retry_after`, where there is one, says how many seconds.",
    "PersonNeeded": "Tell a person: somebody must log in or add a credential.",
    "AskDifferently": "Ask for something else: this request cannot be served, another may.",
    "FixNeeded": "Mend the configuration, the installation or the call.",
}


def page() -> str:
    """The page."""
    branches = "".join(_branch(branch) for branch in TokenwardError.__subclasses__())
    beyond = [
        (f"{protocol.PARSE_ERROR}", "The line is not JSON."),
        (f"{protocol.INTERNAL_ERROR}", "A defect of the daemon; its log names the place."),
    ]
    return f"{_HEAD}{branches}\n## Of JSON-RPC alone\n\n{table(('code', 'when'), beyond)}"


def _branch(branch: type[TokenwardError]) -> str:
    rows = [
        (
            f"`{leaf.__name__}`",
            "none" if leaf.code == TokenwardError.code else str(leaf.code),
            str(output.exit_status(leaf("", hint=""))),
            cell((leaf.__doc__ or "").replace("``", "`")),
        )
        for leaf in errors.by_name().values()
        if issubclass(leaf, branch)
    ]
    head = f"\n## {branch.__name__}\n\n{_WHAT_TO_DO[branch.__name__]}\n\n"
    return head + table(("type", "code", "exit status", "when"), rows)
