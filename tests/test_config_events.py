"""What config.toml may say of notices, and what it may not, with the line."""

import os
from pathlib import Path

import pytest

from tokenward.config import load
from tokenward.errors import ConfigurationFault
from tokenward.settings import EventSettings


def events(directory: Path, text: str) -> EventSettings:
    """The table of a configuration."""
    path = directory / "config.toml"
    path.write_text(f"[events]\n{text}\n")
    path.chmod(0o600)
    return load(path, {"HOME": str(directory)}, uid=os.getuid(), platform="linux").settings.events


def test_a_preset_or_a_command(tmp_path: Path) -> None:
    """A list either way; nothing is run unless it is said."""
    assert events(tmp_path, 'on_event = ["notify"]').on_event == ("notify",)
    said = events(tmp_path, 'on_event = ["/bin/tell", "me now"]\nenv = ["MAILTO"]')
    assert (said.on_event, said.env) == (("/bin/tell", "me now"), ("MAILTO",))
    assert events(tmp_path, "").on_event == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('on_event = "notify"', "on_event"),
        ('on_event = ["notify", "me"]', "stands alone"),
        ('on_event = [""]', "on_event"),
        ('command = ["x"]', "is not a known key"),
    ],
)
def test_what_is_wrong_stops_the_start(tmp_path: Path, text: str, reason: str) -> None:
    """With the line and the reason."""
    with pytest.raises(ConfigurationFault, match=r"config\.toml:2: .*") as fault:
        events(tmp_path, text)
    assert reason in fault.value.cause
