"""What docs/sources.md says to write into the configuration, with programs that behave as the real ones do."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tokenward.daemon import app
from tokenward.daemon.token_models import TokenParams
from tokenward.daemon.ward import Ward

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
RECIPES = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
_GCLOUD = """\
#!/bin/sh
case "$*" in
"config config-helper --format=json --min-expiry=5m")
    cat <<END
{{
  "configuration": {{"active_configuration": "default", "properties": {{"core": {{"account": "me"}}}}}},
  "credential": {{"access_token": "ya29.helper", "id_token": "eyJ.x.y", "token_expiry": "{end}"}},
  "sentinels": {{"config_sentinel": "/home/me/.config/gcloud/config_sentinel"}}
}}
END
    ;;
"auth application-default print-access-token") echo ya29.adc ;;
*) echo "ERROR: (gcloud) Invalid choice" >&2; exit 2 ;;
esac
"""
_GH = """\
#!/bin/sh
[ "$*" = "auth token" ] && echo gho_1
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All recipes in one file, and the programs in the path."""
    monkeypatch.setattr(app, "protect", lambda **_: None)
    end = datetime.now(UTC) + timedelta(minutes=40)
    for name, text in (("gcloud", _GCLOUD.format(end=end.strftime("%Y-%m-%dT%H:%M:%SZ"))), ("gh", _GH)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    path = tmp_path / "config.toml"
    path.write_text("\n".join(RECIPES))
    path.chmod(0o600)
    return path


def test_there_are_recipes() -> None:
    """The page's blocks are found, and each is whole TOML."""
    assert [set(tomllib.loads(text)["sources"]["command"]) for text in RECIPES] == [{"gcloud"}, {"adc"}, {"gh"}]


@pytest.mark.parametrize(
    ("profile", "token", "longest"),
    [("google:me", "ya29.helper", 2400), ("google:adc", "ya29.adc", 3000), ("github:me", "gho_1", None)],
)
async def test_each_hands_out_its_token(profile: str, token: str, longest: float | None, config: Path) -> None:
    """As a Bearer token, until the end that the program or the recipe names."""
    async with app.in_process_service(config=config, state_dir=None) as ward:
        answer = await ward.token(TokenParams(profile=profile))
        assert isinstance(ward, Ward)
    assert (answer.token, answer.headers["authorization"]) == (token, f"Bearer {token}")
    if longest is None:
        assert answer.valid_for is None
    else:
        assert answer.valid_for is not None
        assert longest - 120 < answer.valid_for <= longest
