"""What the configuration says of a shared store becomes the place where hosts share, or one line of why not."""

from pathlib import Path

import pytest

from tokenward.core.credential import Secret
from tokenward.daemon.fleet_access import fleet_place
from tokenward.daemon.options import Options
from tokenward.errors import ConfigurationFault
from tokenward.store_settings import StoreSettings

URL = Secret("postgresql://me:canary@127.0.0.1:1/fleet")


@pytest.fixture
def options() -> Options:
    """How a daemon is started whose state is at one place; nothing is there."""
    return Options({"HOME": "/nowhere", "TOKENWARD_STATE_DIR": "/nowhere/state"})


def test_who_shares_nothing_is_told_what_to_write(options: Options) -> None:
    """The table and the key, with a value to begin with."""
    with pytest.raises(ConfigurationFault) as caught:
        fleet_place(options, StoreSettings(), holder="h-1", host="h")
    assert "[store]" in caught.value.hint
    assert 'shared = "postgresql://' in caught.value.hint


@pytest.mark.parametrize(
    ("said", "where"),
    [
        (StoreSettings(shared=URL), "/nowhere/state/fleet.key"),
        (StoreSettings(shared=URL, shared_key_file=Path("/elsewhere")), "/elsewhere"),
        (StoreSettings(shared=URL, shared_key="systemd"), "systemd credential tokenward-fleet-key"),
        (StoreSettings(shared=URL, shared_key="command", shared_key_command=("/bin/keys",)), "the command keys"),
    ],
)
def test_the_keys_are_looked_for_where_they_are_said_to_be(
    options: Options, said: StoreSettings, where: str
) -> None:
    """Beside the state, in another file, in systemd's directory, or from a command; our names go along."""
    place = fleet_place(options, said, holder="h-1", host="h")
    assert where in place.document.description
    assert (place.url, place.holder, place.host) == (URL, "h-1", "h")
    assert "canary" not in repr(place)


def test_settings_do_not_show_the_password() -> None:
    """However they are printed."""
    said = StoreSettings(shared=URL)
    assert "canary" not in f"{said} {said!r}"
