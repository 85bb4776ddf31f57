"""A place that makes another value by itself: asked once for each refused value, and never without limit."""

from collections.abc import Hashable
from pathlib import Path

import anyio
import pytest

from daemon.keeping import Keeping
from tokenward.core.credential import Credential, Kind, Profile, Secret
from tokenward.core.reading import Found, Reading
from tokenward.daemon.failure_reports import renew
from tokenward.daemon.keeper import Keeper
from tokenward.errors import AskDifferently, RetryLater
from tokenward.ports import RenewingPlace
from tokenward.sources.fixed import ReadOnlyPlace

PATIENCE = 20.0


class Vault(ReadOnlyPlace):
    """A command that prints the next number at each run."""

    def __init__(self, *, stuck: bool = False) -> None:
        super().__init__(name="command", description="sources.command.vault")
        self.runs = 1
        self.stuck = stuck
        self.rejected: list[str] = []

    def signature(self) -> Hashable | None:
        """The last run."""
        return self.runs

    def read(self) -> Reading:
        """What it printed last."""
        number = 1 if self.stuck else self.runs
        return Found(Credential(Kind.API_KEY, Secret(f"key-{number}")))

    def reject(self, generation: str) -> None:
        """Run again."""
        self.rejected.append(generation)
        self.runs += 1


async def kept(home: Keeping, vault: Vault) -> tuple[Keeper, str]:
    """A keeper that has looked once, and what it holds."""
    keeper = Keeper(Profile("acme:vault", "acme", "command"), vault, None, home.around)
    await keeper.reconcile()
    assert keeper.credential is not None
    return keeper, keeper.credential.generation


def test_the_double_is_one() -> None:
    """The port is recognised by what a place can do."""
    assert isinstance(Vault(), RenewingPlace)
    assert not isinstance(ReadOnlyPlace(name="x", description="x"), RenewingPlace)


async def test_many_refusals_of_one_value_ask_once(tmp_path: Path) -> None:
    """`newer_than` and a report of the same generation: one run, and its value for everybody."""
    async with anyio.create_task_group() as group:
        vault = Vault()
        keeper, first = await kept(Keeping(tmp_path, group), vault)
        for _ in range(3):
            held, degraded = await keeper.obtain(60, newer_than=first, patience=PATIENCE)
            assert (held.credential.access, degraded) == (Secret("key-2"), None)
        await renew(keeper, first)
        assert vault.rejected == [first]
        assert keeper.credential is not None
        second = keeper.credential.generation
        result = await renew(keeper, second)
        assert (result.action, vault.rejected) == ("retry", [first, second])


async def test_a_value_that_comes_again_is_refused(tmp_path: Path) -> None:
    """A place that can make no other: the caller hears it, and a report ends in a login."""
    async with anyio.create_task_group() as group:
        vault = Vault(stuck=True)
        keeper, first = await kept(Keeping(tmp_path, group), vault)
        with pytest.raises(AskDifferently, match="no other token"):
            await keeper.obtain(60, newer_than=first, patience=PATIENCE)
        result = await renew(keeper, first)
        assert (result.action, vault.rejected) == ("login", [first])


async def test_refusals_draw_from_the_bucket(tmp_path: Path) -> None:
    """Each new value refused costs one of three; then the caller is told to wait (design I11)."""
    async with anyio.create_task_group() as group:
        vault = Vault()
        keeper, generation = await kept(Keeping(tmp_path, group), vault)
        for _ in range(3):
            held, _ = await keeper.obtain(60, newer_than=generation, patience=PATIENCE)
            generation = held.credential.generation
        with pytest.raises(RetryLater) as refused:
            await keeper.obtain(60, newer_than=generation, patience=PATIENCE)
        assert refused.value.details["retry_after"] > 0
        assert (await renew(keeper, generation)).action == "wait"
        assert len(vault.rejected) == 3
