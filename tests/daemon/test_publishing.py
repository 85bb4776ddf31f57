"""Whether published files say what `token.get` would answer: rotations, ends, failures, commands, reloads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest

from daemon.keeping import PROFILE, Keeping, settled
from tokenward.core.lifecycle import Phase
from tokenward.core.serving import Resting
from tokenward.daemon import timetable
from tokenward.daemon.event_hub import Happening
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.publishing import Outlet, Publishing
from tokenward.daemon.sink_models import SinkResult
from tokenward.ports import Published, Sink

pytestmark = pytest.mark.anyio
PATIENCE = 20.0


@dataclass
class FakeSink:
    """A file in memory (`ports.Sink`)."""

    held: Published | None = None
    error: Exception | None = None
    seen: list[str | None] = field(default_factory=list)
    paths: Sequence[Path] = (Path("/published/token"),)

    def publish(self, published: Published) -> bool:
        """Keep it, or fail."""
        if self.error is not None:
            raise self.error
        changed, self.held = self.held != published, published
        self.seen.append(published.generation)
        return changed

    def withdraw(self) -> bool:
        """Let it go, or fail."""
        if self.error is not None:
            raise self.error
        changed, self.held = self.held is not None, None
        self.seen.append(None)
        return changed


class Publisher:
    """A keeper, and one sink of its profile."""

    def __init__(self, keeping: Keeping) -> None:
        self.keeping = keeping
        self.sink = FakeSink()
        self.keepers: dict[str, Keeper] = {}
        self.commands: list[Mapping[str, str]] = []
        self.command_may_end = anyio.Event()
        self.command_may_end.set()
        self.running = 0
        self.kept: Collection[Path] = ()
        self.events: list[Happening] = []
        self.publishing = Publishing(
            keeping.around,
            self.keepers,
            base_url=lambda _: None,
            run_command=self.run_command,
            remove_leftovers=self.remove_leftovers,
        )
        keeping.hub.listen(lambda event, _: self.publishing.on_event(event))
        keeping.hub.listen(lambda event, _: self.events.append(event))

    async def run_command(self, _argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
        """A command that ends when the test says so, and fails."""
        assert not self.running, "two commands of one sink at the same time"
        self.running += 1
        self.commands.append(environ)
        await self.command_may_end.wait()
        self.running -= 1
        return "it ended with status 3"

    def remove_leftovers(self, kept: Collection[Path]) -> Sequence[Path]:
        """Nothing was left."""
        self.kept = kept
        return ()

    def outlet(self, sink: Sink | None = None, *, margin: float = 0.0, made_of: str = "") -> Outlet:
        """The sink, as the configuration has it."""
        return Outlet(
            "sdk",
            "token",
            PROFILE.key,
            sink or self.sink,
            "0600",
            margin,
            ("reload",),
            {"PATH": "/bin"},
            (made_of,),
        )

    async def keep(self, *, left: float = 3000.0) -> Keeper:
        """Keep a login, and publish it."""
        keeper = await self.keeping.directly(self.keeping.credential(left=left))
        self.keepers[PROFILE.key] = keeper
        await self.publishing.have([self.outlet()])
        await self.rest()
        return keeper

    async def rest(self) -> None:
        """Wait until nothing is being written."""
        with anyio.fail_after(PATIENCE):
            while busy := [each.busy for each in self.publishing._standings.values() if each.busy is not None]:
                await busy[0].wait()
            await anyio.wait_all_tasks_blocked()

    def is_there(self, sink: FakeSink | None = None) -> bool:
        """Whether a sink, ours if none is named, has published something."""
        return (sink or self.sink).held is not None

    def shown(self) -> SinkResult:
        """The sink, as people see it."""
        (shown,) = self.publishing.shown()
        return shown

    def failures(self) -> list[str]:
        """What subscribers were told of failures."""
        return [event.detail for event in self.events if event.type == "sink_failed"]


@asynccontextmanager
async def publisher(directory: Path) -> AsyncIterator[Publisher]:
    """One sink with a task group, which is cancelled at the end."""
    async with anyio.create_task_group() as group:
        yield Publisher(Keeping(directory, group))
        group.cancel_scope.cancel()


async def test_a_rotation_is_published_when_it_is_durable(tmp_path: Path) -> None:
    """The first value, then the next; at each write the place holds what is written (design I2)."""
    async with publisher(tmp_path) as at:
        keeper = await at.keep()
        first = keeper.credential
        assert first is not None
        assert at.sink.held is not None
        assert at.sink.held.token == first.access
        await keeper.refresh_by_hand()
        await at.rest()
        assert keeper.credential is not None
        assert at.sink.seen == [first.generation, keeper.credential.generation]
        assert at.keeping.stored().access == at.sink.held.token
        assert at.shown().state == "published"


async def test_what_lies_in_the_sink_holds_no_refresh_token(tmp_path: Path) -> None:
    """A sink is given the access token alone (design I9)."""
    async with publisher(tmp_path) as at:
        keeper = await at.keep()
        assert keeper.credential is not None
        assert keeper.credential.refresh is not None
        held = at.sink.held
        assert held is not None
        assert keeper.credential.refresh not in [getattr(held, name) for name in Published.__slots__]


async def test_late_news_never_brings_an_older_value(tmp_path: Path) -> None:
    """Values that come while one is being written are skipped but for the last, which is written last."""
    async with publisher(tmp_path) as at:
        keeper = await at.keep()
        generations = []
        for number in (1, 2, 3):
            at.keeping.place.overwrite(at.keeping.credential(number))
            await keeper.reconcile()
            assert keeper.credential is not None
            generations.append(keeper.credential.generation)
        await at.rest()
        written = [each for each in at.sink.seen if each in generations]
        assert written == sorted(written, key=generations.index)
        assert at.sink.seen[-1] == generations[-1]


async def test_it_goes_at_its_end_and_comes_back(tmp_path: Path) -> None:
    """No refresh came: an expired token is not left lying there; a new one is published again."""
    async with publisher(tmp_path) as at:
        keeper = await at.keep(left=3000.0)
        keeper.refresher = None
        timetable.reschedule(keeper)
        at.keeping.alarm.advance(2999)
        await at.rest()
        assert at.is_there()
        at.keeping.alarm.advance(2)
        await at.rest()
        assert not at.is_there()
        assert (at.shown().state, at.shown().reason) == ("withdrawn", "acme:me has no valid token now")
        at.keeping.place.overwrite(at.keeping.credential(7))
        await keeper.reconcile()
        await at.rest()
        assert at.is_there()


async def test_a_dead_login_is_published_to_its_end(tmp_path: Path) -> None:
    """As it is served; what has no known end goes at once."""
    async with publisher(tmp_path) as at:
        keeper = await at.keep()
        keeper.phase = Phase.LOGIN_REQUIRED
        at.publishing.look()
        await at.rest()
        assert at.is_there()
        assert keeper.held is not None
        keeper.held = replace(
            keeper.held, credential=replace(keeper.held.credential, expires_at=None), boot_end=None
        )
        at.publishing.look()
        await at.rest()
        assert not at.is_there()


@pytest.mark.parametrize("how", ["disabled", "forgotten", "logged out", "no longer kept"])
async def test_it_is_withdrawn(tmp_path: Path, how: str) -> None:
    """When nobody keeps it valid any more."""
    async with publisher(tmp_path) as at:
        keeper = await at.keep()
        if how == "disabled":
            keeper.rest(Resting.DISABLED)
            at.publishing.look()
        elif how == "forgotten":
            await keeper.forget()
        elif how == "logged out":
            at.keeping.place.blank(login_ended=True)
            await keeper.reconcile()
        else:
            del at.keepers[PROFILE.key]
            at.publishing.look()
        await at.rest()
        assert not at.is_there()
        assert at.shown().state == "withdrawn"
        assert PROFILE.id in (at.shown().reason or "")


async def test_a_failed_write_is_tried_again_and_told_once(tmp_path: Path) -> None:
    """The refresh goes on, the old file stays, status says why, and the next value is tried at once."""
    async with publisher(tmp_path) as at:
        keeper = await at.keep()
        before = at.sink.held
        at.sink.error = OSError(28, "No space left on device", "/published/token")
        await keeper.refresh_by_hand()
        await at.rest()
        assert keeper.phase is Phase.READY
        assert at.sink.held == before
        assert at.shown().state == "failing"
        assert at.shown().reason == "/published/token: No space left on device"
        assert at.publishing.troubles() == [f"the sink sdk is not up to date: {at.shown().reason}"]
        at.publishing.look()
        await at.rest()
        for _ in range(3):
            at.keeping.alarm.advance(400)
            await at.rest()
        assert at.failures() == ["sdk: /published/token: No space left on device"]
        at.sink.error = None
        at.keeping.alarm.advance(400)
        await at.rest()
        await settled(keeper)
        assert keeper.credential is not None
        assert at.sink.held is not None
        assert at.sink.held.generation == keeper.credential.generation
        assert at.publishing.troubles() == []


async def test_what_need_not_be_written_any_more_is_no_failure(tmp_path: Path) -> None:
    """The profile was disabled before its first file could be written: there is nothing left to complain of."""
    async with publisher(tmp_path) as at:
        await at.publishing.have([at.outlet()])
        await at.rest()
        at.keepers[PROFILE.key] = keeper = await at.keeping.directly(at.keeping.credential())
        at.sink.error = OSError(28, "No space left on device")
        at.publishing.look()
        await at.rest()
        assert at.shown().state == "failing"
        at.sink.error = None
        keeper.rest(Resting.DISABLED)
        at.publishing.look()
        await at.rest()
        assert (at.shown().state, at.publishing.troubles()) == ("withdrawn", [])


async def test_a_place_that_cannot_be_read_at_the_start_leaves_the_file(tmp_path: Path) -> None:
    """A locked store is no news (design I5): the file goes or is written when it can be read."""
    async with publisher(tmp_path) as at:
        at.keeping.place.tear("locked")
        at.keepers[PROFILE.key] = keeper = at.keeping.keeper(at.keeping.direct())
        await keeper.reconcile()
        await at.publishing.have([at.outlet()])
        await at.rest()
        assert (at.sink.seen, at.shown().state) == ([], "waiting")
        assert "locked" in (at.shown().reason or "")
        at.keeping.place.overwrite(at.keeping.credential())
        await keeper.reconcile()
        await at.rest()
        assert at.is_there()
        at.keeping.place.tear("locked")
        keeper.rest(Resting.DISABLED)
        at.publishing.look()
        await at.rest()
        assert not at.is_there()


async def test_a_defect_of_one_sink_ends_nothing(tmp_path: Path) -> None:
    """What nobody foresaw is a failure like others; its text, which could hold a secret, is shown nowhere."""
    async with publisher(tmp_path) as at:
        at.sink.error = UnicodeEncodeError("utf-8", "sk-secret", 0, 1, "surrogates not allowed")
        await at.keep()
        assert at.shown().reason == "a defect of tokenward (UnicodeEncodeError)"
        at.sink.error = None
        at.keeping.alarm.advance(400)
        await at.rest()
        assert at.is_there()


async def test_between_two_tries_nothing_is_written(tmp_path: Path) -> None:
    """News of the profile that change nothing do not make a full disk busy; a new value does try."""
    async with publisher(tmp_path) as at:
        keeper = await at.keep()
        at.sink.error = OSError(28, "No space left on device")
        await keeper.refresh_by_hand()
        await at.rest()
        at.sink.error = None
        at.publishing.look()
        await at.rest()
        assert at.shown().state == "failing"
        await keeper.refresh_by_hand()
        await at.rest()
        assert at.shown().state == "published"


async def test_the_command_hears_of_each_change_and_of_no_token(tmp_path: Path) -> None:
    """Never two at a time; what came meanwhile is told once; its failure is shown and stops nothing."""
    async with publisher(tmp_path) as at:
        at.command_may_end = anyio.Event()
        keeper = await at.keep()
        for _ in range(2):
            await keeper.refresh_by_hand()
            await at.rest()
        assert len(at.commands) == 1
        at.command_may_end.set()
        await at.rest()
        assert keeper.credential is not None
        assert [each["TOKENWARD_EVENT"] for each in at.commands] == ["published"] * 2
        assert at.commands[-1] == {
            "PATH": "/bin",
            "TOKENWARD_SINK": "sdk",
            "TOKENWARD_EVENT": "published",
            "TOKENWARD_PROFILE": "acme:me",
            "TOKENWARD_PATH": "/published/token",
            "TOKENWARD_GENERATION": keeper.credential.generation,
        }
        assert at.shown().command_failure == "it ended with status 3"
        at.publishing.look()
        await at.rest()
        assert len(at.commands) == 2, "nothing changed"


async def test_a_file_that_is_right_at_the_start_wakes_no_command(tmp_path: Path) -> None:
    """After a restart it says what it shall say already, and its reader need not be told."""
    async with publisher(tmp_path) as at:
        await at.keep()
        again = Publisher(at.keeping)
        again.sink, again.keepers = at.sink, at.keepers
        again.publishing._keepers = at.keepers
        await again.publishing.have([again.outlet()])
        await again.rest()
        assert (again.shown().state, again.commands) == ("published", [])


async def test_a_reload_withdraws_what_left_and_moves_what_changed(tmp_path: Path) -> None:
    """A sink that stays goes on undisturbed; one that leaves takes its file along."""
    async with publisher(tmp_path) as at:
        await at.keep()
        await at.publishing.have([at.outlet()])
        await at.rest()
        assert len(at.sink.seen) == 1
        moved = FakeSink(paths=(Path("/elsewhere"),))
        await at.publishing.have([at.outlet(moved, made_of="other path")])
        await at.rest()
        assert not at.is_there()
        assert at.is_there(moved)
        assert set(at.kept) == {Path("/elsewhere")}
        await at.publishing.have([])
        assert not at.is_there(moved)
        assert at.publishing.shown() == []


async def test_a_sink_raises_the_margin_of_its_profile_alone(tmp_path: Path) -> None:
    """150 s before the end a refresh is due; without the sink it is 90 again."""
    async with publisher(tmp_path) as at:
        keeper = await at.keep(left=3000.0)
        starts = at.keeping.clock.now
        await at.publishing.have([at.outlet(margin=150.0)])
        keeper.on_alarm()
        due = at.keeping.alarm.when(PROFILE.key)
        assert due is not None
        assert 2850 - (due - starts).total_seconds() == pytest.approx(0)
        assert at.keeping.around.timing_of("acme:other").margin == 90
        await at.publishing.have([])
        keeper.on_alarm()
        due = at.keeping.alarm.when(PROFILE.key)
        assert due is not None
        assert 2910 - (due - starts).total_seconds() == pytest.approx(0)
