"""The lane: answers a ``token.get`` that needs no I/O, at once, without a task.

The problem: nearly every call is a ``token.get`` whose token lies ready, and the general way (a task, a
dispatcher, a model dumped to JSON) costs ten times what the answer itself does.

Rules:
- The lane answers only what the dispatcher would have answered alike; in doubt it steps aside, and the
  dispatcher reads the line afresh. It never answers with an error.
- What it remembers is bounded, and never holds an inline credential. With a request it remembers the answer that
  stands (``standing_answer``), asks it first, and lets go of it as soon as it stands no longer.
- A remembered shape is a line with its id cut out. Two lines share one only if they differ in the id alone: the
  line has no backslash, so that ``"id"`` is written in one way only, and has it once, which is then the request's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from tokenward.core import protocol
from tokenward.daemon import fault, message
from tokenward.daemon.peer import Peer
from tokenward.daemon.plain_request import METHOD, PlainRequest, read_plain
from tokenward.daemon.standing_answer import HandedOut, StandingAnswer

if TYPE_CHECKING:
    from tokenward.daemon.methods.method import Audit

MAX_SHAPES = 256
"""Different requests remembered: a user has tens of consumers, each with one or two."""
MAX_SHAPE_BYTES = 512
"""A longer request is read anew each time; this bounds what is remembered to some 256 KiB of lines."""

_METHOD_BYTES = METHOD.encode()
_HEAD = f'{{"jsonrpc":"{protocol.JSONRPC}","id":'.encode()
_RESULT = b',"result":'
_TAIL = b"}\n"
_find_id = re.compile(rb'"id": ?((?:0|[1-9][0-9]{0,14})|"[A-Za-z0-9_.:-]{0,64}")(?=[,}])').search
"""An id that can be given back byte for byte."""

logger = logging.getLogger(__name__)


class _Asked:
    """A request that was asked before.

    Args:
        line: the first that asked it.
        request_id: the id in that line, as it stands there.
        params: what it said.
    """

    __slots__ = ("line", "params", "request_id", "standing")

    def __init__(self, line: bytes, request_id: bytes, params: PlainRequest) -> None:
        self.line = line
        self.request_id = request_id
        self.params = params
        self.standing: StandingAnswer | None = None


class Lane:
    """Answers what can be answered without I/O.

    Args:
        token_nowait: ``Service.token_nowait``.
        audit: told of every answer; None to tell nobody.
    """

    def __init__(self, token_nowait: Callable[[PlainRequest], HandedOut | None], audit: Audit | None) -> None:
        self._token_nowait = token_nowait
        self._audit = audit
        self._shapes: dict[bytes, _Asked] = {}
        self._lines: dict[bytes, _Asked] = {}
        """Of each shape the first line, id and all: a one-shot caller sends the very same each time."""
        self.answered = 0

    def answer(self, line: bytes, peer: Peer) -> bytes | None:
        """The answer to a line, newline included, or None if it is for the dispatcher.

        Args:
            line: without its newline.
            peer: who sent it.
        """
        asked = self._lines.get(line)
        if asked is not None:
            request_id = asked.request_id
        else:
            found = _find_id(line)
            if found is not None:
                start, end = found.span(1)
                request_id = line[start:end]
                asked = self._shapes.get(line[:start] + line[end:])
            if asked is None:
                asked = self._read(line, found) if _METHOD_BYTES in line else None
                if asked is None:
                    return None
                request_id = asked.request_id
        try:
            handed_out = asked.standing.take() if asked.standing is not None else None
            if handed_out is None:
                handed_out = self._token_nowait(asked.params)
                asked.standing = None if handed_out is None else handed_out.standing
                if handed_out is None:
                    return None
            if self._audit is not None:
                self._audit(peer, METHOD, 0, handed_out)
        except Exception as error:  # noqa: BLE001 - the dispatcher meets it again and answers it as an error
            logger.debug("the lane steps aside: %s", fault.describe(error))
            return None
        self.answered += 1
        return b"".join((_HEAD, request_id, _RESULT, handed_out.result, _TAIL))

    def _read(self, line: bytes, found: re.Match[bytes] | None) -> _Asked | None:
        try:
            request = message.load(str(line, "utf-8"))
            if not isinstance(request, dict) or "id" not in request:
                return None
            if request.get("method") != METHOD or message.fault_of(request) is not None:
                return None
            params = read_plain(request.get("params", {}))
        except (message.Unreadable, UnicodeDecodeError, RecursionError):
            return None
        if params is None:
            return None
        asked = _Asked(line, message.encode_text(request["id"]).encode("ascii"), params)
        if found is not None:
            self._remember(found, asked)
        return asked

    def _remember(self, found: re.Match[bytes], asked: _Asked) -> None:
        start, end = found.span(1)
        line = asked.line
        shape = line[:start] + line[end:]
        if len(shape) > MAX_SHAPE_BYTES:
            return
        if b"\\" in shape or shape.count(b'"id"') != 1:
            return
        if len(self._shapes) >= MAX_SHAPES:
            oldest = self._shapes.pop(next(iter(self._shapes)))
            del self._lines[oldest.line]
        self._shapes[shape] = self._lines[line] = asked
