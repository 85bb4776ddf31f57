"""Commands that manage credentials work without a daemon too: they start its parts for the one command.

The problem: the first thing a person does is add a credential, and a daemon need not run for that; but two
writers of one store would be one too many. So the daemon is asked first, and only where none answers is its
``Service`` opened in this process, under the daemon's own locks and without its scheduler.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tokenward.client import Client
from tokenward.core import protocol
from tokenward.errors import DaemonUnreachable, InvalidParams

if TYPE_CHECKING:
    from tokenward.daemon.service import Service

Call: TypeAlias = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Method and params to result, as ``Client.call``."""
_HINTS = {"profile": "a profile is named provider:name", "model": "a model is named provider/model, or by its id"}


def with_service(act: Callable[[Call], int], *, timeout: float = protocol.DEFAULT_TIMEOUT) -> int:
    """Do something with the daemon's methods, wherever they run.

    Args:
        act: called once, with a ``Call`` for any method that answers once.
        timeout: seconds a call may take.

    Returns:
        What ``act`` returns.
    """
    with Client(timeout=timeout) as client:
        try:
            client.hello()
        except DaemonUnreachable:
            pass
        else:
            return act(client.call)
    return _in_this_process(act)


def _in_this_process(act: Callable[[Call], int]) -> int:
    from concurrent.futures import Future

    from anyio.from_thread import start_blocking_portal

    from tokenward.daemon.app import in_process_service

    result, failure = 0, None
    # The command stays in this thread, where an interrupt ends it even at a prompt; the loop runs beside it.
    with start_blocking_portal() as portal:
        opened = portal.wrap_async_context_manager(in_process_service(config=None, state_dir=None))
        with opened as service:

            def call(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
                answer: Future[dict[str, Any]] = portal.start_task_soon(_answer, service, method, params)
                try:
                    return answer.result()
                except KeyboardInterrupt:
                    answer.cancel()
                    raise

            try:
                result = act(call)
            except BaseException as raised:  # noqa: BLE001 - raised below; the service knows nothing of it
                failure = raised
    if failure is not None:
        raise failure
    return result


async def _answer(service: Service, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    from tokenward.daemon.methods.method import Call as MethodCall
    from tokenward.daemon.methods.registry import METHODS
    from tokenward.daemon.peer import Peer

    async def subscribe(_: frozenset[str] | None) -> None:
        raise AssertionError(method)

    asked = METHODS[method]
    given = {name: value for name, value in params.items() if value is not None}
    try:
        checked = asked.params.model_validate(given)
    except ValidationError as invalid:
        # Only where and why: the input may be a secret.
        first = invalid.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidParams(f"{where}: {first['msg']}", hint=_HINTS.get(where, _HINTS["profile"])) from None
    peer = Peer(os.getpid(), os.getuid(), os.getgid())
    result = await asked.handler(MethodCall(service, peer, subscribe), checked)
    return result.model_dump(mode="json")
