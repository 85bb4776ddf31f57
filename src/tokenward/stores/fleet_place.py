"""Where hosts share, and as whom this one comes there: one value for whoever opens the engine or the fleet."""

from __future__ import annotations

from dataclasses import dataclass

from tokenward.core.credential import Secret
from tokenward.stores.shared_keys import KeyDocument


@dataclass(frozen=True, slots=True)
class FleetPlace:
    """One fleet, as one host names it.

    Args:
        url: the engine.
        document: where this host's keys are.
        holder: names this host's daemon in leases; stable over its restarts.
        host: the machine's name, for people.
        version: our program's, for people.
    """

    url: Secret
    document: KeyDocument
    holder: str
    host: str
    version: str
