"""When the routing state is written: soon after it changed, seldom while it changes all the time, and at stop.

The problem: what each request changes cannot be synced with each request, must not be lost for long, and a full
disk must cost neither the service nor what is known.

Rules (design section 5): at most one write every ``FLUSH_SECONDS``, in a worker thread. A write that failed is
said once, tried again, and said again when it succeeds; memory keeps everything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from anyio import CapacityLimiter, to_thread

from tokenward.daemon.routing_state import RoutingState
from tokenward.daemon.scheduler import Alarm
from tokenward.ports import Clock

FLUSH_SECONDS = 5.0
"""Between the first change and the write that takes it and all others since to the disk."""
RETRY_SECONDS = 30.0
"""After a write that failed: a disk that is full stays so for a while, and memory keeps everything."""
ALARM = "routing-state"

log = logging.getLogger(__name__)


class StateFlush:
    """Writes a routing state whenever it is time.

    Args:
        state: what is written; this becomes the one who hears of its changes.
        clock: the machine's clocks.
        alarm: says when it is time.
        spawn: starts a task.
        writing: the worker threads that write.
    """

    def __init__(
        self,
        state: RoutingState,
        *,
        clock: Clock,
        alarm: Alarm,
        spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], object],
        writing: CapacityLimiter,
    ) -> None:
        self._state = state
        self._clock = clock
        self._alarm = alarm
        self._spawn = spawn
        self._writing = writing
        self._waiting = False
        self._failing = False
        state.changed = self._changed

    def _changed(self) -> None:
        if not self._waiting:
            self._wait(FLUSH_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._waiting = True
        self._alarm.at(ALARM, self._clock.wall() + timedelta(seconds=seconds), self.on_alarm)

    def on_alarm(self) -> None:
        """The alarm rang, or the clock stepped, so that it may never ring: write what there is to write."""
        self._state.gather()
        self._waiting = False
        if self._state.dirty:
            self._spawn(self.flush)

    async def flush(self) -> None:
        """Write now what the file does not hold yet; never raises for what the disk or a value refuses."""
        self._state.gather()
        try:
            await to_thread.run_sync(self._state.write, limiter=self._writing)
        except (OSError, TypeError, ValueError) as error:
            if not self._failing:
                reason = getattr(error, "strerror", None) or type(error).__name__
                log.warning("%s could not be written (%s), and is tried again", self._state.path, reason)
            self._failing = True
            self._wait(RETRY_SECONDS)
        else:
            if self._failing:
                log.info("%s is written again", self._state.path)
            self._failing = False
