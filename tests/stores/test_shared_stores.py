"""What the configuration says of a shared store becomes one, or one line that says what is missing."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from fakes.machine import CountingEntropy
from tokenward.errors import ConfigurationFault
from tokenward.store_settings import StoreSettings
from tokenward.stores.postgres.shared_store import PostgresSharedStore
from tokenward.stores.shared_keys import SharedKeys
from tokenward.stores.shared_stores import open_fleet, open_shared

URL = SecretStr("postgresql://me:canary@127.0.0.1:1/fleet")


def opened(said: StoreSettings, state: Path) -> Any:
    """As the daemon opens it."""
    return open_shared(
        said, state, {}, command_environ={}, holder="h-1", host="h", version="0", entropy=CountingEntropy()
    )


def test_who_shares_nothing_has_no_engine(tmp_path: Path) -> None:
    """And needs no driver; a person who asks for the fleet is told what to write."""
    assert opened(StoreSettings(), tmp_path) is None
    with pytest.raises(ConfigurationFault) as caught:
        open_fleet(
            StoreSettings(),
            tmp_path,
            {},
            command_environ={},
            holder="h-1",
            host="h",
            version="0",
            entropy=CountingEntropy(),
        )
    assert "[store]" in caught.value.hint


def test_what_is_said_is_opened_without_asking_the_network(tmp_path: Path) -> None:
    """Nobody answers there; the key is looked for where the state is, or where it is said to be."""
    engine, sealer = opened(StoreSettings(shared=URL), tmp_path)
    assert isinstance(engine, PostgresSharedStore)
    assert isinstance(sealer, SharedKeys)
    assert "canary" not in engine.description
    assert sealer.description == str(tmp_path / "fleet.key")
    elsewhere = StoreSettings(shared=URL, shared_key_file=tmp_path / "elsewhere")
    assert opened(elsewhere, tmp_path)[1].description == str(tmp_path / "elsewhere")
    assert list(tmp_path.iterdir()) == []


def test_without_the_driver_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra's name, as a command."""
    monkeypatch.setitem(sys.modules, "tokenward.stores.postgres.wire", None)
    with pytest.raises(ConfigurationFault) as caught:
        opened(StoreSettings(shared=URL), tmp_path)
    assert caught.value.hint == "pip install 'tokenward[postgres]'"


def test_settings_do_not_show_the_password() -> None:
    """However they are printed."""
    said = StoreSettings(shared=URL)
    assert "canary" not in f"{said} {said!r} {said.model_dump()} {said.model_dump_json()}"
