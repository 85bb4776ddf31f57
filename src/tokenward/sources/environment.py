"""Credentials in the environment of the daemon (P6, L2, N38, N42).

The problem: five variables hold a credential, each as a bare token or as JSON, and a gateway's key is of no use
without the address of its gateway.

Rules:
- A variable is never written. So a refresh token that stands in one is never spent by us: its successor would
  live nowhere that a restart finds (design I2), and the variable would hold a dead login for every program that
  reads it. Such a login is served until it ends, and is not copied into our store unasked (I5); ``status`` says
  which command does that.
- All three OAuth variables are one profile; the first that is set wins.
- ``ANTHROPIC_BASE_URL`` is the gateway of every credential beside it. One that is unusable makes them
  unreadable: a key that was meant for a gateway is not sent to Anthropic instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from tokenward.core.credential import Kind, Profile
from tokenward.core.provider import endpoint_problem
from tokenward.core.reading import Absent, Reading, Unreadable
from tokenward.core.recognise import api_root
from tokenward.core.written_token import Written, read
from tokenward.sources.fixed import FixedReading
from tokenward.sources.offered import Offered

PROVIDER = "anthropic"
BASE_URL = "ANTHROPIC_BASE_URL"
NAME = "environment"


class Slot(NamedTuple):
    """One credential that an environment can hold.

    Args:
        suffix: what its profile is called beyond the source's own name.
        variables: the variables that it stands in, the first that is set wins.
        expected: the kind that belongs there.
    """

    suffix: str
    variables: tuple[str, ...]
    expected: Kind


SLOTS = (
    Slot("", ("ANTHROPIC_API_KEY",), Kind.API_KEY),
    Slot("-auth-token", ("ANTHROPIC_AUTH_TOKEN",), Kind.AUTH_TOKEN),
    Slot("-oauth", ("ANTHROPIC_OAUTH_TOKEN", "CLAUDE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"), Kind.SETUP_TOKEN),
)
CREDENTIAL_VARIABLES = frozenset(variable for slot in SLOTS for variable in slot.variables)


class Gateway(NamedTuple):
    """Where requests with the environment's credentials go.

    Args:
        base_url: the root that ``ANTHROPIC_BASE_URL`` names; None = it is not set.
        is_foreign: whether that, or else the provider's own root, is another host than Anthropic's.
        fault: why the variable cannot be used; None = it can.
    """

    base_url: str | None
    is_foreign: bool
    fault: str | None = None


def gateway(environ: Mapping[str, str], *, provider_is_gateway: bool, anthropic_host: str | None) -> Gateway:
    """Read ``ANTHROPIC_BASE_URL``.

    Args:
        environ: the environment.
        provider_is_gateway: whether the configuration sends the provider's requests to another host.
        anthropic_host: the host of Anthropic's own API.
    """
    address, _ = api_root(environ.get(BASE_URL, "").strip())
    if not address:
        return Gateway(None, provider_is_gateway)
    problem = endpoint_problem(address) or ("the address must not have a query" if "?" in address else None)
    if problem is not None:
        return Gateway(None, is_foreign=True, fault=f"${BASE_URL}: {problem}")
    return Gateway(address, urlsplit(address).hostname != anthropic_host)


def variable_set(slot: Slot, values: Mapping[str, str]) -> str | None:
    """The slot's variable that holds something, the first that does."""
    return next((name for name in slot.variables if values.get(name, "").strip()), None)


def offered(environ: Mapping[str, str], beside: Gateway) -> list[Offered]:
    """The profiles of the variables that are set.

    Args:
        environ: the environment.
        beside: where requests with them go.
    """
    found = []
    for slot in SLOTS:
        variable = variable_set(slot, environ)
        if variable is None:
            continue
        reading = read_slot(environ[variable], slot, beside)
        place = FixedReading(reading, name=NAME, description=f"${variable}")
        profile = Profile(f"{PROVIDER}:env{slot.suffix}", PROVIDER, NAME, base_url=beside.base_url)
        found.append(Offered(profile, place, refresh_note(f"${variable}"), (variable, beside, place.signature())))
    return found


def read_slot(text: str, slot: Slot, beside: Gateway) -> Reading:
    """What stands in a slot."""
    if beside.fault is not None:
        return Unreadable(beside.fault)
    reading = read(text, Written(slot.expected, gateway=beside.is_foreign))
    return Unreadable("is empty") if isinstance(reading, Absent) else reading


def refresh_note(where: str) -> str:
    """What a person can do for a login whose refresh token stands where we do not write."""
    return (
        f"a refresh token in {where} is never spent: to have it refreshed, move the login into tokenward's store "
        f"(tokenward add {PROVIDER}:NAME --oauth) and remove it there"
    )
