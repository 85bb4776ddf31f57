"""A test must see what a client sent, and when, without sleeping and without a token in its output.

Rules:
- Values are shown only if their name is on the list of harmless ones; every other value is a fingerprint.
  A parameter nobody thought of is therefore masked.
- A request is on record from its arrival, and its status from before the first byte of the answer leaves, so
  that whoever has the answer finds the record complete.
- What is handed out is a frozen copy.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tokenward.sandbox.families import RefusedError
from tokenward.sandbox.wire import FORM_TYPE, JSON_TYPE, Request, fingerprint

LOG_LIMIT = 10_000  # requests remembered: a free-standing sandbox may run for days

_PLAIN_HEADERS = (
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "anthropic-workspace-id",
    "content-type",
    "user-agent",
    "x-app",
)
_PLAIN_FIELDS = frozenset(
    {
        "code_challenge_method",
        "client_id",
        "error",
        "expires_in",
        "grant_type",
        "max_tokens",
        "model",
        "redirect_uri",
        "response_type",
        "scope",
        "stream",
        "token_type_hint",
    }
)
_LISTED_WITHOUT_VALUE = frozenset(
    {"messages", "metadata", "system", "tools"}
)  # conversations are not ours to keep


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts since the start.

    `token_requests` counts every request to the token endpoint, faults included. `refreshes_granted` counts
    rotations performed, also those whose answer was lost; `grace_replays` the answers given a second time.
    `messages_rejected` counts 401s of the Messages API.
    """

    token_requests: int = 0
    logins: int = 0
    refreshes_granted: int = 0
    grace_replays: int = 0
    reuse_detected: int = 0
    invalid_grants: int = 0
    revocations: int = 0
    messages_ok: int = 0
    messages_rejected: int = 0


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request as it was seen.

    `headers` has the headers that matter, with credentials as fingerprints (`Bearer 1f2e3d4c`). `fields` has
    the parameters of address and body, with the values of all but harmless ones as fingerprints. `status` is
    None until the answer is ready, and stays None if the connection was closed without one. `at` is in Unix
    seconds.
    """

    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    fields: Mapping[str, str]
    status: int | None = None


class Journal:
    """The log and the counts; safe to use from many threads.

    Args:
        clock: the present, in Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._requests: deque[LoggedRequest] = deque(maxlen=LOG_LIMIT)
        self._statistics = Statistics()

    def count(self, name: str) -> None:
        """Add one to a count of `Statistics`."""
        with self._changed:
            self._statistics = replace(self._statistics, **{name: getattr(self._statistics, name) + 1})

    def statistics(self) -> Statistics:
        """The counts at this moment."""
        with self._changed:
            return self._statistics

    def requests(self) -> tuple[LoggedRequest, ...]:
        """The requests in the order of their arrival, at most `LOG_LIMIT`."""
        with self._changed:
            return tuple(self._requests)

    def arrived(self, request: Request) -> LoggedRequest:
        """Put a request on record."""
        record = LoggedRequest(
            self._clock(), request.method, request.path, _shown_headers(request), _shown_fields(request)
        )
        with self._changed:
            self._requests.append(record)
            self._changed.notify_all()
        return record

    def answered(self, record: LoggedRequest, status: int) -> None:
        """Complete a record with the status that is about to be sent."""
        with self._changed:
            for index in range(len(self._requests) - 1, -1, -1):
                if self._requests[index] is record:
                    self._requests[index] = replace(record, status=status)
                    break
            self._changed.notify_all()

    def wait_for_request(
        self, path: str, count: int = 1, timeout: float = 10.0, *, answered: bool = False
    ) -> tuple[LoggedRequest, ...]:
        """Wait until so many requests for a path have arrived since the start.

        Args:
            path: the path, without query.
            count: how many.
            timeout: seconds to wait at most.
            answered: count only those whose answer is ready.

        Returns:
            All such requests.

        Raises:
            TimeoutError: it did not come to that in time.
        """

        def matching() -> tuple[LoggedRequest, ...]:
            return tuple(
                each for each in self._requests if each.path == path and (each.status is not None or not answered)
            )

        with self._changed:
            if not self._changed.wait_for(lambda: len(matching()) >= count, timeout):
                seen = sorted({each.path for each in self._requests})
                raise TimeoutError(f"{len(matching())} of {count} requests for {path}; paths seen: {seen}")
            return matching()


def _shown_headers(request: Request) -> dict[str, str]:
    shown = {name: request.headers[name] for name in _PLAIN_HEADERS if name in request.headers}
    if authorization := request.headers.get("authorization"):
        scheme, _, value = authorization.partition(" ")
        # A header without a space is a credential that lost its scheme.
        shown["authorization"] = f"{scheme} {fingerprint(value.strip())}" if value else fingerprint(scheme)
    if "x-api-key" in request.headers:
        key = request.headers["x-api-key"]
        shown["x-api-key"] = fingerprint(key) if key else ""
    return shown


def _shown_fields(request: Request) -> dict[str, str]:
    try:
        fields = request.query_parameters()
        if request.media_type == FORM_TYPE:
            fields |= request.body_parameters()
        elif request.media_type == JSON_TYPE and request.body:
            members = request.json_object()
            fields |= {
                name: value if isinstance(value, str) else json.dumps(value) for name, value in members.items()
            }
    except RefusedError:
        return {"unreadable": str(len(request.body))}
    return {name: _shown(name, value) for name, value in fields.items()}


def _shown(name: str, value: str) -> str:
    if name in _LISTED_WITHOUT_VALUE:
        return ""
    return value if name in _PLAIN_FIELDS else fingerprint(value)
