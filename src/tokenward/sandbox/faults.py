"""A client is only as good as what it does when the server misbehaves, and servers seldom do so on demand.

A fault is one description of misbehaviour; its parts combine. It is queued for an endpoint and used up by
the next requests there.

Rules:
- What happens to one request is fixed in this order: wait `before`, close `before`, perform the request (unless
  a `status` answers in its place), wait `after`, close `after`, change the answer, deliver it.
- A request held by a fault waits for `release()` or for the end of the sandbox, and for nothing else. Tests
  wait for `reached` or `wait_held`, never for time.
- `release()` frees those who are held now; it is not remembered for those who come later.
"""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

ENDPOINTS = frozenset(
    {
        "api_key",
        "authorize",
        "device",
        "messages",
        "metadata",
        "models",
        "profile",
        "revoke",
        "roles",
        "token",
    }
)

Moment = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to misbehave. Fields left alone do nothing.

    Args:
        hold: wait for `release()` before the request is performed, or after it and before the answer.
        close: drop the connection before the request is performed (TCP reset), or after it (plain end, no
            answer).
        reset: with `close` after: a TCP reset instead of the plain end.
        status: answer with this HTTP status instead of the true answer.
        body: the body of that answer; a mapping goes out as JSON.
        performed: with `status`: the request is performed all the same, and only its answer is replaced.
        retry_after: value of the Retry-After header: seconds, or an HTTP-date as a string.
        headers: more headers of the answer.
        content_type: replaces the content type of the answer.
        omit: members removed from the true JSON answer. Without `refresh_token` there is no rotation either,
            as with servers that do not send one.
        replace: members set in the true JSON answer.
        truncate_at: the body ends after so many bytes, and Content-Length agrees.
        cut_at: the connection ends after so many bytes of the body, and Content-Length promised more.
        pause_per_byte: the body goes out byte by byte, so many seconds apart.
    """

    hold: Moment | None = None
    close: Moment | None = None
    reset: bool = False
    status: int | None = None
    body: str | Mapping[str, Any] = ""
    performed: bool = False
    retry_after: int | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    omit: tuple[str, ...] = ()
    replace: Mapping[str, Any] = field(default_factory=dict)
    truncate_at: int | None = None
    cut_at: int | None = None
    pause_per_byte: float | None = None

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Fault":
        """A fault from a JSON object whose members are the fields above.

        Raises:
            ValueError: a member that is no field.
        """
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(described) - known):
            raise ValueError(f"no such part of a fault: {', '.join(unknown)}")
        return cls(**{**described, "omit": tuple(described.get("omit", ()))})


HOLD_BEFORE = Fault(hold="before")
HOLD_AFTER = Fault(hold="after")
STALL = Fault(hold="before", close="before")
"""Accept the request and never answer it; `release()` ends it with a reset."""
CLOSE_BEFORE = Fault(close="before")
LOST_ANSWER = Fault(close="after")
"""The grant is performed and its answer is lost: the case in which a refresh token is spent unseen."""
RESET_ANSWER = Fault(close="after", reset=True)
"""As `LOST_ANSWER`, by a reset."""
CAPTIVE_PORTAL = Fault(
    status=200, content_type="text/html; charset=utf-8", body="<!doctype html><title>Log in to the network</title>"
)
EMPTY_400 = Fault(status=400)
WRONG_CONTENT_TYPE = Fault(content_type="text/plain")
TRUNCATED = Fault(truncate_at=25)
CUT_OFF = Fault(cut_at=25)
SLOW_DRIP = Fault(pause_per_byte=0.01)
NO_REFRESH_TOKEN = Fault(omit=("refresh_token",))
NO_EXPIRES_IN = Fault(omit=("expires_in",))

NAMED: Mapping[str, Fault] = {
    "hold_before": HOLD_BEFORE,
    "hold_after": HOLD_AFTER,
    "stall": STALL,
    "close_before": CLOSE_BEFORE,
    "lost_answer": LOST_ANSWER,
    "reset_answer": RESET_ANSWER,
    "captive_portal": CAPTIVE_PORTAL,
    "empty_400": EMPTY_400,
    "wrong_content_type": WRONG_CONTENT_TYPE,
    "truncated": TRUNCATED,
    "cut_off": CUT_OFF,
    "slow_drip": SLOW_DRIP,
    "no_refresh_token": NO_REFRESH_TOKEN,
    "no_expires_in": NO_EXPIRES_IN,
}


@dataclass(slots=True)
class _Queued:
    fault: Fault
    left: int | None


class Faults:
    """The faults that wait for requests, and the requests that wait for release; safe from many threads.

    `reached` is set while at least one request is held.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.ended = threading.Event()
        self._changed = threading.Condition()
        self._queues: dict[str, deque[_Queued]] = {}
        self._held = 0
        self._releases = 0

    def next(self, endpoint: str, fault: Fault, *, times: int | None = 1) -> None:
        """Queue a fault behind those already waiting at an endpoint.

        Args:
            endpoint: one of `ENDPOINTS`.
            fault: what to do.
            times: for how many requests; None until `clear()`.

        Raises:
            ValueError: no such endpoint, or fewer than one time.
        """
        if endpoint not in ENDPOINTS:
            raise ValueError(f"no endpoint {endpoint!r}; there are {', '.join(sorted(ENDPOINTS))}")
        if times is not None and times < 1:
            raise ValueError("a fault happens at least once")
        with self._changed:
            self._queues.setdefault(endpoint, deque()).append(_Queued(fault, times))

    def clear(self, endpoint: str | None = None) -> None:
        """Forget what is queued for one endpoint, or for all. Requests already held stay held."""
        with self._changed:
            if endpoint is None:
                self._queues.clear()
            else:
                self._queues.pop(endpoint, None)

    def take(self, endpoint: str) -> Fault | None:
        """The fault for the request that is being served at this endpoint, if there is one."""
        with self._changed:
            queue = self._queues.get(endpoint)
            if not queue:
                return None
            first = queue[0]
            if first.left is not None:
                first.left -= 1
                if first.left == 0:
                    queue.popleft()
            return first.fault

    def hold(self) -> None:
        """Wait here, as a request, for `release()` or the end of the sandbox."""
        with self._changed:
            self._held += 1
            turn = self._releases
            self.reached.set()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._releases != turn or self.ended.is_set())

    def release(self) -> int:
        """Let every request go that is held now, and say how many there were."""
        with self._changed:
            freed, self._held = self._held, 0
            self._releases += 1
            self.reached.clear()
            self._changed.notify_all()
            return freed

    def wait_held(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until at least so many requests are held at once.

        Args:
            count: how many.
            timeout: seconds to wait at most.

        Returns:
            Whether it came to that in time.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._held >= count, timeout)

    def end(self) -> None:
        """Let everybody go for good: the sandbox stops."""
        self.ended.set()
        self.release()
