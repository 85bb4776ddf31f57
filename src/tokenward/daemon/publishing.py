"""Published files: each holds what ``token.get`` would answer for its profile, or is not there.

The problem: a program that reads a file cannot tell an old token from a good one, and does not ask again. So the
file must follow each rotation, go when its token does, and never keep a refresh from happening.

Rules:
- What a file shall hold is looked up anew before each write, and a sink has one writer: no late write of an older
  value ever replaces a newer one. It is what the keeper holds, and so it is durable (design I2).
- It is withdrawn when its profile is logged out, forgotten, disabled or at its end, or needs a login and has no
  known end. A login that is dead is published to the end of its last access token, as it is served.
- A write that fails leaves what was there, is tried again, and stops nothing else; it is told once.
- At a stop valid files stay, so that a restart breaks no reader; at a start each is written anew or withdrawn,
  and so are the files of sinks that left the configuration meanwhile. A place that cannot be read at the start,
  as a locked store, is no news (design I5): the file stays until it can.
- Nothing here is a task but a write under way and a command under way, of which each sink has one at most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio
from anyio import to_thread

from tokenward.core import freshness
from tokenward.core.credential import to_unix_milliseconds
from tokenward.core.lifecycle import Phase
from tokenward.core.serving import Serve, Wish
from tokenward.daemon.event_hub import Happening
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.surroundings import Surroundings
from tokenward.errors import ConfigurationFault
from tokenward.ports import Published, Sink

if TYPE_CHECKING:
    from tokenward.daemon.sink_models import SinkResult

WRITING_THREADS = 4
"""Writes under way at once: one file system that hangs holds no other sink up."""

log = getLogger(__name__)

RunCommand = Callable[[Sequence[str], Mapping[str, str]], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Outlet:
    """A sink that is to be kept right.

    Args:
        name: its name in the configuration.
        format: what its file looks like.
        profile: the key of the profile that it publishes.
        sink: writes the file.
        mode: the file's permission bits, for people.
        margin: seconds before the end by which the next value must be there; 0 = the usual margin will do.
        on_change: the command that is run when the file has changed; empty = none.
        environ: the command's environment.
        made_of: equal for two that need not be told apart.
    """

    name: str
    format: Literal["token", "env", "template", "anthropic-profile"]
    profile: str
    sink: Sink
    mode: str
    margin: float = 0.0
    on_change: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    made_of: tuple[object, ...] = ()


@dataclass(slots=True)
class _Standing:
    """Where one sink stands.

    Args:
        outlet: the sink.
        settled: whether what its file holds is known.
        held: what the file holds; None = nothing of ours.
        failed_on: what could not be written or, where None, withdrawn; meaningless without failures.
        news: what its command has not been told yet.
    """

    outlet: Outlet
    settled: bool = False
    held: Published | None = None
    written_at: datetime | None = None
    busy: anyio.Event | None = None
    failures: int = 0
    failed_on: Published | None = None
    reason: str | None = None
    hint: str | None = None
    retry: bool = False
    news: dict[str, str] | None = None
    commanding: bool = False
    command_failure: str | None = None
    dropped: bool = False


class Publishing:
    """All sinks.

    Args:
        around: what keepers share; alarms, tasks and events are taken from here.
        keepers: every profile that is kept, by its key.
        base_url: the API's root for a keeper, where it is not the usual one.
        run_command: runs a command, and says why it failed.
        remove_leftovers: removes what was published at other paths than these; blocks.
    """

    def __init__(
        self,
        around: Surroundings,
        keepers: Mapping[str, Keeper],
        *,
        base_url: Callable[[Keeper], str | None],
        run_command: RunCommand,
        remove_leftovers: Callable[[Collection[Path]], Sequence[Path]],
    ) -> None:
        self._around = around
        self._keepers = keepers
        self._base_url = base_url
        self._run_command = run_command
        self._remove_leftovers = remove_leftovers
        self._standings: dict[str, _Standing] = {}
        self._writing = anyio.CapacityLimiter(WRITING_THREADS)
        self._changing = anyio.Lock()

    async def have(self, wanted: Sequence[Outlet]) -> None:
        """Publish exactly these; what another sink published is withdrawn, and its path free for a new one.

        Args:
            wanted: the sinks of the configuration in force.
        """
        async with self._changing:  # else an old sink's withdrawal could remove what its successor published
            await self._have(wanted)

    async def _have(self, wanted: Sequence[Outlet]) -> None:
        known = {outlet.name: outlet.made_of for outlet in wanted}
        for name, standing in list(self._standings.items()):
            if name not in known or known[name] != standing.outlet.made_of:
                await self._drop(standing)
        for outlet in wanted:
            self._standings.setdefault(outlet.name, _Standing(outlet))
        margins: dict[str, float] = {}
        for outlet in wanted:
            margins[outlet.profile] = max(outlet.margin, margins.get(outlet.profile, 0.0))
        self._around.least_margins = margins
        kept = {path for outlet in wanted for path in outlet.sink.paths}
        for path in await to_thread.run_sync(self._remove_leftovers, kept, limiter=self._writing):
            log.info("%s is published no longer, and was removed", path)
        self.look()

    async def _drop(self, standing: _Standing) -> None:
        standing.dropped = True
        del self._standings[standing.outlet.name]
        for key in _alarms(standing.outlet):
            self._around.alarm.cancel(key)
        if standing.busy is not None:
            await standing.busy.wait()
        try:
            await to_thread.run_sync(standing.outlet.sink.withdraw, limiter=self._writing)
        except (OSError, ConfigurationFault) as error:  # the record knows it: the next start tries again
            log.warning("the sink %s could not be withdrawn: %s", standing.outlet.name, _why(error)[0])

    def on_event(self, event: Happening) -> None:
        """Something happened to a profile; never blocks."""
        if event.profile is not None and event.type != "sink_failed":
            self.look(event.profile)

    def look(self, profile: str | None = None) -> None:
        """Compare what files hold with what they shall hold, and start the writes that follow; never blocks.

        Args:
            profile: only the sinks of this profile, by its key.
        """
        for standing in self._standings.values():
            concerned = profile in {None, standing.outlet.profile}
            if concerned and standing.busy is None and self._is_due(standing, self._wanted(standing.outlet)):
                standing.busy = anyio.Event()
                self._around.spawn(partial(self._bring, standing))

    def _wanted(self, outlet: Outlet) -> Published | None:
        """What the file shall hold now; None = it shall not be there."""
        keeper = self._keepers.get(outlet.profile)
        if keeper is None or keeper.resting is not None or (credential := keeper.credential) is None:
            return None
        if not isinstance(keeper.decide(Wish(min_valid=0.0, tried=True)), Serve):
            return None
        if keeper.phase is Phase.LOGIN_REQUIRED and credential.expires_at is None:
            return None
        return Published(
            profile=keeper.profile.id,
            provider=keeper.profile.provider,
            kind=credential.kind,
            token=credential.access,
            generation=credential.generation,
            expires_at=credential.expires_at,
            base_url=self._base_url(keeper),
            headers=keeper.profile.headers,
        )

    def _is_due(self, standing: _Standing, wanted: Published | None) -> bool:
        if standing.failures:
            return standing.retry or wanted != standing.failed_on
        if wanted is None and not standing.settled and self._unread(standing.outlet) is not None:
            return False
        return not standing.settled or wanted != standing.held

    def _unread(self, outlet: Outlet) -> str | None:
        """Why it is not known whether the profile has a token; None if it is known."""
        keeper = self._keepers.get(outlet.profile)
        if keeper is None or keeper.resting is not None or keeper.phase is not Phase.EMPTY:
            return None
        return keeper.lookout.trouble

    async def _bring(self, standing: _Standing) -> None:
        busy = standing.busy
        assert busy is not None  # noqa: S101 - set by whoever starts it
        try:
            while not standing.dropped:
                wanted = self._wanted(standing.outlet)
                if not self._is_due(standing, wanted):
                    break
                standing.retry = False
                await self._write(standing, wanted)
        finally:
            standing.busy = None
            busy.set()
        self._watch_end(standing)

    async def _write(self, standing: _Standing, wanted: Published | None) -> None:
        outlet = standing.outlet
        try:
            if wanted is None:
                changed = await to_thread.run_sync(outlet.sink.withdraw, limiter=self._writing)
            else:
                changed = await to_thread.run_sync(outlet.sink.publish, wanted, limiter=self._writing)
        except (OSError, ConfigurationFault) as error:
            self._failed(standing, wanted, *_why(error))
            return
        except Exception as error:  # noqa: BLE001 - one sink's defect must not end the daemon; its text could hold a secret
            self._failed(standing, wanted, f"a defect of tokenward ({type(error).__name__})", None)
            return
        if standing.failures:
            log.info("the sink %s is right again", outlet.name)
        standing.failures, standing.failed_on, standing.reason, standing.hint = 0, None, None, None
        standing.settled, standing.held = True, wanted
        standing.written_at = self._around.clock.wall() if changed else standing.written_at
        self._around.alarm.cancel(_alarms(outlet)[1])
        if changed and outlet.on_change:
            self._tell(standing, wanted)

    def _failed(self, standing: _Standing, wanted: Published | None, reason: str, hint: str | None) -> None:
        name = standing.outlet.name
        standing.failures += 1
        standing.failed_on, standing.reason, standing.hint = wanted, reason, hint
        delay = freshness.retry_delay(standing.failures, draw=self._around.entropy.fraction())
        moment = freshness.later(self._around.clock.wall(), delay)
        self._around.alarm.at(_alarms(standing.outlet)[1], moment, partial(self._retry, standing))
        if standing.failures == 1:
            log.warning("the sink %s could not be brought up to date, and is tried again: %s", name, reason)
            generation = wanted.generation if wanted is not None else None
            self._around.hub.announce(
                "sink_failed", profile=standing.outlet.profile, generation=generation, detail=f"{name}: {reason}"
            )

    def _retry(self, standing: _Standing) -> None:
        standing.retry = True
        self.look(standing.outlet.profile)

    def _watch_end(self, standing: _Standing) -> None:
        """Look again at the end of what is published: where no refresh came, it goes."""
        key = _alarms(standing.outlet)[0]
        if standing.dropped or standing.held is None or standing.held.expires_at is None:
            self._around.alarm.cancel(key)
            return
        again = partial(self.look, standing.outlet.profile)
        if standing.held.expires_at > self._around.clock.wall():
            self._around.alarm.at(key, standing.held.expires_at, again)

    # The command

    def _tell(self, standing: _Standing, now: Published | None) -> None:
        outlet = standing.outlet
        standing.news = {
            "TOKENWARD_SINK": outlet.name,
            "TOKENWARD_EVENT": "withdrawn" if now is None else "published",
            "TOKENWARD_PROFILE": outlet.profile,
            "TOKENWARD_PATH": str(outlet.sink.paths[-1]),
            "TOKENWARD_GENERATION": "" if now is None else now.generation,
        }
        if not standing.commanding:
            standing.commanding = True
            self._around.spawn(partial(self._command, standing))

    async def _command(self, standing: _Standing) -> None:
        """Tell what is new, one run after the other; what came meanwhile is told once, as it is then."""
        outlet = standing.outlet
        try:
            while (news := standing.news) is not None:
                standing.news = None
                failure = await self._run_command(outlet.on_change, {**outlet.environ, **news})
                standing.command_failure = failure
                if failure is not None:
                    log.warning("the on_change command of the sink %s failed: %s", outlet.name, failure)
        finally:
            standing.commanding = False

    # What people see

    def shown(self) -> list[SinkResult]:
        """Every sink, sorted by name."""
        return [self._shown(standing) for _, standing in sorted(self._standings.items())]

    def _shown(self, standing: _Standing) -> SinkResult:
        from tokenward.daemon.sink_models import SinkResult  # only who asks needs it

        outlet, held = standing.outlet, standing.held
        return SinkResult(
            sink=outlet.name,
            format=outlet.format,
            profile=outlet.profile,
            paths=[str(path) for path in outlet.sink.paths],
            mode=outlet.mode,
            state=_state(standing),
            generation=None if held is None else held.generation,
            expires_at_ms=_milliseconds(None if held is None else held.expires_at),
            written_at_ms=_milliseconds(standing.written_at),
            reason=standing.reason or self._absence(standing),
            hint=standing.hint,
            command_failure=standing.command_failure,
        )

    def _absence(self, standing: _Standing) -> str | None:
        outlet = standing.outlet
        if standing.held is not None:
            return None
        if not standing.settled:
            return self._unread(outlet)
        keeper = self._keepers.get(outlet.profile)
        if keeper is None or keeper.is_vacant():
            return f"there is no profile {outlet.profile}"
        if keeper.resting is not None:
            return f"{outlet.profile} is {keeper.resting.value}"
        return f"{outlet.profile} has no valid token now"

    def troubles(self) -> list[str]:
        """One line for each sink that is not as it should be, for ``status``."""
        return [
            f"the sink {standing.outlet.name} is not up to date: {standing.reason}"
            for _, standing in sorted(self._standings.items())
            if standing.failures
        ]


def _state(standing: _Standing) -> Literal["published", "withdrawn", "failing", "waiting"]:
    if standing.failures:
        return "failing"
    if not standing.settled:
        return "waiting"
    return "withdrawn" if standing.held is None else "published"


def _alarms(outlet: Outlet) -> tuple[str, str]:
    """The keys of the alarms for the end of what is published, and for another try."""
    return f"sink-end:{outlet.name}", f"sink-retry:{outlet.name}"


def _why(error: OSError | ConfigurationFault) -> tuple[str, str | None]:
    if isinstance(error, ConfigurationFault):
        return error.cause, error.hint
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or type(error).__name__}", None


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else to_unix_milliseconds(moment)
