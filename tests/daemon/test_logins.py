"""A login is held by name, ends by itself, and what it brings is stored whoever hangs up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from daemon.keeping import Keeping
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.grants import Unavailable
from tokenward.core.key_check import KeyCheck
from tokenward.core.login import LoginMethod, LoginTerms, NotOurs, Refused
from tokenward.core.login_answers import LoggedIn, Wait
from tokenward.core.provider import CLIENT_KEY_UNUSABLE
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.logins import LOGIN_SECONDS, MAX_LOGINS, Logins, Needs
from tokenward.daemon.profile_models import ProfileResult
from tokenward.errors import (
    CallTimeout,
    ConfigurationFault,
    InvalidParams,
    LoginRequired,
    ProfileUnavailable,
    RefreshFailed,
)

LOGIN = Credential(Kind.OAUTH, Secret("at"), refresh=Secret("rt"))
KEY = Credential(Kind.API_KEY, Secret("key"))
TERMS = LoginTerms()


@dataclass
class ScriptedLogin:
    """A login that goes as a test says."""

    outcome: LoggedIn | Wait | Refused | Unavailable
    expires_in: float | None = None
    url: str = "https://a.test/"
    user_code: str | None = None
    answered: bool = True
    closed: int = 0
    redeemed: int = 0
    asked: anyio.Event = field(default_factory=anyio.Event)
    release: anyio.Event = field(default_factory=anyio.Event)

    async def ready(self, pasted: str | None, *, patience: float) -> bool | Refused | NotOurs:
        """As the test says; a text that begins with "wrong" is not ours."""
        if pasted is not None and pasted.startswith("wrong"):
            return NotOurs("the state is another one")
        if pasted == "no":
            return Refused("access_denied")
        return self.answered

    async def redeem(self) -> LoggedIn | Wait | Refused | Unavailable:
        """Waits for the test."""
        self.redeemed += 1
        self.asked.set()
        await self.release.wait()
        return self.outcome

    async def aclose(self) -> None:
        """Counted."""
        self.closed += 1


@dataclass
class Scene:
    """Logins, and everything around them."""

    keeping: Keeping
    begun: list[ScriptedLogin | Refused | Unavailable] = field(default_factory=list)
    stored: dict[str, Credential] = field(default_factory=dict)
    made: Credential | Refused | Unavailable = KEY
    title: str = "Acme"
    unready: Exception | None = None
    shared: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.logins = Logins(
            Needs(
                around=self.keeping.around,
                server=lambda _: self,
                stores=lambda profile: profile != "acme:foreign",
                ready=self.ready,
                keep=self.keep,
                keeper=lambda *_: cast("Keeper", None),
                forget=self.forget,
            )
        )

    async def begin(self, method: LoginMethod, terms: LoginTerms) -> ScriptedLogin | Refused | Unavailable:
        """The next of the script."""
        return self.begun.pop(0)

    async def create_api_key(self, login: Credential) -> Credential | Refused | Unavailable:
        """As the test says."""
        return self.made

    async def revoke(self, credential: Credential) -> Refused | Unavailable | None:
        """Done."""
        return None

    async def check_key(self, credential: Credential, *, model: str | None = None) -> KeyCheck:
        """Refused."""
        assert model is None, "a key is checked by what costs nothing"
        return KeyCheck("refused", "by name")

    async def ready(self, profile: str | None, /, *, shared: bool) -> None:
        """Refused as often as the test says."""
        if shared and self.unready is not None:
            raise self.unready

    async def keep(self, profile: str, credential: Credential, /, *, shared: bool) -> ProfileResult:
        """Stored."""
        self.stored[profile] = credential
        self.shared.append(shared)
        return cast("ProfileResult", profile)

    async def forget(self, profile: str, agent: str) -> ProfileResult:
        """Nothing happens."""
        return cast("ProfileResult", profile)

    async def started(
        self, outcome: Any, *, method: LoginMethod = "oauth", profile: str | None = None, **more: Any
    ) -> tuple[ScriptedLogin, str]:
        """A login under way, whose server answers at once unless it is told to wait."""
        login = ScriptedLogin(outcome, **more)
        login.release.set()
        self.begun.append(login)
        return login, (await self.logins.start("acme", method, profile, terms=TERMS)).login


async def test_a_login_is_stored_under_its_account_and_is_over(tmp_path: Path) -> None:
    """The account's name, the one that was chosen, or default; a second completion finds nothing."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        for account, profile, expected in (
            ("me@example.com", None, "acme:me@example.com"),
            (None, None, "acme:default"),
            ("me@example.com", "acme:work", "acme:work"),
        ):
            login, name = await scene.started(LoggedIn(LOGIN, account), profile=profile)
            await scene.logins.complete(name, None, patience=1)
            assert scene.stored.pop(expected) is LOGIN
            assert login.closed == 1
            with pytest.raises(LoginRequired):
                await scene.logins.complete(name, None, patience=1)


async def test_a_login_is_the_agents_who_asked(tmp_path: Path) -> None:
    """It is stored under that agent's key, and it is that agent's profile that must be ours to write."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        for profile, expected in ((None, "ci/acme:me@x.com"), ("acme:foreign", "ci/acme:foreign")):
            login = ScriptedLogin(LoggedIn(LOGIN, "me@x.com"))
            login.release.set()
            scene.begun.append(login)
            started = await scene.logins.start("acme", "oauth", profile, terms=TERMS, agent="ci")
            await scene.logins.complete(started.login, None, patience=1)
            assert scene.stored.pop(expected) is LOGIN
        with pytest.raises(ProfileUnavailable):  # main's profile of that name is another program's
            await scene.started(LoggedIn(LOGIN, None), profile="acme:foreign")


async def test_a_login_is_shared_only_where_that_was_asked_and_can_be(tmp_path: Path) -> None:
    """Whether it can be shared is found out before a person is sent to a browser."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        for shared in (False, True):
            login = ScriptedLogin(LoggedIn(LOGIN, None))
            login.release.set()
            scene.begun.append(login)
            started = await scene.logins.start("acme", "oauth", None, terms=TERMS, shared=shared)
            await scene.logins.complete(started.login, None, patience=1)
        assert scene.shared == [False, True]
        scene.unready = ConfigurationFault("nothing is shared here", hint="")
        with pytest.raises(ConfigurationFault, match="nothing is shared"):
            await scene.logins.start("acme", "oauth", None, terms=TERMS, shared=True)


async def test_a_client_that_cannot_sign_is_not_told_to_register(tmp_path: Path) -> None:
    """What is wrong is its key, so the hint is to mend that."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        scene.begun.append(Refused(CLIENT_KEY_UNUSABLE, "the client key /k.pem: No such file"))
        with pytest.raises(ConfigurationFault, match=r"/k\.pem") as refused:
            await scene.logins.start("acme", "oauth", None, terms=TERMS)
        assert "mend that" in refused.value.hint
        scene.begun.append(Refused("no client_id", "none is configured"))
        with pytest.raises(ConfigurationFault) as unregistered:
            await scene.logins.start("acme", "oauth", None, terms=TERMS)
        assert "register a client" in unregistered.value.hint


async def test_whoever_hangs_up_the_tokens_are_stored(tmp_path: Path) -> None:
    """A caller that is cancelled while the server answers loses nothing of what it grants."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        login, name = await scene.started(LoggedIn(LOGIN, None))
        login.release = anyio.Event()
        async with anyio.create_task_group() as caller:
            caller.start_soon(lambda: scene.logins.complete(name, None, patience=1))
            await login.asked.wait()
            caller.cancel_scope.cancel()
            login.release.set()
        assert scene.stored == {"acme:default": LOGIN}


async def test_what_is_not_ours_changes_nothing(tmp_path: Path) -> None:
    """The login waits on, and nobody was asked; the right answer then completes it."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        login, name = await scene.started(LoggedIn(LOGIN, None))
        with pytest.raises(InvalidParams, match="another"):
            await scene.logins.complete(name, "wrong-secret", patience=1)
        assert login.redeemed == 0
        login.answered = False
        with pytest.raises(CallTimeout):
            await scene.logins.complete(name, None, patience=0)
        login.answered = True
        await scene.logins.complete(name, "right", patience=1)
        assert list(scene.stored) == ["acme:default"]


@pytest.mark.parametrize(
    ("outcome", "pasted", "error"),
    [
        (Refused("invalid_grant", "burnt"), None, LoginRequired),
        (Unavailable("no answer"), None, RefreshFailed),
        (LoggedIn(LOGIN, None), "no", LoginRequired),
    ],
)
async def test_a_refusal_ends_the_login(
    tmp_path: Path, outcome: Any, pasted: str | None, error: type[Exception]
) -> None:
    """By the server, by the person, or by silence: nothing is stored and the port is let go."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        login, name = await scene.started(outcome)
        with pytest.raises(error):
            await scene.logins.complete(name, pasted, patience=1)
        assert (scene.stored, login.closed) == ({}, 1)
        with pytest.raises(LoginRequired, match="ended"):
            await scene.logins.complete(name, None, patience=1)


@pytest.mark.parametrize(("said", "life"), [(None, LOGIN_SECONDS), (60.0, 60.0), (86_400.0, LOGIN_SECONDS)])
async def test_a_login_ends_by_itself(tmp_path: Path, said: float | None, life: float) -> None:
    """After ten minutes, or sooner if the server says so; its port is let go without anybody's asking."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        login, name = await scene.started(LoggedIn(LOGIN, None), expires_in=said)
        scene.keeping.alarm.advance(life - 1)
        await anyio.lowlevel.checkpoint()
        assert login.closed == 0
        scene.keeping.alarm.advance(2)
        await anyio.wait_all_tasks_blocked()
        assert login.closed == 1
        with pytest.raises(LoginRequired):
            await scene.logins.complete(name, "code", patience=1)


async def test_the_oldest_gives_way(tmp_path: Path) -> None:
    """No caller can make the daemon hold more logins than it should; one that is given up is let go at once."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        begun = [await scene.started(LoggedIn(LOGIN, None)) for _ in range(MAX_LOGINS + 1)]
        assert [login.closed for login, _ in begun] == [1, *[0] * MAX_LOGINS]
        last, name = begun[-1]
        await scene.logins.cancel(name)
        await scene.logins.cancel(name)
        assert last.closed == 1


@pytest.mark.covers("N22")
async def test_a_login_for_an_api_key_is_never_stored(tmp_path: Path) -> None:
    """The key is, under a name that no login has; if none is made, nothing is."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        _, name = await scene.started(LoggedIn(LOGIN, "me@example.com"), method="create-api-key")
        await scene.logins.complete(name, None, patience=1)
        assert scene.stored == {"acme:default": KEY}
        for made, error in ((Refused("permission_error"), LoginRequired), (Unavailable("busy"), RefreshFailed)):
            scene.made = made
            _, name = await scene.started(LoggedIn(LOGIN, None), method="create-api-key")
            with pytest.raises(error):
                await scene.logins.complete(name, None, patience=1)
        assert scene.stored == {"acme:default": KEY}


async def test_what_cannot_begin_is_said_before_anything_is_shown(tmp_path: Path) -> None:
    """No client_id, a server that is away, a profile of another place or provider."""
    async with anyio.create_task_group() as group:
        scene = Scene(Keeping(tmp_path, group))
        scene.begun = [Refused("no client_id", "none is configured"), Unavailable("down")]
        with pytest.raises(ConfigurationFault, match="none is configured"):
            await scene.logins.start("acme", "oauth", None, terms=TERMS)
        with pytest.raises(RefreshFailed, match="down"):
            await scene.logins.start("acme", "oauth", None, terms=TERMS)
        with pytest.raises(ProfileUnavailable):
            await scene.logins.start("acme", "oauth", "acme:foreign", terms=TERMS)
        with pytest.raises(InvalidParams):
            await scene.logins.start("acme", "oauth", "other:me", terms=TERMS)
