"""A plain ``token.get`` that has to wait, carried out without the dispatcher.

The problem: most daemons are asked for tokens alone, and now and then one has to be refreshed first. For that the
dispatcher, every method's models and the library behind them would be loaded, and kept.

Rules:
- It is answered, counted and told to the audit as the dispatcher does all three; a test compares the two.
- In doubt a request is the dispatcher's: a batch, a notification, whatever ``read_plain`` does not read.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tokenward import errors
from tokenward.core import protocol
from tokenward.daemon import fault, message
from tokenward.daemon.plain_request import METHOD, PlainRequest, read_plain

if TYPE_CHECKING:
    from tokenward.daemon.methods.method import Audit
    from tokenward.daemon.peer import Peer
    from tokenward.daemon.standing_answer import HandedOut

OK = "ok"
INTERNAL = "internal"
"""Results in the count of calls, besides the types of our errors."""

TokenLater = Callable[[PlainRequest], "Awaitable[HandedOut] | None"]
"""Begins to get a token that does not lie ready; None if only the service can."""

logger = logging.getLogger(__name__)


class PlainCalls:
    """Carries them out.

    Args:
        token_later: see there.
        audit: told of every call; None to tell nobody.
        calls: where they are counted, by method and result.
    """

    def __init__(self, token_later: TokenLater, audit: Audit | None, calls: Counter[tuple[str, str]]) -> None:
        self._token_later = token_later
        self._audit = audit
        self._calls = calls

    async def answer(self, work: message.Work, peer: Peer) -> bytes | None:
        """Carry out what a line asks for.

        Args:
            work: what ``message.read_line`` made of the line.
            peer: who sent it.

        Returns:
            The answer, without its newline; None if it is the dispatcher's to give.
        """
        request = _plain_call(work)
        if request is None:
            return None
        request_id, params = request
        token = self._token_later(params)
        if token is None:
            return None
        try:
            handed_out = await token
            if self._audit is not None:
                self._audit(peer, METHOD, 0, handed_out)
        except errors.TokenwardError as error:
            self._failed(peer, type(error).__name__, error.code)
            return message.refusal(error, request_id)
        except Exception as error:  # noqa: BLE001 - answered as an error; the daemon goes on
            logger.error("%s failed: %s", METHOD, fault.describe(error))  # noqa: TRY400 - no traceback
            self._failed(peer, INTERNAL, protocol.INTERNAL_ERROR)
            return message.internal_error(request_id)
        self._calls[METHOD, handed_out.degraded or OK] += 1
        answer = message.result_object(handed_out.result, request_id)
        return message.internal_error(request_id) if message.is_too_long(answer) else answer

    def _failed(self, peer: Peer, outcome: str, code: int) -> None:
        self._calls[METHOD, outcome] += 1
        tell_of_failure(self._audit, peer, METHOD, code)


def _plain_call(work: message.Work) -> tuple[str | int | None, PlainRequest] | None:
    """The id and the params of a line that is one plain ``token.get``."""
    if work.is_batch or len(work.requests) != 1:
        return None
    try:
        request = message.load(work.requests[0])
    except message.Unreadable:
        return None  # read once already, with a little more room on the stack
    if request["method"] != METHOD or "id" not in request:
        return None
    params = read_plain(request.get("params", {}))
    return None if params is None else (request["id"], params)


def tell_of_failure(audit: Audit | None, peer: Peer, method: str, code: int) -> None:
    """Tell the audit of a call that handed out nothing; the caller gets its reason even if that fails.

    Args:
        audit: who is told; None = nobody.
        peer: who called.
        method: what.
        code: the error's.
    """
    if audit is None:
        return
    try:
        audit(peer, method, code, None)
    except Exception as error:  # noqa: BLE001 - as above
        logger.error("the audit failed: %s", fault.describe(error))  # noqa: TRY400 - no traceback
