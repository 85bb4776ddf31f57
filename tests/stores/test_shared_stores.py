"""The place where hosts share becomes an engine or a fleet, or one line that says what is missing."""

import sys
from pathlib import Path

import pytest

from fakes.machine import CountingEntropy
from tokenward.core.credential import Secret
from tokenward.errors import ConfigurationFault
from tokenward.stores.fleet import FleetCare
from tokenward.stores.fleet_place import FleetPlace
from tokenward.stores.postgres.shared_store import PostgresSharedStore
from tokenward.stores.shared_keys import KeyFile, SharedKeys
from tokenward.stores.shared_stores import open_fleet, open_shared


@pytest.fixture
def place(tmp_path: Path) -> FleetPlace:
    """One at which nobody answers."""
    url = Secret("postgresql://me:canary@127.0.0.1:1/fleet")
    return FleetPlace(url, KeyFile(tmp_path / "fleet.key"), "h-1", "h", "0")


def test_a_place_is_opened_without_asking_the_network(place: FleetPlace, tmp_path: Path) -> None:
    """For the daemon and for a person; neither the password nor a file comes of it."""
    engine, sealer = open_shared(place, CountingEntropy())
    assert isinstance(engine, PostgresSharedStore)
    assert isinstance(sealer, SharedKeys)
    assert "canary" not in f"{engine.description} {place}"
    assert sealer.description == str(tmp_path / "fleet.key")
    assert isinstance(open_fleet(place, CountingEntropy()), FleetCare)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("opened", "missing"),
    [(open_shared, "tokenward.stores.postgres.wire"), (open_fleet, "tokenward.stores.fleet")],
)
def test_without_the_driver_it_says_what_to_install(
    place: FleetPlace, monkeypatch: pytest.MonkeyPatch, opened: type, missing: str
) -> None:
    """The extra's name, as a command."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationFault) as caught:
        opened(place, CountingEntropy())
    assert caught.value.hint == "pip install 'tokenward[postgres]'"
