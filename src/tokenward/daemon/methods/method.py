"""What one RPC method is: the row from which dispatch, validation and the reference document are made.

The problem: a method's name, its models, its errors and its documentation drift apart where each is written
down by itself. So each method is one ``Method``, and everything else is derived from it; its models are those
that its handler is annotated with.

Rule: a handler makes one call of the service and decides nothing; what it may raise stands in its row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, get_type_hints

from tokenward.daemon.peer import Peer
from tokenward.daemon.rpc_types import Params, Result
from tokenward.daemon.service import Service
from tokenward.daemon.standing_answer import HandedOut
from tokenward.errors import TokenwardError

Subscribe = Callable[[frozenset[str] | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler knows besides its params.

    Args:
        service: the daemon.
        peer: who calls.
        subscribe: makes the connection a subscriber of these profiles' events (None = all), which follow once
            this call has been answered; raises ``InvalidRequest`` if it is one already.
    """

    service: Service
    peer: Peer
    subscribe: Subscribe


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC method.

    Args:
        name: the name on the wire.
        params: the model of its params.
        result: the model of its result.
        handler: carries it out.
        summary: one sentence for the reference document.
        errors: what it can raise, besides what every call can meet.
    """

    name: str
    params: type[Params]
    result: type[Result]
    handler: Callable[[Call, Any], Awaitable[Result]]
    summary: str
    errors: tuple[type[TokenwardError], ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        handler: Callable[[Call, Any], Awaitable[Result]],
        summary: str,
        errors: tuple[type[TokenwardError], ...] = (),
    ) -> Method:
        """The row of a handler, whose annotations name the models.

        Args:
            name: the name on the wire.
            handler: carries it out.
            summary: one sentence for the reference document.
            errors: what it can raise, besides what every call can meet.
        """
        hints = get_type_hints(handler)
        result = hints.pop("return")
        _, params = hints.values()
        return cls(name, params, result, handler, summary, errors)


class Audit(Protocol):
    """Told of every call that was carried out; quick, never blocking.

    What it cannot take note of (it raises) is not handed out.
    """

    def __call__(self, peer: Peer, method: str, code: int, result: Result | HandedOut | None) -> None:
        """Take note of one call.

        Args:
            peer: who called.
            method: what.
            code: 0, or the error's code.
            result: what was handed out: on the lane already encoded; None with an error.
        """
