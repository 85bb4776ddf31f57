"""How a host says that it lives, for persons who look at a fleet or change its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FORGOTTEN_AFTER = "7 days"
"""A host that was not seen so long is taken out of the table."""

GREET = f"""INSERT INTO tokenward.hosts (holder, host, version, key_ids)
    VALUES (%(holder)s, %(host)s, %(version)s, %(key_ids)s)
    ON CONFLICT (holder) DO UPDATE SET host = excluded.host, version = excluded.version,
    key_ids = excluded.key_ids, last_seen = clock_timestamp();
DELETE FROM tokenward.hosts WHERE last_seen < clock_timestamp() - interval '{FORGOTTEN_AFTER}'"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Host:
    """Who we are, as ``fleet status`` shows it.

    Args:
        holder: as in leases.
        name: the machine's name.
        version: our program's.
        key_ids: asks which keys we hold now; it blocks.
    """

    holder: str
    name: str
    version: str
    key_ids: Callable[[], Sequence[str]]

    def card(self, key_ids: Sequence[str]) -> Mapping[str, object]:
        """What ``GREET`` is given."""
        return {"holder": self.holder, "host": self.name, "version": self.version, "key_ids": list(key_ids)}
