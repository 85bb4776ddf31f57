"""The engine in memory keeps every promise of the port."""

from collections.abc import Sequence

import pytest

from contracts.shared_store import SharedStoreContract
from tokenward.core.sharing import Orphan
from tokenward.stores.memory_shared import MemorySharedStore


class _Rig:
    def __init__(self) -> None:
        self.now = 0.0
        self.store = MemorySharedStore(lambda: self.now)

    def another(self) -> MemorySharedStore:
        return self.store

    def orphans(self) -> Sequence[Orphan]:
        return self.store.orphans

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def go_away(self) -> None:
        self.store.go_away()

    def come_back(self) -> None:
        self.store.come_back()


class TestMemorySharedStore(SharedStoreContract):
    @pytest.fixture
    def rig(self) -> _Rig:
        """An engine in memory, on a clock that only the test moves."""
        return _Rig()
