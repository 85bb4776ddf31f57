"""A published profile: what the SDKs read, and nothing that they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.sink import SinkContract, published
from tokenward.core.credential import Kind
from tokenward.errors import ConfigurationFault
from tokenward.ports import Sink
from tokenward.sinks.anthropic_profile import AnthropicProfileSink, rendered_config, rendered_credentials
from tokenward.sinks.publication_record import PublicationRecord

ENDS = datetime(2033, 5, 18, 3, 33, 20, 999_000, tzinfo=UTC)
LOGIN = published("sk-ant-oat01-access", expires_at=ENDS)


@pytest.fixture
def sink(tmp_path: Path) -> AnthropicProfileSink:
    """A profile named tokenward, in a directory that does not exist yet."""
    return AnthropicProfileSink(tmp_path / "anthropic", "tokenward", PublicationRecord(tmp_path / "record.json"))


class TestContract(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        """A profile in a directory that does not exist yet."""
        record = PublicationRecord(tmp_path / "record.json")
        return AnthropicProfileSink(tmp_path / "anthropic", "tokenward", record)


class TestRendering:
    def test_the_secret_is_an_access_token_in_whole_seconds(self) -> None:
        """No refresh token, and an end that is rounded down."""
        assert json.loads(rendered_credentials(LOGIN)) == {
            "version": "1.0",
            "type": "oauth_token",
            "access_token": "sk-ant-oat01-access",
            "expires_at": 2_000_000_000,
        }

    def test_an_unknown_end_is_left_out(self) -> None:
        """Zero would mean "ask each time" to the SDKs, and null is no number."""
        token = published("sk-ant-oat01-setup", kind=Kind.SETUP_TOKEN, expires_at=None)
        assert "expires_at" not in json.loads(rendered_credentials(token))

    def test_the_configuration_names_no_client(self) -> None:
        """Without a client_id the SDKs never refresh by themselves."""
        assert json.loads(rendered_config(LOGIN)) == {
            "version": "1.0",
            "authentication": {"type": "user_oauth"},
            "published_by": "tokenward",
        }

    def test_address_and_workspace_go_along(self) -> None:
        """What every request of the profile needs besides its token."""
        token = replace(
            LOGIN, base_url="https://gateway.example", headers=(("anthropic-workspace-id", "wrkspc_1"),)
        )
        document = json.loads(rendered_config(token))
        assert (document["base_url"], document["workspace_id"]) == ("https://gateway.example", "wrkspc_1")


class TestFiles:
    def test_modes_are_what_the_sdks_demand_whatever_the_umask(self, sink: AnthropicProfileSink) -> None:
        """The secret is 0600, its directories are the owner's alone."""
        before = os.umask(0)
        try:
            sink.publish(LOGIN)
        finally:
            os.umask(before)
        assert sink.credentials.stat().st_mode & 0o777 == 0o600
        assert sink.config.stat().st_mode & 0o077 == 0
        for directory in (sink.config.parent, sink.credentials.parent, sink.config.parents[1]):
            assert directory.stat().st_mode & 0o777 == 0o700

    def test_a_rotation_replaces_the_secret_and_closes_it_again(self, sink: AnthropicProfileSink) -> None:
        """Another file under the same name, 0600 though somebody opened the old one, nothing left beside it."""
        sink.publish(LOGIN)
        sink.credentials.chmod(0o644)
        before = sink.credentials.stat().st_ino
        sink.publish(published("sk-ant-oat01-second", expires_at=ENDS))
        assert json.loads(sink.credentials.read_bytes())["access_token"] == "sk-ant-oat01-second"
        assert sink.credentials.stat().st_ino != before
        assert sink.credentials.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in sink.credentials.parent.iterdir()] == ["tokenward.json"]

    def test_what_says_so_already_is_not_written(self, sink: AnthropicProfileSink) -> None:
        """A second publication of the same value wakes nobody who watches the files."""
        sink.publish(LOGIN)
        before = [path.stat().st_ino for path in (sink.config, sink.credentials)]
        sink.publish(LOGIN)
        assert [path.stat().st_ino for path in (sink.config, sink.credentials)] == before

    @pytest.mark.parametrize("which", ["config", "credentials"])
    def test_a_symbolic_link_is_refused(self, sink: AnthropicProfileSink, tmp_path: Path, which: str) -> None:
        """The SDKs refuse one, so its target gets no token either."""
        path: Path = getattr(sink, which)
        path.parent.mkdir(parents=True)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_text("theirs")
        path.symlink_to(elsewhere)
        with pytest.raises(ConfigurationFault, match="symbolic link"):
            sink.publish(LOGIN)
        assert elsewhere.read_text() == "theirs"

    @pytest.mark.parametrize(
        ("which", "text"),
        [
            ("config", '{"version":"1.0","authentication":{"type":"user_oauth","client_id":"x"}}'),
            ("config", "torn"),
            ("credentials", "{}"),
        ],
    )
    def test_another_programs_profile_stays(self, sink: AnthropicProfileSink, which: str, text: str) -> None:
        """What we did not publish is neither written over nor withdrawn, also where only half of it is there."""
        path: Path = getattr(sink, which)
        path.parent.mkdir(parents=True)
        path.write_text(text)
        with pytest.raises(ConfigurationFault, match="another program"):
            sink.publish(LOGIN)
        sink.withdraw()
        assert path.read_text() == text

    def test_a_withdrawn_profile_is_gone(self, sink: AnthropicProfileSink) -> None:
        """Both files, and once more does no harm."""
        sink.publish(LOGIN)
        sink.withdraw()
        sink.withdraw()
        assert not sink.config.exists()
        assert not sink.credentials.exists()

    def test_an_api_key_is_refused(self, sink: AnthropicProfileSink) -> None:
        """The SDKs would send it as a bearer token, which the API refuses."""
        with pytest.raises(ConfigurationFault, match="API key"):
            sink.publish(published("sk-ant-api03-key", kind=Kind.API_KEY))
        assert not sink.config.exists()

    @pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "a b", "x" * 200])
    def test_a_name_that_the_sdks_refuse(self, tmp_path: Path, name: str) -> None:
        """It is refused before anything is written, and above all where it leads out of the directory."""
        with pytest.raises(ConfigurationFault):
            AnthropicProfileSink(tmp_path, name, PublicationRecord(tmp_path / "record.json"))


def test_the_real_sdk_reads_it(sink: AnthropicProfileSink) -> None:
    """Anthropic's own SDK takes the profile by its name and has our token in it."""
    pytest.importorskip("anthropic", reason="NOT TESTED with Anthropic's SDK: it is not installed")
    sink.publish(LOGIN)
    script = (
        "import anthropic\n"
        "from anthropic.lib.credentials import CredentialsFile\n"
        "client = anthropic.Anthropic(profile='tokenward')\n"
        "token = CredentialsFile(profile='tokenward')()\n"
        "print(token.token, token.expires_at)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": "/nonexistent", "ANTHROPIC_CONFIG_DIR": str(sink.config.parents[1])},
    )
    assert (ran.stdout.split(), ran.returncode) == (["sk-ant-oat01-access", "2000000000"], 0), ran.stderr
