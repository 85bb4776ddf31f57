"""A file of the user's own shape: their template with ``$token`` and its like filled in.

Rules:
- The template is read at each publication, so that an edit needs no reload to be seen at the next one.
- A placeholder that we do not know, or that has no value now, is an error and not an empty text: a program would
  take the empty text for a setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from tokenward.core.credential import to_unix_milliseconds
from tokenward.disk.atomic_file import read_regular
from tokenward.errors import ConfigurationFault
from tokenward.ports import Published
from tokenward.sinks.published_file import PublishedFile

LARGEST_TEMPLATE = 64 * 1024
PLACEHOLDERS = ("token", "base_url", "expires_at", "generation", "kind", "profile", "provider")


class TemplateFileSink:
    """One file made of a template (``ports.Sink``).

    Args:
        file: where.
        template: the template's path.
    """

    def __init__(self, file: PublishedFile, template: Path) -> None:
        self._file = file
        self._template = template

    @property
    def paths(self) -> Sequence[Path]:
        """The one file."""
        return (self._file.path,)

    def publish(self, published: Published) -> bool:
        """Fill the template in; see ``ports.Sink``."""
        return self._file.publish(self._filled(published))

    def withdraw(self) -> bool:
        """Remove the file; see ``ports.Sink``."""
        return self._file.withdraw()

    def _filled(self, published: Published) -> bytes:
        known = _values(published)
        try:
            text = read_regular(self._template, LARGEST_TEMPLATE).data.decode()
        except UnicodeDecodeError:
            raise ConfigurationFault(f"{self._template} is not UTF-8", hint="save the file as UTF-8") from None
        template = Template(text)
        if not template.is_valid():
            raise ConfigurationFault(
                f"{self._template}: a $ stands alone in it", hint="write $$ where a $ shall stay one"
            )
        for name in template.get_identifiers():
            if name not in PLACEHOLDERS:
                raise ConfigurationFault(
                    f"{self._template}: ${name} is not known",
                    hint=f"known: {', '.join(f'${each}' for each in PLACEHOLDERS)}; $$ where a $ shall stay one",
                )
            if name not in known:
                raise ConfigurationFault(
                    f"{self._template}: {published.profile} has no {name}", hint=f"leave ${name} out"
                )
        return template.substitute(known).encode()


def _values(published: Published) -> Mapping[str, str]:
    values = {
        "token": published.token.reveal(),
        "generation": published.generation,
        "kind": published.kind.value,
        "profile": published.profile,
        "provider": published.provider,
    }
    if published.base_url is not None:
        values["base_url"] = published.base_url
    if published.expires_at is not None:
        values["expires_at"] = str(to_unix_milliseconds(published.expires_at) // 1000)
    return values
