"""Token files, files of assignments and files made of templates; and who owns a published file."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from contracts.sink import FIRST, SECOND, SinkContract, published
from tokenward.core.credential import Kind
from tokenward.errors import ConfigurationFault
from tokenward.ports import Sink
from tokenward.settings import SinkSettings
from tokenward.sinks.env_file import EnvFileSink, rendered
from tokenward.sinks.publication_record import LARGEST_PUBLISHED, PublicationRecord
from tokenward.sinks.published_file import PublishedFile
from tokenward.sinks.template_file import TemplateFileSink
from tokenward.sinks.token_file import TokenFileSink

TEMPLATE = "machine $provider\n  password $token  # $$5, ends at $expires_at\n"


@pytest.fixture
def record(tmp_path: Path) -> PublicationRecord:
    """A record that knows of nothing."""
    return PublicationRecord(tmp_path / "published.json")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file may be published: a directory of the user's, with nothing in it."""
    directory = tmp_path / "theirs-to-read"
    directory.mkdir()
    return directory / "token"


class TestTokenFile(SinkContract):
    @pytest.fixture
    def sink(self, path: Path, record: PublicationRecord) -> Sink:
        """One token file."""
        return TokenFileSink(PublishedFile(path, record))

    def test_a_shell_reads_the_token(self, sink: Sink, path: Path) -> None:
        """The token, and nothing that `$(cat FILE)` would keep."""
        sink.publish(published(FIRST))
        said = subprocess.run(["/bin/sh", "-c", f'printf %s "$(cat {path})"'], capture_output=True, check=True)
        assert said.stdout == FIRST.encode()


class TestEnvFile(SinkContract):
    @pytest.fixture
    def sink(self, path: Path, record: PublicationRecord) -> Sink:
        """One file of assignments."""
        return EnvFileSink(PublishedFile(path, record))

    def test_a_shell_sources_it(self, sink: Sink, path: Path) -> None:
        """A token with characters that a shell would obey arrives as it is."""
        token = 'sk-ant-oat01-$HOME`x`"#; *'
        sink.publish(published(token))
        script = f'. {path}; printf %s "$CLAUDE_CODE_OAUTH_TOKEN $TOKENWARD_EXPIRES_AT"'
        said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, text=True)
        assert said.stdout == f"{token} 2000000000"

    @pytest.mark.parametrize(
        ("provider", "kind", "name"),
        [
            ("anthropic", Kind.API_KEY, "ANTHROPIC_API_KEY"),
            ("anthropic", Kind.AUTH_TOKEN, "ANTHROPIC_AUTH_TOKEN"),
            ("anthropic", Kind.OAUTH, "CLAUDE_CODE_OAUTH_TOKEN"),
            ("anthropic", Kind.SETUP_TOKEN, "CLAUDE_CODE_OAUTH_TOKEN"),
            ("acme-eu", Kind.OAUTH, "ACME_EU_TOKEN"),
            ("acme", Kind.API_KEY, "ACME_API_KEY"),
            ("9router", Kind.API_KEY, "_9ROUTER_API_KEY"),
        ],
    )
    def test_the_variable_fits_the_kind(self, provider: str, kind: Kind, name: str) -> None:
        """A login's token where a key is expected would go out in the wrong header."""
        lines = rendered(replace(published("k"), provider=provider, kind=kind)).decode().splitlines()
        assert lines[0].partition("=")[0] == name

    def test_a_gateway_goes_with_its_token(self) -> None:
        """Else the token would be sent to Anthropic; and no end is said where none is known."""
        token = replace(
            published("sk-gateway", kind=Kind.AUTH_TOKEN, expires_at=None), base_url="https://gw.example"
        )
        assert rendered(token) == b"ANTHROPIC_AUTH_TOKEN='sk-gateway'\nANTHROPIC_BASE_URL='https://gw.example'\n"
        assert rendered(token, "MINE").startswith(b"MINE='sk-gateway'\n")

    @pytest.mark.parametrize("token", ["a'b", "a\\b", "a\nEVIL='x'"])
    def test_what_quotes_cannot_hold_is_refused(self, token: str) -> None:
        """A value that ends its quotes would be an assignment of its own, or a command."""
        with pytest.raises(ConfigurationFault, match="CLAUDE_CODE_OAUTH_TOKEN") as refused:
            rendered(published(token))
        assert token not in str(refused.value)


class TestTemplateFile(SinkContract):
    @pytest.fixture
    def sink(self, path: Path, record: PublicationRecord, tmp_path: Path) -> Sink:
        """A file made of a template."""
        (tmp_path / "template").write_text(TEMPLATE)
        return TemplateFileSink(PublishedFile(path, record), tmp_path / "template")

    def test_the_template_is_filled_in(self, sink: Sink, path: Path, tmp_path: Path) -> None:
        """And read anew at each publication."""
        sink.publish(published(FIRST))
        assert path.read_text() == f"machine anthropic\n  password {FIRST}  # $5, ends at 2000000000\n"
        (tmp_path / "template").write_text("${token}!")
        assert sink.publish(published(FIRST))
        assert path.read_text() == f"{FIRST}!"

    @pytest.mark.parametrize(
        ("template", "words"),
        [("$refresh_token", "not known"), ("a $ b", "stands alone"), ("$token $base_url", "has no base_url")],
    )
    def test_a_wrong_template_leaves_the_old_file(
        self, sink: Sink, path: Path, tmp_path: Path, template: str, words: str
    ) -> None:
        """No placeholder becomes an empty text, and none asks for a refresh token."""
        sink.publish(published(FIRST))
        (tmp_path / "template").write_text(template)
        with pytest.raises(ConfigurationFault, match=words):
            sink.publish(published(SECOND))
        assert FIRST in path.read_text()


class TestPublishedFile:
    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
    def test_the_mode_is_as_configured(self, path: Path, record: PublicationRecord, mode: int) -> None:
        """From the first file on, and repaired where somebody changed it."""
        file = PublishedFile(path, record, mode=mode)
        file.publish(b"one")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        path.chmod(0o644)
        assert file.publish(b"one")
        assert stat.S_IMODE(path.stat().st_mode) == mode

    def test_our_own_directory_is_made_private(self, tmp_path: Path, record: PublicationRecord) -> None:
        """With all that is missing above it; and whatever lies in it is ours to replace."""
        path = tmp_path / "run" / "tokens" / "sdk"
        PublishedFile(path, record, in_our_directory=True).publish(b"one")
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        again = PublishedFile(path, PublicationRecord(tmp_path / "lost"), in_our_directory=True)
        assert again.publish(b"two")
        assert path.read_bytes() == b"two"

    def test_a_foreign_directory_is_not_made(self, tmp_path: Path, record: PublicationRecord) -> None:
        """A mistyped path makes no directories; the hint says how to make it."""
        with pytest.raises(ConfigurationFault, match="does not exist") as refused:
            PublishedFile(tmp_path / "mistyped" / "token", record).publish(b"one")
        assert "mkdir" in refused.value.hint
        assert not (tmp_path / "mistyped").exists()

    def test_a_directory_that_others_may_write_is_refused(self, path: Path, record: PublicationRecord) -> None:
        """There, others could put another token, or a symbolic link, in the file's place."""
        path.parent.chmod(0o777)
        with pytest.raises(ConfigurationFault, match="others may replace"):
            PublishedFile(path, record).publish(b"one")
        path.parent.chmod(0o1777)
        assert PublishedFile(path, record).publish(b"one")

    def test_a_failed_write_leaves_the_old_file(
        self, path: Path, record: PublicationRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a full disk the old token stays whole, and no temporary file stays beside it."""
        file = PublishedFile(path, record)
        file.publish(b"one")

        def full(_fd: int, _data: bytes, _offset: int) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("tokenward.sinks.published_file.write_at", full)
        with pytest.raises(OSError, match="No space"):
            file.publish(b"two")
        assert path.read_bytes() == b"one"
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
        monkeypatch.undo()
        assert file.publish(b"two")


class TestRecord:
    def test_another_process_knows_what_we_published(self, path: Path, record: PublicationRecord) -> None:
        """A restart replaces and withdraws the file of the process before it."""
        PublishedFile(path, record).publish(b"one")
        again = PublishedFile(path, PublicationRecord(path.parents[1] / "published.json"))
        assert again.publish(b"two")
        assert again.withdraw()

    def test_what_a_person_changed_is_no_longer_ours(self, path: Path, record: PublicationRecord) -> None:
        """An edited file is neither written over nor removed."""
        file = PublishedFile(path, record)
        file.publish(b"one")
        path.write_bytes(b"edited")
        with pytest.raises(ConfigurationFault, match="did not write"):
            file.publish(b"two")
        assert not file.withdraw()
        assert record.remove_leftovers([]) == []
        assert path.read_bytes() == b"edited"

    def test_a_huge_file_is_nobody_of_ours(self, path: Path, record: PublicationRecord) -> None:
        """It is not read whole to find that out, and what would become one is refused."""
        file = PublishedFile(path, record)
        file.publish(b"one")
        path.write_bytes(bytes(LARGEST_PUBLISHED + 1))
        with pytest.raises(ConfigurationFault, match="did not write"):
            file.publish(b"two")
        assert not file.withdraw()
        path.unlink()
        with pytest.raises(ConfigurationFault, match="larger than"):
            file.publish(bytes(LARGEST_PUBLISHED + 1))

    def test_leftovers_are_removed_and_kept_files_stay(self, path: Path, record: PublicationRecord) -> None:
        """A sink that left the configuration leaves no token behind."""
        other = path.with_name("other")
        for each in (path, other):
            PublishedFile(each, record).publish(b"one")
        assert record.remove_leftovers([other]) == [path]
        assert (path.exists(), other.exists()) == (False, True)

    def test_it_holds_no_token(self, path: Path, record: PublicationRecord) -> None:
        """Digests only."""
        TokenFileSink(PublishedFile(path, record)).publish(published(FIRST))
        assert FIRST not in (path.parents[1] / "published.json").read_text()

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 1}', '{"files": {"a": 1}}'])
    def test_a_torn_record_says_nothing(self, path: Path, tmp_path: Path, text: str) -> None:
        """What it would have known is then somebody else's; new files are published."""
        (tmp_path / "torn.json").write_text(text)
        record = PublicationRecord(tmp_path / "torn.json")
        assert record.remove_leftovers([]) == []
        assert PublishedFile(path, record).publish(b"one")


def test_the_mode_of_no_sink_lets_others_read() -> None:
    """The modes that can be configured give others nothing."""
    modes = TypeAdapter(SinkSettings).json_schema()["properties"]["mode"]["enum"]
    assert not any(int(mode, 8) & 0o007 for mode in modes)
