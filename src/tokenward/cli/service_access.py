"""Commands that manage credentials work without a daemon too: they start its parts for the one command.

The problem: the first thing a person does is add a credential, and a daemon need not run for that; but two
writers of one store would be one too many. So the daemon is asked first, and only where none answers is its
``Service`` opened in this process, under the daemon's own locks and without its scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tokenward.client import Client
from tokenward.core.protocol import DEFAULT_TIMEOUT
from tokenward.errors import DaemonUnreachable, InvalidParams

if TYPE_CHECKING:
    from tokenward.daemon.service import Result, Service

Call: TypeAlias = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Method and params to result, as ``Client.call``."""


def with_service(act: Callable[[Call], int], *, timeout: float = DEFAULT_TIMEOUT) -> int:
    """Do something with the daemon's methods, wherever they run.

    Args:
        act: called once, with a ``Call`` for ``profile.add``, ``.get``, ``.list``, ``.forget``, ``.enable``
            and ``.disable``, and for ``source.*`` and ``store.*``.
        timeout: seconds that a call may take.

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
    import anyio
    from anyio import from_thread, to_thread

    from tokenward.daemon.app import in_process_service

    async def serve() -> int:
        async with in_process_service(config=None, state_dir=None) as service:
            # The commands are written against a blocking client, so they run beside the loop and not on it.
            return await to_thread.run_sync(
                act, lambda method, params: from_thread.run(_answer, service, method, params)
            )

    return anyio.run(serve)


async def _answer(service: Service, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    from tokenward.daemon.service import ProfileAddParams, ProfileListParams, ProfileListResult, ProfileParams
    from tokenward.daemon.source_models import SourceAdoptParams, SourceImportParams

    result: Result

    def named() -> tuple[str, str]:
        which = ProfileParams.model_validate(params)
        return which.profile, which.agent

    try:
        match method:
            case "profile.add":
                result = await service.add(ProfileAddParams.model_validate(params))
            case "profile.forget":
                result = await service.forget(*named())
            case "profile.enable":
                result = await service.enable(*named())
            case "profile.disable":
                result = await service.disable(*named())
            case "profile.get":
                result = service.profile(*named())
            case "profile.list":
                profiles = service.profiles(ProfileListParams.model_validate(params))
                return ProfileListResult(profiles=profiles).model_dump(mode="json")
            case "source.list":
                result = await service.sources()
            case "source.import":
                result = await service.take_over(SourceImportParams.model_validate(params))
            case "source.adopt":
                result = await service.adopt(SourceAdoptParams.model_validate(params))
            case _ if method.startswith("store."):
                return await _answer_of_store(service, method, params)
            case _:
                raise AssertionError(method)
    except ValidationError as invalid:
        # Only where and why: the input may be a secret.
        first = invalid.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidParams(f"{where}: {first['msg']}", hint="a profile is named provider:name") from None
    return result.model_dump(mode="json")


async def _answer_of_store(service: Service, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    from tokenward.daemon.service import ExportParams, RekeyParams, RestoreParams

    result: Result
    match method:
        case "store.status":
            result = await service.store_status()
        case "store.rekey":
            result = await service.store_rekey(RekeyParams.model_validate(params))
        case "store.export":
            result = await service.store_export(ExportParams.model_validate(params))
        case "store.restore":
            result = await service.store_restore(RestoreParams.model_validate(params))
        case _:
            raise AssertionError(method)
    return result.model_dump(mode="json")
