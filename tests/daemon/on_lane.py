"""The lane over a ward, as it is with consumers: a request that comes again is answered by what was remembered."""

from __future__ import annotations

import json
from typing import Any

from tokenward.daemon.lane import Lane
from tokenward.daemon.peer import Peer
from tokenward.daemon.token_models import TokenParams
from tokenward.daemon.ward import Ward

PEER = Peer(41, 1000, 1000)


class OnLane:
    """A lane that remembers.

    Args:
        ward: who answers.
    """

    def __init__(self, ward: Ward) -> None:
        self._lane = Lane(ward.token_nowait, None)

    def ask(self, params: TokenParams | None = None) -> dict[str, Any] | None:
        """The result; None if the lane steps aside."""
        asked = {} if params is None else params.model_dump(mode="json", exclude_unset=True)
        request = {"jsonrpc": "2.0", "id": 1, "method": "token.get", "params": asked}
        answer = self._lane.answer(json.dumps(request).encode(), PEER)
        if answer is None:
            return None
        result: dict[str, Any] = json.loads(answer)["result"]
        return result
