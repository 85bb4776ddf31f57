"""What a flight's result means to the refresh machine: a value that is durable, or a failure with its event.

The problem: a result arrives late. What was held may have changed meanwhile, a place may have gone back to a
spent value, and the same words from a server condemn one generation and not its successor (design I4, I7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tokenward.core.credential import Credential
from tokenward.core.lifecycle import Event
from tokenward.daemon.flight_results import Adopted, Cause, Failed, FlightResult, Refreshed, Rejected, SaveFailed


class Value(NamedTuple):
    """A value to hold and to serve.

    Args:
        credential: the value, durable.
        event: what the machine is told.
    """

    credential: Credential
    event: Event


class Failure(NamedTuple):
    """No value, or none that is durable.

    Args:
        cause: the failure's name.
        reason: what happened, in words.
        retry_after: seconds that the server asked for.
        event: what the machine is told.
    """

    cause: str
    reason: str
    retry_after: float | None
    event: Event


def of(
    result: FlightResult, *, saving: bool, held: str | None, is_over: Callable[[Credential], bool]
) -> Value | Failure:
    """Say what a result means.

    Args:
        result: how the flight ended.
        saving: whether it was to save a value that could not be written before.
        held: the generation held now.
        is_over: whether a value was replaced before, so that it is not to be taken again.
    """
    failed = Event.SAVE_FAILED if saving else Event.FAILED
    match result:
        case Refreshed(credential=credential):
            return Value(credential, Event.SAVED if saving else Event.REFRESHED)
        case Adopted(credential) if not is_over(credential):
            return Value(credential, Event.ADOPTED)
        case SaveFailed(reason=reason):
            return Failure("unsaved", reason, None, Event.SAVE_FAILED)
        case Rejected(sent=sent, reason=reason):
            return Failure("invalid_grant", reason, None, Event.REJECTED if held == sent else Event.FAILED)
        case Failed(cause, reason, retry_after):
            return Failure(cause, reason, retry_after, failed)
        case _:
            return Failure(Cause.SOURCE_GONE, "its place went back to a spent value", None, failed)
