"""Onboarding and our own store: where its key goes, before the first secret is sealed with it.

The problem: the safest place for the key is one that not every machine has, and a person who starts does not know
yet which this one has. So the keyring is offered and tried, and where it cannot be used the key stays in its file.

Rules:
- What a flag names is wanted: where it cannot be had, nothing is kept. What was chosen in the conversation is a
  wish: where it cannot be had, the reason is said and the conversation goes on.
- Nothing is asked where the key has left its file already, or the configuration says where it lies.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from tokenward import config
from tokenward.cli import onboard_claude, output
from tokenward.cli.prompts import choose
from tokenward.cli.store import PATIENCE_SECONDS
from tokenward.errors import TokenwardError

if TYPE_CHECKING:
    from tokenward.cli.service_access import Call

FILE, KEYRING = "file", "keyring"
_OFFERED = {
    FILE: "a file that only you can read: it opens with nobody there, and protects no copy of the disk",
    KEYRING: "the system keyring: it opens when you log in to the desktop, and a copied disk does not open it",
}
_TABLE = ("store",)


def place_key(wanted: str | None, *, asks: bool) -> None:
    """Have the key of our own store where the person wants it.

    Args:
        wanted: the place that a flag names; None = the person is asked, if anybody is.
        asks: whether somebody can be asked.

    Raises:
        TokenwardError: if the place that a flag names cannot be had; the key is where it was.
    """
    if wanted is not None:
        _move(wanted)
    elif asks and _may_ask() and _status()["key"] == FILE:
        chosen = choose("Where shall the key go that encrypts what tokenward stores?", _OFFERED, default=FILE)
        if chosen == FILE:
            return
        try:
            _move(chosen)
        except TokenwardError as fault:
            output.complain(fault.cause, fault.hint)
            output.say(f"The key stays in its file; to move it later: tokenward store rekey --to {chosen}")


def _may_ask() -> bool:
    loaded = config.load(None, os.environ, uid=os.getuid(), platform=sys.platform)
    return loaded.settings.store.key is None


def _move(place: str) -> None:
    status = _status()
    if status["key"] != place:
        status = _called("store.rekey", {"to": place})
        output.say(f"The key is in the {place}: {status['location']}")
    onboard_claude.write_down(_TABLE, "key", place)


def _status() -> dict[str, Any]:
    return _called("store.status", {})


def _called(method: str, params: dict[str, Any]) -> dict[str, Any]:
    from tokenward.cli.service_access import with_service

    answers: list[dict[str, Any]] = []

    def act(call: Call) -> int:
        answers.append(call(method, params))
        return output.OK

    with_service(act, timeout=PATIENCE_SECONDS)
    return answers[0]
