"""The dispatcher: carries out every call the lane does not, one request at a time, and words its answer.

The problem: JSON-RPC dispatch is easily got almost right, and the library that has it right (pjrpc) writes
params to its log, answers a batch with one error for one bad element, and quotes the caller's input back. So
it does the part it does well, looking up, validating, calling and wrapping, and is used from here alone.

Rules:
- Validation errors name the field and the reason, never the value: a value may be a secret.
- A ``TokenwardError`` goes out as it is; any other exception is "internal error" on the wire, and type and
  place in the log.
- One failing call never touches another, not even in the same batch.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio
import pydantic
from pjrpc.common import MaybeSet, Request, Response
from pjrpc.server import AsyncDispatcher, AsyncHandlerType, JsonRpcError, MethodRegistry
from pjrpc.server.validators import BaseValidator, BaseValidatorFactory

from tokenward import errors
from tokenward.core import protocol
from tokenward.daemon import fault, message
from tokenward.daemon.message import Work
from tokenward.daemon.methods.method import Audit, Call, Method
from tokenward.daemon.plain_calls import INTERNAL, OK, tell_of_failure
from tokenward.daemon.rpc_types import Params, Result
from tokenward.daemon.token_models import TokenResult

MAX_REASONS = 8
"""Wrong fields named in one error: enough to mend a call, too few to make an answer long."""
_SHOWABLE_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}").fullmatch
"""A member name that is shown back: long enough for every name there is, too short for a token."""

_CONTEXT = "call"
"""The handlers' parameter that pjrpc fills with the context."""

logger = logging.getLogger(__name__)
logging.getLogger("pjrpc").setLevel(logging.CRITICAL + 1)
"""pjrpc writes whole requests and params to its log, at levels down to DEBUG; both hold secrets."""


def _wire_error(error: errors.TokenwardError) -> JsonRpcError:
    return JsonRpcError(error.code, error.cause, error.data())


def no_such_method() -> errors.TokenwardError:
    """There is no method of that name; it is not quoted, since it could be anything."""
    return errors.MethodNotFound("no such method", hint="rpc.discover lists them")


def _invalid_params(cause: str, reasons: list[dict[str, str]]) -> JsonRpcError:
    return _wire_error(errors.InvalidParams(cause, hint="see openrpc.json or call rpc.discover", errors=reasons))


def _field_name(location: tuple[int | str, ...]) -> str:
    names = [str(part) for part in location]
    return ".".join(name if _SHOWABLE_NAME(name) else "…" for name in names) or "params"


def _outcome(result: Result) -> str:
    """For the count of calls: ``ok``, or why a token is less than what was asked for."""
    return (result.degraded if isinstance(result, TokenResult) else None) or OK


def _load(text: str, **_options: Any) -> Any:
    return message.load(text)


class _ModelValidator(BaseValidator):
    """Validates params by a method's model."""

    def __init__(self, method: Callable[..., Any], model: type[Params]) -> None:
        super().__init__(method)
        self._model = model

    def validate_params(self, params: list[Any] | tuple[Any, ...] | dict[str, Any] | None) -> dict[str, Any]:
        if not isinstance(params, dict):
            raise _invalid_params("params are given by name, not by position", [])
        try:
            return {"params": self._model.model_validate(params)}
        except pydantic.ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_REASONS]
            reasons = [{"field": _field_name(each["loc"]), "reason": each["msg"]} for each in found]
            cause = "; ".join(f"{each['field']}: {each['reason']}" for each in reasons)
            raise _invalid_params(f"invalid params: {cause}", reasons) from None


class _ModelValidatorFactory(BaseValidatorFactory):
    """Builds the validator of one method."""

    def __init__(self, model: type[Params]) -> None:
        super().__init__()
        self._model = model

    def build(self, method: Callable[..., Any]) -> _ModelValidator:
        return _ModelValidator(method, self._model)


class Dispatcher:
    """Carries out requests.

    Args:
        methods: the methods there are, by name.
        audit: told of every call that was carried out; None to tell nobody.
        calls: where calls are counted that were carried out, by method and result; None = in a table of its own.
        unlisted: makes the error for a call of any other method.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        audit: Audit | None,
        calls: Counter[tuple[str, str]] | None = None,
        *,
        unlisted: Callable[[], errors.TokenwardError] = no_such_method,
    ) -> None:
        self._methods = methods
        self._unlisted = unlisted
        self._audit = audit
        self.calls: Counter[tuple[str, str]] = Counter() if calls is None else calls
        self._pjrpc: AsyncDispatcher[Call] = AsyncDispatcher(
            json_loader=_load,
            json_dumper=partial(json.dumps, separators=(",", ":")),
            middlewares=[self._refuse_unknown],
        )
        for method in methods.values():
            registry = MethodRegistry(validator_factory=_ModelValidatorFactory(method.params))
            registry.add_method(self._runner(method), method.name, pass_context=_CONTEXT)
            self._pjrpc.add_methods(registry)

    async def answer(self, work: Work, call: Call) -> bytes | None:
        """Carry out what one line asks for; the requests of a batch overlap.

        Args:
            work: what ``message.read_line`` made of the line.
            call: what the handlers are to know.

        Returns:
            The answer without its newline, or None if there is none to give.
        """
        responses = list(work.refusals)

        async def answer_one(text: str) -> None:
            response = await self._respond(text, call)
            if response is not None:
                responses.append(response)

        if len(work.requests) == 1:
            await answer_one(work.requests[0])
        else:
            async with anyio.create_task_group() as tasks:
                for text in work.requests:
                    tasks.start_soon(answer_one, text)
        answer = message.join(tuple(responses), is_batch=work.is_batch)
        return message.internal_error() if answer is not None and message.is_too_long(answer) else answer

    async def _respond(self, text: str, call: Call) -> bytes | None:
        try:
            answer = await self._pjrpc.dispatch(text, call)
        except message.Unreadable:
            return message.parse_error()  # read once already, with a little more room on the stack
        except Exception as error:  # noqa: BLE001 - whatever it is, the other calls of this daemon go on
            logger.error("a call failed: %s", fault.describe(error))  # noqa: TRY400 - a traceback may show a secret
            return message.internal_error()
        if answer is None:
            return None
        response = answer[0].encode("ascii")
        return message.internal_error(message.load(text)["id"]) if message.is_too_long(response) else response

    async def _refuse_unknown(
        self, request: Request, context: Call, handler: AsyncHandlerType[Call]
    ) -> MaybeSet[Response]:
        if request.method not in self._methods:
            raise _wire_error(self._unlisted())
        return await handler(request, context)

    def _runner(self, method: Method) -> Callable[..., Awaitable[Any]]:
        async def run(*, call: Call, params: Params) -> Any:
            try:
                result = await method.handler(call, params)
                shown = result.model_dump(mode="json")
                if self._audit is not None:
                    self._audit(call.peer, method.name, 0, result)
            except errors.TokenwardError as error:
                outcome, wire = type(error).__name__, _wire_error(error)
            except Exception as error:  # noqa: BLE001 - answered as an error; the daemon goes on
                outcome = INTERNAL
                logger.error("%s failed: %s", method.name, fault.describe(error))  # noqa: TRY400 - no traceback
                wire = JsonRpcError(protocol.INTERNAL_ERROR, "internal error", message.INTERNAL_ERROR_DATA)
            else:
                self.calls[method.name, _outcome(result)] += 1
                return shown
            self.calls[method.name, outcome] += 1
            tell_of_failure(self._audit, call.peer, method.name, wire.code)
            raise wire

        return run
