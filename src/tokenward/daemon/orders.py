"""The explicit orders that people set, as they lie in the routing state.

Rule: what cannot be read is no order; a person may have edited the file.
"""

from __future__ import annotations

from tokenward.daemon.household import Household
from tokenward.daemon.routing_state import Section


def order_of(household: Household, agent: str, provider: str) -> tuple[str, ...]:
    """The ids of an agent's explicit order; empty = none is set.

    Args:
        household: keeps the state.
        agent: the namespace of profiles.
        provider: the provider's own name.
    """
    order = household.routing.section(Section.ORDERS).get(order_key(agent, provider))
    if not isinstance(order, list):
        return ()
    return tuple(profile for profile in order if isinstance(profile, str))


def order_key(agent: str, provider: str) -> str:
    """What an order is kept under."""
    return f"{agent}/{provider}"
