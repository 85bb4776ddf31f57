"""A sandbox in a process of its own must obey the test or the person who started it, and nobody else.

Rules:
- Every request needs the key from the start-up line, in the header `x-sandbox-admin`. A page in a browser
  cannot send it.
- Admin requests are not in the journal: it is about the clients.
- Each route is one call of `Sandbox`; nothing is decided here.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tokenward.sandbox.families import RefusedError
from tokenward.sandbox.faults import NAMED, Fault
from tokenward.sandbox.wire import NO_STORE, Reply, Request, json_reply, refusal_reply

if TYPE_CHECKING:
    from tokenward.sandbox.server import Sandbox

ADMIN_PREFIX = "/sandbox/"
ADMIN_HEADER = "x-sandbox-admin"
WAIT_SECONDS = 10.0  # for waits that name no timeout


class Admin:
    """The routes under `/sandbox/`.

    Args:
        sandbox: what they act upon.
    """

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._routes: dict[tuple[str, str], Callable[[Mapping[str, Any]], Any]] = {
            ("GET", "statistics"): self._statistics,
            ("GET", "requests"): lambda _asked: [asdict(each) for each in sandbox.requests],
            ("GET", "wait"): self._wait,
            ("GET", "held"): self._held,
            ("POST", "issue"): lambda asked: asdict(sandbox.issue(**asked)),
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): lambda asked: sandbox.faults.clear(**asked),
            ("POST", "release"): lambda _asked: {"released": sandbox.faults.release()},
            ("POST", "revoke"): lambda asked: {"known": sandbox.revoke(**asked)},
            ("POST", "api-keys"): lambda asked: sandbox.register_api_key(**asked),
            ("POST", "assertions"): lambda asked: sandbox.trust_assertion(**asked),
            ("POST", "devices"): lambda asked: {"known": sandbox.approve_device(**asked)},
        }

    def serve(self, request: Request) -> Reply:
        """Answer one admin request."""
        key = request.headers.get(ADMIN_HEADER, "")
        if not hmac.compare_digest(key.encode(), self._sandbox.admin_key.encode()):
            return json_reply({"error": "access_denied"}, 403, NO_STORE)
        act = self._routes.get((request.method, request.path.removeprefix(ADMIN_PREFIX)))
        if act is None:
            return json_reply({"error": "not_found"}, 404, NO_STORE)
        try:
            asked = request.json_object() if request.body else request.query_parameters()
            return json_reply(act(asked), headers=NO_STORE)
        except RefusedError as refusal:
            return refusal_reply(refusal)
        except TimeoutError as late:
            return json_reply({"error": "timeout", "error_description": str(late)}, 408, NO_STORE)
        except (TypeError, ValueError, KeyError) as wrong:
            return refusal_reply(RefusedError("invalid_request", str(wrong)))

    def _statistics(self, _asked: Mapping[str, Any]) -> dict[str, int]:
        return asdict(self._sandbox.statistics())

    def _wait(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        seen = self._sandbox.wait_for_request(
            asked["path"], int(asked.get("count", 1)), float(asked.get("timeout", WAIT_SECONDS))
        )
        return [asdict(each) for each in seen]

    def _held(self, asked: Mapping[str, Any]) -> dict[str, bool]:
        count, timeout = int(asked.get("count", 1)), float(asked.get("timeout", WAIT_SECONDS))
        if not self._sandbox.faults.wait_held(count, timeout):
            raise TimeoutError("nobody is held")
        return {"held": True}

    def _add_fault(self, asked: Mapping[str, Any]) -> dict[str, bool]:
        wanted = asked["fault"]
        fault = NAMED[wanted] if isinstance(wanted, str) else Fault.from_json(wanted)
        self._sandbox.faults.next(asked.get("endpoint", "token"), fault, times=asked.get("times", 1))
        return {"queued": True}
