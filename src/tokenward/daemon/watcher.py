"""Hints that a file of somebody else may have changed.

The problem: the kernel watches inodes and people mean names. A watched file that is replaced by a rename is
never heard of again, a directory removed and made anew is another one, a symlink's target changes elsewhere,
and an overflowing queue drops events without a word. So directories are watched instead of files; which ones
is worked out again at every event; all is watched anew at every beat; and after every gap each path is
announced.

Rules:
- The only importer of watchfiles, and only inside ``run``: importing it costs more than a start may wait.
- A callback is a hint and carries the path alone: whoever gets it looks at the file. It comes on the event
  loop's thread, often for nothing, and must not block.
- One ``awatch`` for everything: each holds a thread. Its stop event is set before its task is cancelled:
  the thread would not notice a cancellation.
- A watch that cannot be had (too many, no permission) is not fatal: the beat announces every path anyway.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import importlib
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

STEP_MILLISECONDS = 400
"""watchfiles looks for events once a step, and gives them out at the second look: 0.4 to 0.8 s after a rename. At
500 the worst was 0.995 s, too near to the second promised. To wake is nearly all that an idle daemon does, and it
costs the same whatever the thread then looks at."""
DEBOUNCE_MILLISECONDS = 100
"""Less than a step: a directory where something happens all the time must not put the second look off."""
BEAT_SECONDS = 60.0
"""Between two times that everything is watched anew and announced: a queue that overflowed is silent."""
_NO_RUST_TIMEOUT = 0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which directories to watch for which names.

    Args:
        paths: every path that it was made for, sorted. Nearly all are ten thousand in one directory, of which a
            table by name would have a name each.
        parents: the directories that the paths name, each once.
        names: the other names that matter, of what a link leads to or of a directory that is missing, and to which
            paths.
        directories: each directory once, by device and inode, under one of its names.
    """

    paths: list[str]
    parents: list[str]
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    directories: dict[tuple[int, int], str] = field(default_factory=dict)

    def is_directory(self, changed: str) -> bool:
        """Whether a changed path is a watched directory itself: made anew, it would be another one."""
        return changed in self.directories.values()

    def hears(self, changed: str) -> Iterable[str]:
        """The watched paths that a changed path may concern."""
        if self.is_directory(changed):
            return self.paths
        # By name alone: two directories can be one, and the kernel reports under either of its names.
        name = os.path.split(changed)[1]
        named = (os.path.join(parent, name) for parent in self.parents)  # noqa: PTH118 - as in _target
        return [*filter(self._has, named), *self.names.get(name, ())]

    def _has(self, path: str) -> bool:
        at = bisect.bisect_left(self.paths, path)
        return at < len(self.paths) and self.paths[at] == path


class Watcher:
    """Watches paths that may or may not exist, as files, behind symlinks, in directories that come and go.

    Args:
        on_change: told a watched path, as it was given to ``watch``, at which something may have changed.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self, on_change: Callable[[Path], None], *, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    ) -> None:
        self._on_change = on_change
        self._sleep = sleep
        self._paths: dict[str, None] = {}  # of ten thousand, a set is twice as large
        self._again: anyio.Event | None = None

    def watch(self, path: Path | str) -> None:
        """Begin to watch an absolute path; it is announced as soon as the watch stands."""
        place = os.fspath(path)  # text is kept as it is: a caller with ten thousand has it already
        if place not in self._paths:
            self._paths[place] = None
            self.beat()

    def unwatch(self, path: Path | str) -> None:
        """Stop watching a path; it is announced no more."""
        self._paths.pop(os.fspath(path), None)
        self.beat()

    def beat(self) -> None:
        """Watch everything anew, and announce every path once that stands.

        Whatever made the watch deaf, an overflow, a directory moved away, a retargeted symlink, ends here.
        """
        if self._again is not None:
            self._again.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled; started once what was asked for by then is watched and announced."""
        await anyio.to_thread.run_sync(importlib.import_module, "watchfiles")
        ready = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_watching, ready)
            try:
                await ready.wait()
                task_status.started()
                while True:
                    await self._sleep(BEAT_SECONDS)
                    self.beat()
            finally:
                # The thread looks at its stop event and not at a cancellation.
                self.beat()

    async def _keep_watching(self, ready: anyio.Event) -> None:
        while True:
            self._again = again = anyio.Event()
            plan = _planned(self._paths)
            async with anyio.create_task_group() as group:
                # Runs when this task first waits, which is when the kernel has been told what to report.
                group.start_soon(self._announce_all, ready)
                try:
                    await _listen(plan, again, self._announce)
                except (OSError, RuntimeError) as error:
                    # Too many watches, a directory that went between two looks: until the next beat it is deaf.
                    _log.warning("cannot watch for changes now: %s", type(error).__name__)
                await again.wait()

    async def _announce_all(self, ready: anyio.Event) -> None:
        self._announce(self._paths)
        ready.set()

    def _announce(self, paths: Iterable[str]) -> None:
        for path in sorted(path for path in paths if path in self._paths):
            try:
                self._on_change(Path(path))
            except Exception as error:  # noqa: BLE001 - one path's fault must not make the others unheard
                _log.error("a change could not be taken note of: %s", type(error).__name__)


async def _listen(plan: _Plan, again: anyio.Event, announce: Callable[[Iterable[str]], None]) -> None:
    """Announce what changes, until ``again`` is set: from outside, or because the plan no longer fits."""
    from watchfiles import awatch

    if not plan.directories:
        return
    events = awatch(
        *plan.directories.values(),
        watch_filter=lambda _, changed: bool(plan.hears(changed)),
        debounce=DEBOUNCE_MILLISECONDS,
        step=STEP_MILLISECONDS,
        stop_event=again,
        rust_timeout=_NO_RUST_TIMEOUT,
        recursive=False,
    )
    async with contextlib.aclosing(events):
        async for changes in events:
            changed = [path for _, path in changes]
            announce(set(itertools.chain.from_iterable(map(plan.hears, changed))))
            if any(map(plan.is_directory, changed)) or _planned(plan.paths) != plan:
                again.set()
                return


def _planned(paths: Iterable[str]) -> _Plan:
    """Where to watch for each path: in its directory, in its target's, or where the first of them would appear."""
    in_order = sorted(paths)  # so that a plan made again of the same paths is equal to the first
    plan = _Plan(in_order, list(dict.fromkeys(os.path.split(path)[0] for path in in_order)))
    nearest, resolved = functools.cache(_nearest), functools.cache(os.path.realpath)
    needed: dict[str, None] = {}
    for path in in_order:
        own_parent, own_name = os.path.split(path)
        is_plain = os.path.join(own_parent, own_name) == path  # noqa: PTH118 - as in _target; a doubled slash is not
        for place in {path, _target(path, resolved)}:
            parent, name = os.path.split(place)
            directory, missing = nearest(parent)
            needed[directory] = None
            heard_by = missing or name
            known = plan.names.get(heard_by, ())
            if not (is_plain and heard_by == own_name) and path not in known:
                plan.names[heard_by] = (*known, path)
    for directory in needed:
        with contextlib.suppress(OSError):
            status = Path(directory).stat()
            if os.access(directory, os.R_OK):  # else the kernel would refuse the whole set
                plan.directories.setdefault((status.st_dev, status.st_ino), directory)
    return plan


def _target(path: str, resolved: Callable[[str], str]) -> str:
    """What a path leads to. Most are no links and lie in few directories: those are resolved once for all."""
    if os.path.islink(path):  # noqa: PTH114 - a Path for each of ten thousand takes longer than the question
        return os.path.realpath(path)
    parent, name = os.path.split(path)
    return os.path.join(resolved(parent), name)  # noqa: PTH118 - as above


def _nearest(directory: str) -> tuple[str, str | None]:
    """A directory that is there: this one, or else the first above it and the name to look out for in it."""
    place, missing = Path(directory), None
    while not place.is_dir() and place != place.parent:
        place, missing = place.parent, place.name
    return str(place), missing
