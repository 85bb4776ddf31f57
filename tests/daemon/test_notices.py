"""A person is told by a program of theirs: with what happened, without a token, one at a time, and not again."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from daemon.keeping import PROFILE, Keeping, keeping, settled, turns
from tokenward.core.credential import Secret
from tokenward.core.grants import Condemned
from tokenward.core.notices import TABLE, Kind, Matter
from tokenward.core.serving import Resting
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.notices import Notices, argv_for
from tokenward.daemon.routing_state import STATE_NAME, RoutingState, Section

DAY_SECONDS = 86_400.0
MATTER = Matter(
    Kind.LOGIN_REQUIRED, "acme:me", "acme:me needs a login", "it was <b>revoked</b>", "tokenward login"
)


class Desk:
    """Somebody's desk: a household, and a program that tells what happens in it."""

    def __init__(self, household: Keeping) -> None:
        self.household = household
        self.keepers: dict[str, Keeper] = {}
        self.routing = RoutingState(household.directory / STATE_NAME)
        self.told: list[Mapping[str, str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.why: str | None = None
        self.locked: str | None = None
        self.held: anyio.Event | None = None
        self.notices = self.another()

    def another(self) -> Notices:
        """Notices over the same state, as after a restart."""
        made = Notices(
            self.keepers,
            self.routing,
            clock=self.household.clock,
            locked=lambda: self.locked,
            spawn=self.household.group.start_soon,
            platform="linux",
        )
        made.on_event, made.run = ["/bin/tell"], self._run
        return made

    async def _run(self, argv: Sequence[str], told: Mapping[str, str]) -> str | None:
        assert list(argv) == ["/bin/tell"]
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.told.append(told)
        if self.held is not None:
            await self.held.wait()
        self.at_once -= 1
        return self.why

    async def look(self, notices: Notices | None = None) -> list[str]:
        """Look, and say what was told by it."""
        before = len(self.told)
        (notices or self.notices).look()
        await turns()
        return [each["TOKENWARD_EVENT"] for each in self.told[before:]]

    async def dead(self) -> Keeper:
        """A keeper whose refresh token was condemned."""
        self.household.endpoint.next(Condemned("invalid_grant", "it was revoked"))
        keeper = await self.household.directly(self.household.credential(left=60.0))
        self.keepers[PROFILE.key] = keeper
        keeper.refresh_if_due()
        await settled(keeper)
        return keeper


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Desk]:
    """A desk for one test."""
    async with keeping(directory) as household:
        yield Desk(household)


async def test_a_dead_login_is_told_with_its_command(tmp_path: Path) -> None:
    """Whose, why and what to type; no variable holds a token."""
    async with desk(tmp_path) as at:
        keeper = await at.dead()
        assert await at.look() == ["login_required"]
        [told] = at.told
        assert told == {
            "TOKENWARD_EVENT": "login_required",
            "TOKENWARD_PROFILE": "acme:me",
            "TOKENWARD_SUMMARY": "acme:me needs a login",
            "TOKENWARD_DETAIL": "invalid_grant: it was revoked",
            "TOKENWARD_HINT": "tokenward login acme --profile acme:me",
        }
        credential = keeper.credential
        assert credential is not None
        assert isinstance(credential.refresh, Secret)
        assert not any(
            secret.reveal() in value
            for secret in (credential.access, credential.refresh)
            for value in told.values()
        )


async def test_nobody_is_told_twice_nor_after_a_restart(tmp_path: Path) -> None:
    """What was told is in the state; after the interval it is told again, by whoever runs then."""
    async with desk(tmp_path) as at:
        await at.dead()
        assert await at.look() == ["login_required"]
        assert await at.look() == []
        at.routing.write()
        at.routing = RoutingState(tmp_path / STATE_NAME)
        restarted = at.another()
        assert await at.look(restarted) == []
        again = TABLE[Kind.LOGIN_REQUIRED].again
        assert again is not None
        at.household.clock.advance(again.total_seconds())
        assert await at.look(restarted) == ["login_required"]


async def test_looking_writes_nothing_while_nothing_changes(tmp_path: Path) -> None:
    """A look comes with each beat, and must not wake the disk."""
    async with desk(tmp_path) as at:
        await at.dead()
        await at.look()
        at.routing.write()
        at.household.clock.advance(20.0)
        await at.look()
        assert not at.routing.dirty


async def test_what_is_forgotten_is_not_remembered(tmp_path: Path) -> None:
    """A namesake that is added later begins anew."""
    async with desk(tmp_path) as at:
        await at.dead()
        await at.look()
        at.keepers.clear()
        await at.look()
        at.routing.forget(PROFILE.key)
        await at.look()
        assert dict(at.routing.section(Section.NOTICES)) == {}


async def test_a_dead_login_is_told_at_once_and_the_rest_at_the_beat(tmp_path: Path) -> None:
    """A look at everybody with each rotation would cost more than the rotations: what has to last can wait."""
    async with desk(tmp_path) as at:
        at.household.hub.listen(at.notices.happened)
        at.locked = "the keyring is locked"
        await at.look()
        at.household.clock.advance(TABLE[Kind.STORE_LOCKED].lasting.total_seconds())
        at.household.hub.announce("rotated", profile=PROFILE.key)
        await turns()
        assert at.told == []
        await at.dead()
        await turns()
        assert [each["TOKENWARD_EVENT"] for each in at.told] == ["store_locked", "login_required"]


async def test_one_program_at_a_time(tmp_path: Path) -> None:
    """A second matter waits for the end of the first's program, and the next finds nobody at work."""
    async with desk(tmp_path) as at:
        at.held = anyio.Event()
        at.locked = "the keyring is locked"
        await at.look()
        at.household.clock.advance(TABLE[Kind.STORE_LOCKED].lasting.total_seconds())
        await at.look()
        await at.dead()
        await at.look()
        assert len(at.told) == 1
        at.held.set()
        await turns()
        assert [each["TOKENWARD_EVENT"] for each in at.told] == ["store_locked", "login_required"]
        at.household.clock.advance(DAY_SECONDS)
        assert await at.look() == ["store_locked", "login_required"]
        assert at.most_at_once == 1


async def test_a_profile_that_rests_is_no_matter(tmp_path: Path) -> None:
    """A person disabled it: nobody is told that it needs a login, until it is enabled again."""
    async with desk(tmp_path) as at:
        keeper = await at.dead()
        keeper.rest(Resting.DISABLED)
        assert await at.look() == []
        keeper.rest(None)
        assert await at.look() == ["login_required"]


async def test_what_is_over_leaves_the_state(tmp_path: Path) -> None:
    """A store that was unlocked long ago is not in the file any more."""
    async with desk(tmp_path) as at:
        at.locked = "the keyring is locked"
        await at.look()
        at.household.clock.advance(TABLE[Kind.STORE_LOCKED].lasting.total_seconds())
        assert await at.look() == ["store_locked"]
        at.locked = None
        await at.look()
        assert len(at.routing.section(Section.NOTICES)) == 1
        at.household.clock.advance(TABLE[Kind.STORE_LOCKED].remembered.total_seconds())
        await at.look()
        assert dict(at.routing.section(Section.NOTICES)) == {}


async def test_a_program_that_fails_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The matter counts as told; each failure is counted, and the same one is said once."""
    async with desk(tmp_path) as at:
        at.why = "it cannot be run: No such file or directory"
        at.locked = "the keyring is locked"
        await at.look()
        at.household.clock.advance(TABLE[Kind.STORE_LOCKED].lasting.total_seconds())
        await at.dead()
        await at.look()
        assert at.notices.failed == 2
    [line] = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert line.startswith(f"a notice could not be shown: /bin/tell: {at.why}; ")


async def test_without_a_command_the_log_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An end of a login that comes near has no event: the log warns of it, command or not."""
    caplog.set_level(logging.WARNING)
    async with desk(tmp_path) as at:
        at.notices.on_event = ()
        clock = at.household.clock
        credential = replace(
            at.household.credential(), login_ends_at=clock.now + TABLE[Kind.LOGIN_ENDING].lasting * 5
        )
        at.keepers[PROFILE.key] = await at.household.directly(credential)
        await at.look()
        clock.advance(TABLE[Kind.LOGIN_ENDING].lasting.total_seconds())
        assert await at.look() == []
        assert at.notices.told[Kind.LOGIN_ENDING] == 1
    assert "the login of acme:me ends within 3 days" in caplog.text
    assert "tokenward login acme" in caplog.text


class TestNotify:
    def test_on_linux(self) -> None:
        """Options end before the words, and what a server said is no markup."""
        argv = argv_for(["notify"], MATTER, platform="linux")
        assert argv[0] == "notify-send"
        assert argv[-3:] == [
            "--",
            "acme:me needs a login",
            "it was &lt;b&gt;revoked&lt;/b&gt;\ntokenward login",
        ]

    def test_on_macos(self) -> None:
        """The words are arguments of the script, and never part of it."""
        argv = argv_for(["notify"], MATTER, platform="darwin")
        assert argv[0] == "/usr/bin/osascript"
        assert argv[-2:] == ["acme:me needs a login", "it was <b>revoked</b>\ntokenward login"]
        assert not any("acme" in word for word in argv[:-2])

    def test_no_words_become_a_script_on_macos(self) -> None:
        """Quotes, backslashes and AppleScript of a hostile server arrive as they are, as text to be shown."""
        hostile = 'x" & (do shell script "id") & "\\" -e quit'
        matter = MATTER._replace(summary=hostile, detail=hostile, hint=hostile)
        argv = argv_for(["notify"], matter, platform="darwin")
        assert argv[:-2] == argv_for(["notify"], MATTER, platform="darwin")[:-2]
        assert argv[-2:] == [hostile, f"{hostile}\n{hostile}"]
        assert argv[1:-2:2] == ["-e"] * 3
        assert argv[2:-2:2] == [
            "on run argv",
            "display notification (item 2 of argv) with title (item 1 of argv)",
            "end run",
        ]

    def test_a_command_is_run_as_it_is(self) -> None:
        """What it is told is in variables, not in its arguments."""
        assert argv_for(["/bin/x", "a b"], MATTER, platform="linux") == ["/bin/x", "a b"]
