"""The lane answers as the dispatcher does, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.served import SECRET, ScriptedService, serving
from tokenward.daemon import lane as lane_module
from tokenward.daemon.lane import Lane
from tokenward.daemon.peer import Peer
from tokenward.daemon.plain_request import PlainRequest
from tokenward.daemon.standing_answer import HandedOut

PEER = Peer(pid=1, uid=0, gid=0)


def _get(members: str) -> str:
    return '{"jsonrpc":"2.0","method":"token.get",' + members + "}"


REQUESTS = [
    _get('"id":1'),
    _get('"id": 1'),
    _get('"id":  1'),
    _get('"id" :1'),
    _get('"id":0'),
    _get('"id":00'),
    _get('"id":01'),
    _get('"id":-1'),
    _get('"id":1.0'),
    _get('"id":1e3'),
    _get('"id":999999999999999'),
    _get('"id":9999999999999999'),
    _get('"id":""'),
    _get('"id":"a-b_c.d:e"'),
    _get('"id":"id"'),
    _get('"id":"\\u00e9"'),
    _get('"id":"é"'),
    _get('"id":"\\ud800"'),
    _get('"id":"' + "x" * 65 + '"'),
    _get('"id":null'),
    _get('"id":true'),
    _get('"id":[1]'),
    _get('"params":{}'),
    _get('"id":1,"id":2'),
    _get('"id":1,"id" :2'),
    _get('"id":3,"id" :2'),
    _get('"id":1,"\\u0069d":2'),
    _get('"\\"id":5,"id" :6'),
    _get('"\\"id":7,"id" :6'),
    _get('"x":{"id":1},"id":2'),
    _get('"x":{"id":3},"id":2'),
    _get('"x":{"id":3},"id" :2'),
    _get('"x":"y","id":2'),
    _get('"id":1,"params":{}'),
    _get('"params":{},"id":1'),
    _get('"params":{"id":5},"id":1'),
    _get('"params":{"tier":"id"},"id":1'),
    _get('"params":{"tier":"\\"id\\":4"},"id":1'),
    _get('"params":{"tier":"max"},"id":1'),
    _get('"params":{"tier":"pro"},"id":1'),
    _get('"id":1,"params":{"min_valid":1}'),
    _get('"id":1,"params":{"min_valid":11}'),
    _get('"id":11,"params":{"min_valid":1}'),
    _get('"id":1,"params":{"min_valid":-1}'),
    _get('"id":1,"params":{"min_valid":"60"}'),
    _get('"id":1,"params":{"min_valid":true}'),
    _get('"id":1,"params":{"min_valid":1e999}'),
    _get('"id":1,"params":{"min_valid":NaN}'),
    _get('"id":1,"params":{"kinds":["oauth","api_key"]}'),
    _get('"id":1,"params":{"kinds":"oauth"}'),
    _get('"id":1,"params":{"unknown":1}'),
    _get('"id":1,"params":[]'),
    _get('"id":1,"params":["acme"]'),
    _get('"id":1,"params":null'),
    _get('"id":1,"params":{"profile":"acme:me"}'),
    _get('"id":1,"params":{"profile":"acme:other"}'),
    _get('"id":1,"params":{"profile":"acme:locked"}'),
    _get('"id":1,"params":{"profile":"acme:broken"}'),
    _get('"id":1,"params":{"profile":"not a profile"}'),
    _get('"id":1,"params":{"credential":{"access_token":"x"}}'),
    _get('"id":1,"params":{"credential":{"access_token":"x","id":2}}'),
    _get('"id":1,"params":{"tier":"x","tier":"y"}'),
    _get('"id":1,"method":"daemon.reload"'),
    _get('"id":1,"jsonrpc":"1.0"'),
    _get('"id":1') + "\r",
    "  " + _get('"id":1'),
    _get('"id":1') + "x",
    "\ufeff" + _get('"id":1'),
    "[" + _get('"id":1') + "]",
    '{"jsonrpc":"2.0","method":"token\\u002eget","id":1}',
    '{"jsonrpc":"2.0","method":"token.get.","id":1}',
    '{"jsonrpc":2.0,"method":"token.get","id":1}',
    '{"id":1,"method":"token.get"}',
    '{"id":1,"jsonrpc":"2.0","method":"token.get","params":{"agent":"main"}}',
    '{"id":1,"jsonrpc":"2.0","method":"token.get","params":{"agent":"wörk"}}',
    _get('"id":1,"x":' + "[" * 5000 + "]" * 5000),
]


async def _answers(directory: Path, *, has_lane: bool) -> tuple[list[Any], int]:
    """Every request twice, so that what is remembered of the first is used for the second."""
    service = ScriptedService(has_lane=has_lane)
    answers = []
    async with serving(directory, service) as served, served.peer() as peer:
        for request in [*REQUESTS, *REQUESTS]:
            await peer.send(request.encode() + b"\n" + b'{"jsonrpc":"2.0","id":"end","method":"daemon.reload"}\n')
            got: list[Any] = []
            while not got or got[-1] != "end":
                answer = await peer.line()
                got.append("end" if isinstance(answer, dict) and answer["id"] == "end" else answer)
            answers.append(got)
    return answers, service.lane_served


async def test_lane_and_dispatcher_answer_alike(tmp_path: Path) -> None:
    """The same requests, valid, odd and hostile, get the same answers with the lane and without it."""
    with_lane, served = await _answers(tmp_path / "a", has_lane=True)
    without, _ = await _answers(tmp_path / "b", has_lane=False)
    for request, fast, slow in zip([*REQUESTS, *REQUESTS], with_lane, without, strict=True):
        assert fast == slow, request
    assert served > len(REQUESTS) / 2


def _lane() -> tuple[Lane, list[PlainRequest]]:
    asked: list[PlainRequest] = []

    def token_nowait(params: PlainRequest) -> HandedOut | None:
        asked.append(params)
        return HandedOut(b'{"token":"t"}', "acme:me", "0123456789ab", "acme:me", "turn")

    return Lane(token_nowait, None), asked


def test_a_known_shape_is_read_once() -> None:
    """Requests that differ in the id alone share one params object; each gets its own id back."""
    lane, asked = _lane()
    for request_id in ("1", "2", '"a"', "0"):
        line = _get(f'"id":{request_id},"params":{{"tier":"max"}}').encode()
        assert (
            lane.answer(line, PEER) == b'{"jsonrpc":"2.0","id":%s,"result":{"token":"t"}}\n' % request_id.encode()
        )
    assert len({id(params) for params in asked}) == 1
    assert lane.answered == 4


def test_what_is_remembered_is_bounded_and_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest shape goes when there are too many; long lines and inline credentials are never kept."""
    monkeypatch.setattr(lane_module, "MAX_SHAPES", 3)
    lane, asked = _lane()
    for number in range(10):
        assert lane.answer(_get(f'"id":1,"params":{{"tier":"t{number}"}}').encode(), PEER)
    assert len(lane._shapes) == len(lane._lines) == 3
    before = dict(lane._shapes), dict(lane._lines)
    inline = _get(f'"id":1,"params":{{"credential":{{"access_token":"{SECRET}"}}}}')
    assert lane.answer(inline.encode(), PEER) is None
    assert lane.answer((_get('"id":1') + " " * 600).encode(), PEER)
    assert (lane._shapes, lane._lines) == before
    assert len(asked) == 11


def test_the_lane_steps_aside_when_the_service_raises() -> None:
    """An exception on the lane is left to the dispatcher."""

    def token_nowait(params: PlainRequest) -> HandedOut | None:
        raise RuntimeError(SECRET)

    lane = Lane(token_nowait, None)
    assert lane.answer(_get('"id":1').encode(), PEER) is None
    assert lane.answered == 0


def test_an_answer_of_the_lane_is_one_line() -> None:
    """It ends in the only newline it has, and reads as JSON-RPC."""
    lane, _ = _lane()
    answer = lane.answer(_get('"id":"x"').encode(), PEER)
    assert answer is not None
    assert answer.count(b"\n") == 1
    assert json.loads(answer) == {"jsonrpc": "2.0", "id": "x", "result": {"token": "t"}}
