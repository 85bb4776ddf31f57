"""Hints of change: heard through renames, new directories and symlinks, and at the latest at the beat.

Each test looks at the file when it is told to, as the keepers do, and waits until it has seen what was written.
Several changes in a row tell a watch that heard one and went deaf from one that goes on hearing.
"""

import itertools
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import watchfiles

from tokenward.daemon import watcher as watcher_module
from tokenward.daemon.watcher import BEAT_SECONDS, DEBOUNCE_MILLISECONDS, STEP_MILLISECONDS, Watcher

PATIENCE = 20.0
"""Seconds until a test says that what it waits for never comes."""


async def never(_seconds: float) -> None:
    """A sleep without a beat."""
    await anyio.sleep_forever()


class Looker:
    """Looks at a path whenever it is told to."""

    def __init__(self) -> None:
        self.told: list[Path] = []
        self.seen: dict[Path, str] = {}
        self._changed = anyio.Event()

    def __call__(self, path: Path) -> None:
        """Take a hint."""
        self.told.append(path)
        try:
            self.seen[path] = path.read_text()
        except OSError:
            self.seen[path] = "nothing"
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, path: Path, content: str) -> None:
        """Wait until a hint has shown this content."""
        with anyio.fail_after(PATIENCE):
            while self.seen.get(path) != content:
                await self._changed.wait()


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules at a tenth of the steps, so that a hundred changes do not take a minute."""
    monkeypatch.setattr(watcher_module, "STEP_MILLISECONDS", STEP_MILLISECONDS // 10)
    monkeypatch.setattr(watcher_module, "DEBOUNCE_MILLISECONDS", DEBOUNCE_MILLISECONDS // 10)


@pytest.fixture
def looker() -> Looker:
    """Somebody who looks."""
    return Looker()


@asynccontextmanager
async def watching(looker: Callable[[Path], None], *paths: Path) -> AsyncIterator[Watcher]:
    """A watcher at work, without beats of its own."""
    watcher = Watcher(looker, sleep=never)
    for path in paths:
        watcher.watch(path)
    async with anyio.create_task_group() as group:
        await group.start(watcher.run)
        yield watcher
        group.cancel_scope.cancel()


def replace(path: Path, content: str) -> None:
    """Write as Claude Code does: a temporary file, and a rename."""
    temporary = path.with_name(f"{path.name}.tmp.1a2b3c4d")
    temporary.write_text(content)
    temporary.rename(path)


async def hears_replacements(looker: Looker, path: Path, where: Path | None = None) -> None:
    """Three replacements in a row are all heard."""
    for number in range(3):
        content = f"{where or path} {number}"
        replace(where or path, content)
        await looker.until(path, content)


async def test_a_path_is_announced_when_its_watch_stands(tmp_path: Path, looker: Looker) -> None:
    """What changed before the watch stood is found by looking; nobody has to ask."""
    path = tmp_path / "c.json"
    path.write_text("before")
    async with watching(looker, path):
        assert looker.seen == {path: "before"}


async def test_replacements_are_heard_again_and_again(tmp_path: Path, looker: Looker) -> None:
    """A watch on the file itself would be deaf after the first rename."""
    path = tmp_path / "c.json"
    path.write_text("before")
    async with watching(looker, path):
        await hears_replacements(looker, path)


async def test_a_write_in_place_and_a_removal_are_heard(tmp_path: Path, looker: Looker) -> None:
    """Older versions of Claude Code write in place; a logout removes the file."""
    path = tmp_path / "c.json"
    path.write_text("before")
    async with watching(looker, path):
        path.write_text("in place")
        await looker.until(path, "in place")
        path.unlink()
        await looker.until(path, "nothing")


async def test_a_file_that_appears_in_directories_that_appear(tmp_path: Path, looker: Looker) -> None:
    """The nearest directory that exists is watched, and the next one as soon as it is there."""
    path = tmp_path / "a" / "b" / "c.json"
    async with watching(looker, path):
        (tmp_path / "a").mkdir()
        path.parent.mkdir()
        await hears_replacements(looker, path)


@pytest.mark.parametrize("how", ["removed", "moved away"])
async def test_a_directory_made_anew(tmp_path: Path, looker: Looker, how: str) -> None:
    """The watch follows the name and not the old directory."""
    path = tmp_path / "d" / "c.json"
    path.parent.mkdir()
    replace(path, "before")
    async with watching(looker, path):
        if how == "removed":
            shutil.rmtree(path.parent)
        else:
            path.parent.rename(tmp_path / "old")
        await looker.until(path, "nothing")
        path.parent.mkdir()
        await hears_replacements(looker, path)


async def test_a_directory_made_anew_at_once(tmp_path: Path, looker: Looker) -> None:
    """File systems give a new directory the number of the one just removed: the two look the same."""
    path = tmp_path / "d" / "c.json"
    path.parent.mkdir()
    async with watching(looker, path):
        for number in range(3):
            path.parent.rmdir()
            path.parent.mkdir()
            path.write_text(f"anew {number}")
            await looker.until(path, f"anew {number}")
            await hears_replacements(looker, path)
            path.unlink()


async def test_the_target_of_a_symlink(tmp_path: Path, looker: Looker) -> None:
    """Dotfiles are symlinks: a change of the target, and another target, are heard."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "real.json").write_text(name)
    path = tmp_path / "c.json"
    path.symlink_to("one/real.json")
    async with watching(looker, path):
        await hears_replacements(looker, path, tmp_path / "one" / "real.json")
        (tmp_path / "new").symlink_to("two/real.json")
        (tmp_path / "new").rename(path)
        await looker.until(path, "two")
        await hears_replacements(looker, path, tmp_path / "two" / "real.json")


async def test_a_symlinked_directory_is_found_again_at_the_beat(tmp_path: Path, looker: Looker) -> None:
    """Nothing in the kernel says that a directory's name leads elsewhere now: the beat does."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.json").write_text(name)
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "one")
    path = link / "c.json"
    async with watching(looker, path) as watcher:
        await hears_replacements(looker, path)
        (link.parent / "new").symlink_to(tmp_path / "two")
        (link.parent / "new").rename(link)
        watcher.beat()
        await looker.until(path, "two")
        await hears_replacements(looker, path)


async def test_every_beat_announces_every_path(tmp_path: Path, looker: Looker) -> None:
    """An inotify queue that overflows drops events and says nothing: the beat is what is left."""
    paths = [tmp_path / name for name in ("a", "b")]
    go = [anyio.Event() for _ in range(3)]
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await go[len(asked) - 1].wait()

    watcher = Watcher(looker, sleep=sleep)
    for path in paths:
        watcher.watch(path)
    async with anyio.create_task_group() as group:
        await group.start(watcher.run)
        for number in itertools.count(1):
            assert looker.told == paths * number
            if number == len(go):
                break
            looker.seen.clear()
            go[number - 1].set()
            await looker.until(paths[1], "nothing")
        group.cancel_scope.cancel()
    assert set(asked) == {BEAT_SECONDS}


async def test_only_the_path_that_changed_is_announced(tmp_path: Path, looker: Looker) -> None:
    """A busy directory wakes nobody for what is not watched."""
    path, other = tmp_path / "a", tmp_path / "b"
    async with watching(looker, path, other):
        replace(path, "1")
        await looker.until(path, "1")
    assert looker.told.count(other) == 1


async def test_a_path_watched_later_and_one_watched_no_more(tmp_path: Path, looker: Looker) -> None:
    """Adding a path watches it; removing one leaves the others as they were."""
    first, second = tmp_path / "one" / "a", tmp_path / "two" / "b"
    first.parent.mkdir()
    second.parent.mkdir()
    async with watching(looker, first) as watcher:
        watcher.watch(second)
        await hears_replacements(looker, second)
        watcher.unwatch(first)
        looker.told.clear()
        replace(first, "unheard")
        watcher.beat()
        await hears_replacements(looker, second)
    assert set(looker.told) == {second}


async def test_a_watch_that_fails_is_tried_again_at_the_beat(
    tmp_path: Path, looker: Looker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a watch there is still the beat, and the next beat tries again."""
    path = tmp_path / "c.json"
    real = watchfiles.awatch

    def refused(*_directories: str, **_options: Any) -> Any:
        raise OSError(28, "no more watches")

    monkeypatch.setattr(watchfiles, "awatch", refused)
    async with watching(looker, path) as watcher:
        assert looker.seen == {path: "nothing"}
        path.write_text("unheard")
        monkeypatch.setattr(watchfiles, "awatch", real)
        watcher.beat()
        await looker.until(path, "unheard")
        await hears_replacements(looker, path)
    assert "OSError" in caplog.text


async def test_a_failing_callback_is_logged_by_type(
    tmp_path: Path, looker: Looker, caplog: pytest.LogCaptureFixture
) -> None:
    """One path's fault leaves the others heard, and its text, which may hold a secret, unsaid."""
    bad, good = tmp_path / "a", tmp_path / "b"

    def on_change(path: Path) -> None:
        if path == bad:
            raise ValueError("sk-ant-api03-secret")
        looker(path)

    with caplog.at_level(logging.DEBUG):
        async with watching(on_change, bad, good):
            await hears_replacements(looker, good)
    assert "ValueError" in caplog.text
    assert "sk-ant" not in caplog.text


async def test_stopping_gives_the_thread_back(tmp_path: Path, looker: Looker) -> None:
    """The watching thread does not notice a cancellation; a stop that forgot it would never end."""
    async with watching(looker, tmp_path / "c.json"):
        limiter = anyio.to_thread.current_default_thread_limiter()
        with anyio.fail_after(PATIENCE):
            while limiter.borrowed_tokens == 0:
                await anyio.lowlevel.checkpoint()
    assert limiter.borrowed_tokens == 0


def test_the_latest_announcement_comes_within_a_second() -> None:
    """Events are given out at the second look; a debounce under a step forbids a third."""
    assert DEBOUNCE_MILLISECONDS < STEP_MILLISECONDS
    assert 2 * STEP_MILLISECONDS <= 800, "no time is left to look at the file and to tell whoever listens"


async def test_one_thread_watches_all_places_and_wakes_once_a_step(
    tmp_path: Path, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waking is what an idle daemon costs: so seldom as the promise allows, and once for however many places."""
    asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []
    real = watchfiles.awatch

    def noted(*directories: str, **options: Any) -> Any:
        asked.append((directories, options))
        return real(*directories, **options)

    monkeypatch.setattr(watchfiles, "awatch", noted)
    monkeypatch.setattr(watcher_module, "STEP_MILLISECONDS", STEP_MILLISECONDS)
    places = [tmp_path / name / "c.json" for name in ("a", "b", "c")]
    for place in places:
        place.parent.mkdir()
    async with watching(looker, *places):
        limiter = anyio.to_thread.current_default_thread_limiter()
        with anyio.fail_after(PATIENCE):
            while not asked:
                await anyio.lowlevel.checkpoint()
        assert limiter.borrowed_tokens <= 1
    [(directories, options)] = asked
    assert set(directories) == {str(place.parent) for place in places}
    assert options["step"] == STEP_MILLISECONDS >= 400
    assert options["rust_timeout"] == 0, "it would wake for that as well"


def test_a_path_watched_no_more_is_not_announced(tmp_path: Path, looker: Looker) -> None:
    """Also not while the watch that knew it still stands."""
    watcher = Watcher(looker)
    watcher.watch(tmp_path / "a")
    watcher.watch(tmp_path / "b")
    watcher.unwatch(tmp_path / "a")
    watcher._announce({str(tmp_path / "a"), str(tmp_path / "b")})
    assert looker.told == [tmp_path / "b"]


def test_temporary_names_are_not_heard(tmp_path: Path) -> None:
    """The temporary file of an atomic write is nobody's news."""
    path = tmp_path / ".credentials.json"
    plan = watcher_module._planned({str(path)})
    assert set(plan.hears(str(path))) == {str(path)}
    assert not plan.hears(f"{path}.tmp.1a2b3c4d")
    assert set(plan.hears(str(tmp_path))) == {str(path)}


def test_of_many_paths_each_change_is_heard_by_whom_it_concerns(tmp_path: Path) -> None:
    """In any of their directories, by its own name and by that of what it leads to, however it is written."""
    for name in ("one", "two", "real"):
        (tmp_path / name).mkdir()
    (tmp_path / "real" / "target.json").write_text("{}")
    (tmp_path / "two" / "link.json").symlink_to(tmp_path / "real" / "target.json")
    one, two, link = (
        str(tmp_path / "two" / "b"),
        str(tmp_path / "one" / "b"),
        str(tmp_path / "two" / "link.json"),
    )
    doubled, missing = f"{tmp_path}//one//doubled", str(tmp_path / "two" / "not" / "there")
    plan = watcher_module._planned([one, two, link, doubled, missing])
    assert set(plan.hears(str(tmp_path / "one" / "b"))) == {one, two}, "a directory may have two names"
    assert set(plan.hears(str(tmp_path / "real" / "target.json"))) == {link}
    assert set(plan.hears(link)) == {link}
    assert set(plan.hears(str(tmp_path / "one" / "doubled"))) == {doubled}
    assert set(plan.hears(str(tmp_path / "two" / "not"))) == {missing}
    assert not plan.hears(str(tmp_path / "two" / "other"))
    assert watcher_module._planned(plan.paths) == plan, "else it would be watched anew with each event"


def test_a_plan_for_many_in_one_directory_has_nothing_for_each(tmp_path: Path) -> None:
    """But the paths themselves, of which there may be ten thousand."""
    plan = watcher_module._planned([str(tmp_path / str(number)) for number in range(100)])
    assert len(plan.paths) == 100
    assert (plan.parents, plan.names, list(plan.directories.values())) == ([str(tmp_path)], {}, [str(tmp_path)])
