"""Claude Code's login: read for what it means, written by its owner's rules and locks."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.place import FAR, PlaceContract, found_in, oauth_credential
from fakes.machine import FakeClock
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.grants import Granted, RefreshOutcome
from tokenward.core.reading import Absent, Blanked, Found, Unreadable
from tokenward.daemon.machine import SystemClock
from tokenward.disk import atomic_file
from tokenward.disk.regular_file import LARGEST_FILE
from tokenward.ports import LockedPlace, LocksBusy, Stored, Superseded
from tokenward.sources.claude_code import ClaudeCodeFile

LOGIN: dict[str, Any] = {
    "accessToken": "sk-ant-oat01-access",
    "refreshToken": "sk-ant-ort01-refresh",
    "expiresAt": 1795233282162,
    "refreshTokenExpiresAt": 1797825282162,
    "scopes": ["user:inference", "user:profile"],
    "subscriptionType": "max",
    "subscriptionTypeSource": "sign_in",
    "rateLimitTier": "default_claude_max_5x",
    "accountUuid": "0a",
}


class Clock(FakeClock):
    """The machine's own time on the wall, since directories are dated by it; waiting costs none."""

    def wall(self) -> datetime:
        """Now."""
        return datetime.now(UTC)


class Home:
    """Claude Code's directory."""

    def __init__(self, directory: Path) -> None:
        self.configuration = directory / ".claude"
        self.configuration.mkdir(mode=0o700)
        self.path = self.configuration / ".credentials.json"
        self.clock = Clock()
        self.waited: list[float] = []
        self.while_waiting: Callable[[], None] = lambda: None
        self.place = ClaudeCodeFile(self.path, clock=self.clock, wait=self._wait, entropy=lambda: 0.5)

    def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.clock.advance(seconds)
        self.while_waiting()

    def write(self, document: object, *, mode: int = 0o600) -> None:
        """The owner writes."""
        self.path.write_text(json.dumps(document))
        self.path.chmod(mode)

    def login(self, **members: object) -> None:
        """The owner writes a login with other members."""
        self.write({"claudeAiOauth": {**LOGIN, **members}})

    def document(self) -> dict[str, Any]:
        """What is in the file."""
        document = json.loads(self.path.read_bytes())
        assert isinstance(document, dict)
        return document

    def swap(self, new: Credential | None = None) -> Stored | Superseded:
        """Read, prove, write: a whole refresh without its request."""
        held = found_in(self.place.read())
        writer = self.place.prepare_write()
        try:
            return writer.commit(held.generation, new or successor())
        finally:
            writer.discard()

    def left_behind(self) -> set[str]:
        """What is in and beside the directory besides the file."""
        names = {path.name for path in (*self.configuration.iterdir(), *self.configuration.parent.iterdir())}
        return names - {".credentials.json", ".claude"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with Claude Code in it, and no login yet."""
    directory = tmp_path / "home"
    directory.mkdir()
    return Home(directory)


def successor() -> Credential:
    """What a grant makes of the login."""
    return Credential(
        Kind.OAUTH,
        Secret("sk-ant-oat01-next"),
        Secret("sk-ant-ort01-next"),
        expires_at=datetime(2027, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        scopes=("user:inference", "user:profile"),
    )


class _Rig:
    def __init__(self, directory: Path) -> None:
        self._home = Home(directory)
        self.place = self._home.place

    def put(self, credential: Credential) -> None:
        assert credential.expires_at is not None
        self._home.write(
            {
                "claudeAiOauth": {
                    "accessToken": credential.access.reveal(),
                    "refreshToken": credential.refresh.reveal() if credential.refresh else None,
                    "expiresAt": int(credential.expires_at.timestamp() * 1000),
                    "scopes": list(credential.scopes),
                }
            }
        )

    def tear(self) -> None:
        data = self._home.path.read_bytes()
        self._home.path.write_bytes(data[: len(data) // 2])

    def vanish(self) -> None:
        self._home.path.unlink()


class TestClaudeCodeFile(PlaceContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _Rig:
        """Claude Code's file."""
        return _Rig(tmp_path)


# What the file means


@pytest.mark.covers("P27")
def test_a_login_is_read_with_everything_it_says(home: Home) -> None:
    """Access and refresh token: kind oauth; times in milliseconds; plan and tier."""
    home.login()
    found = found_in(home.place.read())
    assert found.kind is Kind.OAUTH
    assert found.access == Secret("sk-ant-oat01-access")
    assert found.refresh == Secret("sk-ant-ort01-refresh")
    assert found.expires_at == datetime(2026, 11, 21, 3, 54, 42, 162000, tzinfo=UTC)
    assert found.login_ends_at == found.expires_at + timedelta(days=30)
    assert found.scopes == ("user:inference", "user:profile")
    assert found.subscription == "max"
    assert found.tier == "default_claude_max_5x"
    assert found.account == "0a"
    assert found.granted_life is None


@pytest.mark.covers("P27")
@pytest.mark.parametrize("refresh", [{"refreshToken": None}, {}])
def test_without_a_refresh_token_it_is_a_static_token(refresh: dict[str, None], home: Home) -> None:
    """``null`` or missing: used as it is, never refreshed."""
    login = {name: value for name, value in LOGIN.items() if name != "refreshToken"}
    home.write({"claudeAiOauth": {**login, **refresh}})
    found = found_in(home.place.read())
    assert found.kind is Kind.SETUP_TOKEN
    assert found.refresh is None
    assert not found.refreshable


@pytest.mark.parametrize(
    ("members", "ended"),
    [
        ({"accessToken": "", "refreshToken": "", "expiresAt": 0}, False),
        ({"accessToken": "", "refreshToken": "", "expiresAt": 0, "loginEnded": "time_limit"}, True),
        ({"refreshToken": ""}, False),
        ({"accessToken": ""}, False),
        ({"accessToken": None}, False),
        ({"accessToken": "", "loginEnded": ""}, False),
    ],
)
def test_a_stub_is_blanked_and_over_only_if_its_owner_says_so(
    members: dict[str, object], home: Home, *, ended: bool
) -> None:
    """Blank tokens are no credential; the end of the login is a member of its own."""
    home.login(**members)
    assert home.place.read() == Blanked(login_ended=ended)


@pytest.mark.parametrize("document", [{}, {"mcpOAuth": {}}, {"claudeAiOauth": None}])
def test_a_file_without_a_login_is_absent(document: object, home: Home) -> None:
    """Claude Code keeps other things there too."""
    home.write(document)
    assert home.place.read() == Absent()
    assert home.place.signature() is not None


@pytest.mark.parametrize(
    "document",
    [
        [],
        "text",
        7,
        None,
        {"claudeAiOauth": []},
        {"claudeAiOauth": "x"},
        {"claudeAiOauth": {**LOGIN, "accessToken": 7}},
        {"claudeAiOauth": {**LOGIN, "refreshToken": ["x"]}},
    ],
)
def test_what_has_another_shape_is_unreadable(document: object, home: Home) -> None:
    """Never a guess, and never an error."""
    home.write(document)
    assert isinstance(home.place.read(), Unreadable)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 100, b'{"claudeAiOauth":{"accessToken":"sk-a', b"\xff\xfe\xfd", b"[" * 100_000, b"{} {}"],
    ids=["empty", "zeros", "half", "no text", "deep", "two"],
)
def test_what_is_no_json_is_unreadable(data: bytes, home: Home) -> None:
    """A torn or truncated file is no logout; the reason names no content."""
    home.path.write_bytes(data)
    reading = home.place.read()
    assert isinstance(reading, Unreadable)
    assert "sk-" not in reading.reason


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1795233282162, 1795233282.162),
        (1795233282, 1795233282.0),
        (1795233282.5, 1795233282.5),
        ("1795233282162", 1795233282.162),
        (99_999_999_999, 99_999_999_999.0),
        (100_000_000_000, 100_000_000.0),
    ],
)
def test_seconds_are_told_from_milliseconds(value: object, seconds: float, home: Home) -> None:
    """What would lie in the seventies as milliseconds is in seconds."""
    home.login(expiresAt=value)
    expires_at = found_in(home.place.read()).expires_at
    assert expires_at is not None
    assert expires_at.timestamp() == pytest.approx(seconds)


@pytest.mark.covers("N35")
def test_seconds_are_converted_and_said(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """An expiry in seconds is taken as such, and the log tells; one in milliseconds is taken without a word."""
    with caplog.at_level("INFO"):
        home.login()
        home.place.read()
        assert caplog.messages == []
        home.login(expiresAt=1795233282)
        assert found_in(home.place.read()).expires_at == datetime(2026, 11, 21, 3, 54, 42, tzinfo=UTC)
        assert len(caplog.messages) == 1
        assert "seconds" in caplog.messages[0]


@pytest.mark.parametrize("value", [0, -5, True, None, "soon", "", [], {}, 1e300, "99999999999999999999"])
def test_an_end_that_means_nothing_is_unknown(value: object, home: Home) -> None:
    """Zero beside good tokens too: valid until a 401 says otherwise."""
    home.login(expiresAt=value, refreshTokenExpiresAt=value)
    found = found_in(home.place.read())
    assert found.expires_at is None
    assert found.login_ends_at is None


@pytest.mark.parametrize("scopes", ["user:inference", None, 7, {}, {"a": 1}])
def test_scopes_that_are_no_list_are_none(scopes: object, home: Home) -> None:
    """They once hung Claude Code itself; they survive a write as they are."""
    home.login(scopes=scopes)
    assert found_in(home.place.read()).scopes == ()
    assert home.swap(replace_scopes(())) == Stored()
    assert home.document()["claudeAiOauth"]["scopes"] == scopes


def replace_scopes(scopes: tuple[str, ...]) -> Credential:
    """The successor with other scopes."""
    new = successor()
    return Credential(new.kind, new.access, new.refresh, expires_at=new.expires_at, scopes=scopes)


def test_a_byte_order_mark_is_no_obstacle(home: Home) -> None:
    """Some editors put one there."""
    home.path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"claudeAiOauth": LOGIN}).encode())
    assert isinstance(home.place.read(), Found)
    assert home.swap() == Stored()
    assert home.document()["claudeAiOauth"]["accessToken"] == "sk-ant-oat01-next"


# What else may have its name


def test_a_directory_and_a_pipe_are_unreadable(home: Home) -> None:
    """Neither is opened; nothing is waited for."""
    home.path.mkdir()
    assert isinstance(home.place.read(), Unreadable)
    with pytest.raises(OSError, match="directory"):
        home.place.prepare_write()
    home.path.rmdir()
    os.mkfifo(home.path)
    assert isinstance(home.place.read(), Unreadable)
    with pytest.raises(OSError, match="not a regular file"):
        home.place.prepare_write()


def test_a_gigabyte_is_not_read(home: Home) -> None:
    """A sparse file of a gigabyte costs no memory; one of just the limit is read."""
    with home.path.open("wb") as file:
        file.truncate(1024**3)
    assert isinstance(home.place.read(), Unreadable)
    login = json.dumps({"claudeAiOauth": LOGIN})
    home.path.write_text(login.ljust(LARGEST_FILE))
    assert isinstance(home.place.read(), Found)
    home.path.write_text(login.ljust(LARGEST_FILE + 1))
    assert isinstance(home.place.read(), Unreadable)


def test_a_loop_of_links_is_unreadable_and_has_a_signature(home: Home) -> None:
    """What cannot be looked at raises nothing, and is seen to change when it can."""
    home.path.symlink_to(home.path.name)
    assert isinstance(home.place.read(), Unreadable)
    looped = home.place.signature()
    assert looped is not None
    assert home.place.signature() == looped
    home.path.unlink()
    home.login()
    assert home.place.signature() not in {looped, None}


def test_a_dangling_link_is_absent(home: Home) -> None:
    """Its target is not made."""
    home.path.symlink_to(home.configuration / "nowhere")
    assert home.place.read() == Absent()
    assert home.place.signature() is None
    with pytest.raises(FileNotFoundError):
        home.place.prepare_write()
    assert not (home.configuration / "nowhere").exists()


# What a write leaves


@pytest.mark.covers("P23")
def test_a_write_changes_the_tokens_and_nothing_else(home: Home) -> None:
    """Same file, new tokens and end in milliseconds; every other member keeps its value and its place."""
    before = {
        "mcpOAuth": {"a": [1, 2.5, None, True, {"ü": "☃"}]},
        "claudeAiOauth": {"zeta": "unknown", **LOGIN, "alpha": {"nested": [1e3, 12345678901234567890]}},
        "designOauth": {},
        "": "empty name",
    }
    home.write(before)
    assert home.swap() == Stored()
    expected = json.loads(json.dumps(before))
    expected["claudeAiOauth"].update(
        accessToken="sk-ant-oat01-next", refreshToken="sk-ant-ort01-next", expiresAt=1798859045678
    )
    assert home.document() == expected
    assert list(home.document()) == list(before)
    assert list(home.document()["claudeAiOauth"]) == list(expected["claudeAiOauth"])
    assert home.path.read_bytes().count(b"\n") == 0
    assert "☃".encode() in home.path.read_bytes()


def test_the_end_of_a_grant_is_written_in_milliseconds(home: Home) -> None:
    """A whole refresh through the transaction: ``expires_in`` of the answer becomes ``expiresAt`` in ms."""
    from tokenward.daemon.flight_results import Refreshed
    from tokenward.daemon.transaction import Transaction
    from tokenward.stores.key_ring import AesGcmSealer

    home.login(expiresAt=0)
    started = datetime.now(UTC).timestamp()

    def post(refresh: Secret) -> RefreshOutcome:
        assert refresh == Secret("sk-ant-ort01-refresh")
        held = {"credentials", ".claude.lock", ".oauth_refresh.lock"}
        assert home.left_behind() & held == {".claude.lock", ".oauth_refresh.lock"}
        return Granted(Secret("a"), Secret("r"), 28_800.0, None, "Bearer", login_expires_in=2_592_000.0)

    class Bytes:
        def fraction(self) -> float:
            return 0.5

        def token(self, size: int) -> bytes:
            return os.urandom(size)

    result = Transaction(
        profile="anthropic:claude-cli",
        place=home.place,
        token_endpoint="https://auth.invalid/token",
        reuse_grace=0,
        families=home.configuration.parent.parent / "families",
        sealer=AesGcmSealer(b"k" * 32, Bytes()),
        clock=SystemClock(),
        wait=home.waited.append,
        post=post,
    ).refresh(found_in(home.place.read()))
    assert isinstance(result, Refreshed)
    assert not result.locks_lost
    login = home.document()["claudeAiOauth"]
    assert (login["accessToken"], login["refreshToken"]) == ("a", "r")
    assert isinstance(login["expiresAt"], int)
    assert 0 <= login["expiresAt"] / 1000 - started - 28_800 < 60
    assert 0 <= login["refreshTokenExpiresAt"] / 1000 - started - 2_592_000 < 60
    assert home.left_behind() == set()


def test_what_an_answer_does_not_say_is_kept(home: Home) -> None:
    """The login's end stays without a new one; an unknown end of the token is Claude Code's zero."""
    home.login()
    new = Credential(Kind.OAUTH, Secret("a"), Secret("r"))
    assert home.swap(new) == Stored()
    login = home.document()["claudeAiOauth"]
    assert login["refreshTokenExpiresAt"] == LOGIN["refreshTokenExpiresAt"]
    assert login["scopes"] == LOGIN["scopes"]
    assert login["expiresAt"] == 0
    assert found_in(home.place.read()).expires_at is None


def test_lone_surrogates_survive(home: Home) -> None:
    """What JavaScript can hold and UTF-8 cannot: escaped, with the same value."""
    home.path.write_text('{"note":"\\ud800 ü","claudeAiOauth":' + json.dumps(LOGIN) + "}")
    before = home.document()["note"]
    assert home.swap() == Stored()
    assert home.document()["note"] == before == "\ud800 ü"


@pytest.mark.covers("N33")
@pytest.mark.parametrize(("before", "after"), [(0o600, 0o600), (0o644, 0o600), (0o400, 0o400), (0o666, 0o600)])
def test_the_file_is_never_open_to_others(
    before: int, after: int, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0600 from the temporary file's first instant, whatever the umask and whatever the file was before."""
    home.login()
    home.path.chmod(before)
    created: list[int] = []
    open_file = os.open

    def watch(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        fd = open_file(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            created.append(stat.S_IMODE(os.fstat(fd).st_mode))
        return fd

    old = os.umask(0)
    try:
        monkeypatch.setattr(os, "open", watch)
        assert home.swap() == Stored()
    finally:
        monkeypatch.undo()
        os.umask(old)
    assert created == [0o600]
    assert stat.S_IMODE(home.path.stat().st_mode) == after


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_its_owner_stays_its_owner(home: Home) -> None:
    """Root's daemon writes another user's file: it stays theirs."""
    home.login()
    os.chown(home.path, 12345, 54321)
    assert home.swap() == Stored()
    found = home.path.stat()
    assert (found.st_uid, found.st_gid) == (12345, 54321)


def test_a_symlink_stays_and_its_target_is_written(home: Home) -> None:
    """Into a dotfiles repository: the link is not replaced by a file."""
    target = home.configuration.parent / "dotfiles" / "claude.json"
    target.parent.mkdir()
    home.path.symlink_to(target)
    home.login()
    assert home.swap() == Stored()
    assert home.path.is_symlink()
    assert json.loads(target.read_bytes())["claudeAiOauth"]["accessToken"] == "sk-ant-oat01-next"
    assert [path.name for path in target.parent.iterdir()] == ["claude.json"]


def test_a_file_that_became_a_symlink_since_the_proof_is_written_where_it_leads(home: Home) -> None:
    """Moved into a repository between proof and write: the link stays, its target has the new value."""
    home.login()
    held = found_in(home.place.read())
    writer = home.place.prepare_write()
    target = home.configuration / "elsewhere" / "credentials.json"
    target.parent.mkdir()
    home.path.rename(target)
    home.path.symlink_to(target)
    assert writer.commit(held.generation, successor()) == Stored()
    writer.discard()
    assert home.path.is_symlink()
    assert json.loads(target.read_bytes())["claudeAiOauth"]["accessToken"] == "sk-ant-oat01-next"
    assert [path.name for path in target.parent.iterdir()] == ["credentials.json"]
    assert home.left_behind() == {"elsewhere"}


def test_a_write_is_a_rename(home: Home) -> None:
    """A reader that has the old file open goes on reading the old value, whole."""
    home.login()
    with home.path.open("rb") as reader:
        before = home.path.stat().st_ino
        assert home.swap() == Stored()
        assert json.load(reader)["claudeAiOauth"]["accessToken"] == "sk-ant-oat01-access"
    assert home.path.stat().st_ino != before


def test_a_write_without_room_leaves_the_old_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof fails before anything was sent; nothing is left behind."""
    home.login()
    before = home.path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic_file, "reserve", full)
    with pytest.raises(OSError, match="No space"):
        home.place.prepare_write()
    assert home.path.read_bytes() == before
    assert home.left_behind() == set()


def test_tokens_that_grew_fit(home: Home) -> None:
    """Longer than what was proved: room is taken at the write."""
    home.login()
    new = Credential(Kind.OAUTH, Secret("a" * 60_000), Secret("r" * 60_000))
    assert home.swap(new) == Stored()
    assert found_in(home.place.read()).generation == new.generation


def test_a_stub_of_a_loser_is_written_over(home: Home) -> None:
    """Another process lost the race and blanked the file: our new value makes the login whole again."""
    home.login()
    held = found_in(home.place.read())
    writer = home.place.prepare_write()
    home.login(accessToken="", refreshToken="", expiresAt=0)
    assert writer.commit(held.generation, successor()) == Stored()
    assert found_in(home.place.read()).generation == successor().generation


def test_an_ended_login_is_not_brought_back(home: Home) -> None:
    """Blanked with the owner's word that it is over, or without a login any more: it stays so."""
    for document, reading in (
        ({"claudeAiOauth": {"accessToken": "", "refreshToken": "", "loginEnded": "time_limit"}}, Blanked(True)),
        ({"mcpOAuth": {"kept": 1}}, Absent()),
    ):
        home.login()
        held = found_in(home.place.read())
        writer = home.place.prepare_write()
        home.write(document)
        assert writer.commit(held.generation, successor()) == Superseded(reading)
        writer.discard()
        assert home.document() == document


# Locks


def lock_names(home: Home) -> set[str]:
    """The locks that exist now."""
    return {name for name in home.left_behind() if name.endswith("lock")}


def test_the_refresh_locks_are_taken_in_the_owners_order(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """First its own directory's lock, then the legacy one beside the directory; given back in reverse."""
    home.login()
    steps: list[str] = []
    make, remove = Path.mkdir, Path.rmdir

    def mkdir(path: Path, *args: Any, **kwargs: Any) -> None:
        steps.append(f"+{path.name}")
        make(path, *args, **kwargs)

    def rmdir(path: Path) -> None:
        steps.append(f"-{path.name}")
        remove(path)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "rmdir", rmdir)
    locks = home.place.acquire_locks(FAR)
    assert not isinstance(locks, LocksBusy)
    assert lock_names(home) == {".oauth_refresh.lock", ".claude.lock"}
    assert [Path(identity.path).name for identity in locks.identities] == [".oauth_refresh.lock", ".claude.lock"]
    assert locks.still_owned()
    locks.release()
    assert steps == ["+.oauth_refresh.lock", "+.claude.lock", "-.claude.lock", "-.oauth_refresh.lock"]
    assert lock_names(home) == set()


def test_the_legacy_lock_is_beside_the_real_directory(home: Home, tmp_path: Path) -> None:
    """A linked configuration directory is locked under its real name, as Claude Code does."""
    real = tmp_path / "real"
    home.configuration.rename(real)
    home.configuration.symlink_to(real)
    home.login()
    locks = home.place.acquire_locks(FAR)
    assert not isinstance(locks, LocksBusy)
    assert (tmp_path / "real.lock").is_dir()
    assert (real / ".oauth_refresh.lock").is_dir()
    locks.release()


@pytest.mark.parametrize(
    ("record", "named"),
    [
        (b'{"pid": 4711}', "is held by process 4711 (last touched"),
        (b'{"pid": true}', "is held (last touched"),
        (b'{"pid": -1}', "is held (last touched"),
        (b"[]", "is held (last touched"),
        (b"{torn", "is held (last touched"),
        (b" " * 5000, "is held (last touched"),
    ],
)
def test_the_holder_of_a_lock_is_named_where_its_record_says_who(record: bytes, named: str, home: Home) -> None:
    """A record that is none names nobody, and hides nothing else."""
    home.login()
    (home.configuration / ".oauth_refresh.lock").mkdir()
    (home.configuration / ".oauth_refresh.lock.owner").write_bytes(record)
    result = home.place.acquire_locks(home.clock.monotonic())
    assert isinstance(result, LocksBusy)
    assert named in result.reason


def test_people_can_see_which_lock_is_waited_for_while_it_is(home: Home) -> None:
    """With its holder; before and after that nothing."""
    home.login()
    lock = home.configuration / ".oauth_refresh.lock"
    lock.mkdir()
    lock.with_name(f"{lock.name}.owner").write_text('{"pid": 4711}')
    seen: list[str | None] = []
    home.while_waiting = lambda: seen.append(home.place.waits_for)
    assert isinstance(home.place, LockedPlace)
    assert home.place.waits_for is None
    home.place.acquire_locks(home.clock.monotonic() + 3)
    assert len(seen) > 1
    assert all(words and f"{lock.name} is held by process 4711 (last touched" in words for words in seen)
    assert home.place.waits_for is None


@pytest.mark.parametrize("name", [".oauth_refresh.lock", ".claude.lock"])
def test_a_lock_held_by_claude_code_is_waited_for_within_bounds(name: str, home: Home) -> None:
    """Both or none; after the deadline it says which, and none of ours is left."""
    home.login()
    held = (home.configuration if name.startswith(".oauth") else home.configuration.parent) / name
    held.mkdir()
    result = home.place.acquire_locks(home.clock.monotonic() + 12)
    assert isinstance(result, LocksBusy)
    assert not result.refused
    assert name in result.reason
    assert sum(home.waited) == pytest.approx(12)
    assert lock_names(home) == {name}
    held.rmdir()
    locks = home.place.acquire_locks(FAR)
    assert not isinstance(locks, LocksBusy)
    locks.release()


def test_an_orphaned_lock_is_taken_over_after_a_minute(home: Home) -> None:
    """Not touched for 60 s: its holder is dead."""
    home.login()
    stale = home.configuration / ".oauth_refresh.lock"
    stale.mkdir()
    now = datetime.now(UTC).timestamp()
    os.utime(stale, (now - 61, now - 61))
    locks = home.place.acquire_locks(home.clock.monotonic())
    assert not isinstance(locks, LocksBusy)
    locks.release()


def test_a_lock_that_cannot_be_made_is_refused_at_once(home: Home) -> None:
    """Something else has its name: waiting does not help, and the reason says so."""
    home.login()
    (home.configuration.parent / ".claude.lock").write_text("a file")
    result = home.place.acquire_locks(FAR)
    assert isinstance(result, LocksBusy)
    assert result.refused
    assert home.waited == []
    assert lock_names(home) == {".claude.lock"}


def test_a_lost_lock_is_noticed_and_left_alone(home: Home) -> None:
    """Taken over by another after a suspend: not ours any more, and not removed by us."""
    home.login()
    locks = home.place.acquire_locks(FAR)
    assert not isinstance(locks, LocksBusy)
    taken = home.configuration / ".oauth_refresh.lock"
    taken.rmdir()
    taken.mkdir()
    assert not locks.still_owned()
    locks.release()
    assert lock_names(home) == {".oauth_refresh.lock"}


def test_a_write_holds_the_write_lock_from_its_reading_to_its_rename(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the last reading and at the rename it is there; afterwards it is not."""
    home.login()
    seen: list[tuple[str, bool]] = []
    lock = home.configuration / ".storage-write.lock"
    rename, read = os.rename, ClaudeCodeFile._image

    def watch_rename(*args: Any, **kwargs: Any) -> None:
        seen.append(("rename", lock.is_dir()))
        rename(*args, **kwargs)

    def watch_read(place: ClaudeCodeFile) -> Any:
        seen.append(("read", lock.is_dir()))
        return read(place)

    held = found_in(home.place.read())
    writer = home.place.prepare_write()
    monkeypatch.setattr(os, "rename", watch_rename)
    monkeypatch.setattr(ClaudeCodeFile, "_image", watch_read)
    assert writer.commit(held.generation, successor()) == Stored()
    assert seen == [("read", True), ("rename", True)]
    assert not lock.exists()


def test_a_write_lock_held_by_claude_code_is_waited_for_within_bounds(home: Home) -> None:
    """It is writing: ours is an error after five seconds, the old file is whole, and ours can be made later."""
    home.login()
    before = home.path.read_bytes()
    lock = home.configuration / ".storage-write.lock"
    lock.mkdir()
    with pytest.raises(OSError, match=r"storage-write\.lock is held"):
        home.swap()
    assert sum(home.waited) == pytest.approx(5)
    assert home.path.read_bytes() == before
    assert home.left_behind() == {".storage-write.lock"}
    lock.rmdir()
    assert home.swap() == Stored()


def test_an_orphaned_write_lock_is_taken_over(home: Home) -> None:
    """Not touched for fifteen seconds."""
    home.login()
    lock = home.configuration / ".storage-write.lock"
    lock.mkdir()
    now = datetime.now(UTC).timestamp()
    os.utime(lock, (now - 16, now - 16))
    assert home.swap() == Stored()
    assert not lock.exists()


def test_the_write_lock_is_given_back_after_a_failure(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that fails leaves the old file and no lock."""
    home.login()
    before = home.path.read_bytes()

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as failing:
        failing.setattr(os, "rename", broken)
        with pytest.raises(OSError, match="Read-only"):
            home.swap()
    assert home.path.read_bytes() == before
    assert home.left_behind() == set()


def test_of_two_writers_in_two_threads_one_wins(home: Home) -> None:
    """The same expectation: the second finds the first one's value and writes nothing."""
    home.login()
    held = found_in(home.place.read())
    start = threading.Barrier(2)
    outcomes: list[Stored | Superseded] = []

    def write(number: int) -> None:
        clock = SystemClock()
        place = ClaudeCodeFile(home.path, clock=clock, wait=time.sleep, entropy=lambda: 0.0)
        writer = place.prepare_write()
        start.wait()
        outcomes.append(writer.commit(held.generation, oauth_credential(number)))
        writer.discard()

    threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Stored", "Superseded"]
    assert home.left_behind() == set()


def test_what_a_killed_writer_left_is_tidied(home: Home) -> None:
    """Old temporary files of ours go; young ones and others' stay."""
    home.login()
    old = home.configuration / f".credentials.json.tokenward-{'0' * 16}"
    old = old.with_name("." + old.name)
    young = old.with_name(old.name[:-1] + "1")
    theirs = home.configuration / ".credentials.json.tmp.0123abcd"
    for path in (old, young, theirs):
        path.write_text("x")
    past = datetime.now(UTC).timestamp() - 7200
    for path in (old, theirs):
        os.utime(path, (past, past))
    home.place.tidy()
    assert home.left_behind() == {young.name, theirs.name}


CALLS: list[Callable[[ClaudeCodeFile], object]] = [
    lambda place: place.name,
    lambda place: place.description,
    lambda place: place.read(),
    lambda place: place.signature(),
]


@pytest.mark.parametrize("call", CALLS)
def test_no_look_shows_a_token(call: Callable[[ClaudeCodeFile], object], home: Home) -> None:
    """Whatever is printed of it."""
    home.login()
    assert "sk-ant" not in repr(call(home.place))
