"""The token as assignments that a shell, systemd and dotenv readers all understand.

Rules:
- The variable is the one that programs expect for the kind of credential (``core.token_variables``).
- ``KEY='value'``, one a line. What single quotes cannot hold in all of these readers is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenward.core.credential import to_unix_milliseconds
from tokenward.core.token_variables import ANTHROPIC, usual_variable
from tokenward.errors import ConfigurationFault
from tokenward.ports import Published
from tokenward.sinks.published_file import PublishedFile

EXPIRY_VARIABLE = "TOKENWARD_EXPIRES_AT"


class EnvFileSink:
    """One file of assignments (``ports.Sink``).

    Args:
        file: where.
        variable: the variable of the token; None = the one that is usual for its kind.
    """

    def __init__(self, file: PublishedFile, variable: str | None = None) -> None:
        self._file = file
        self._variable = variable

    @property
    def paths(self) -> Sequence[Path]:
        """The one file."""
        return (self._file.path,)

    def publish(self, published: Published) -> bool:
        """Write the assignments; see ``ports.Sink``."""
        return self._file.publish(rendered(published, self._variable))

    def withdraw(self) -> bool:
        """Remove the file; see ``ports.Sink``."""
        return self._file.withdraw()


def rendered(published: Published, variable: str | None = None) -> bytes:
    """The assignments.

    Raises:
        ConfigurationFault: if a value cannot stand in single quotes everywhere.
    """
    lines = []
    for name, value in _assignments(published, variable or usual_variable(published.provider, published.kind)):
        if not value.isprintable() or "'" in value or "\\" in value:
            raise ConfigurationFault(
                f"the value of {name} cannot be written to an environment file",
                hint="use a sink of another format",
            )
        lines.append(f"{name}='{value}'\n")
    return "".join(lines).encode()


def _assignments(published: Published, variable: str) -> Iterator[tuple[str, str]]:
    yield variable, published.token.reveal()
    if published.base_url is not None:
        root = variable.removesuffix("_API_KEY").removesuffix("_AUTH_TOKEN").removesuffix("_TOKEN")
        yield ("ANTHROPIC_BASE_URL" if published.provider == ANTHROPIC else f"{root}_BASE_URL"), published.base_url
    if published.expires_at is not None:
        yield EXPIRY_VARIABLE, str(to_unix_milliseconds(published.expires_at) // 1000)
