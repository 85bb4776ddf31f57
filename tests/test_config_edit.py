"""One line of the configuration is changed, and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tokenward.config_edit import remove_table, set_value, set_values
from tokenward.errors import ConfigurationFault

TABLE = ("sources", "claude-code")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[sources.claude-code]\nrefresh = "direct"\n'),
        (
            "# mine\n[default]\nrefresh_margin = 60 # s\n",
            '# mine\n[default]\nrefresh_margin = 60 # s\n\n[sources.claude-code]\nrefresh = "direct"\n',
        ),
        (
            '[sources.claude-code]  # theirs\ncommand = "c"\n\n[store]\nkey = "file"\n',
            '[sources.claude-code]  # theirs\nrefresh = "direct"\ncommand = "c"\n\n[store]\nkey = "file"\n',
        ),
        (
            "[sources.claude-code]\nrefresh = 'watch'  # for now\n",
            '[sources.claude-code]\nrefresh = "direct"  # for now\n',
        ),
        (
            '[sources.neurolink]\nrefresh = "watch"\n[sources.claude-code]\nrefresh = "auto"\n',
            '[sources.neurolink]\nrefresh = "watch"\n[sources.claude-code]\nrefresh = "direct"\n',
        ),
    ],
)
def test_one_line_is_added_or_replaced(tmp_path: Path, before: str, after: str) -> None:
    """Comments, order and other tables stay as they were."""
    path = tmp_path / "config.toml"
    path.write_text(before)
    assert set_value(path, TABLE, "refresh", "direct")
    assert path.read_text() == after
    assert not set_value(path, TABLE, "refresh", "direct")
    assert path.read_text() == after


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It is made with its directory, and a mode that is there is kept."""
    path = tmp_path / "tokenward" / "config.toml"
    assert set_value(path, TABLE, "refresh", "watch")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    assert set_value(path, TABLE, "refresh", "direct")
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in path.parent.iterdir()] == ["config.toml"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    """What it leads to is written: people keep their configuration in a repository."""
    real = tmp_path / "dotfiles.toml"
    real.write_text("")
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    set_value(link, TABLE, "refresh", "watch")
    assert link.is_symlink()
    assert tomllib.loads(real.read_text())["sources"]["claude-code"]["refresh"] == "watch"


@pytest.mark.parametrize(
    "text",
    [
        'sources = { claude-code = { refresh = "auto" } }\n',
        'sources.claude-code.command = "c"\n',
        '[sources]\nclaude-code.refresh = "auto"\n',
        "a = '''\n[sources.claude-code]\n'''\n",
        "[sources\n",
        "sources = 3\n",
    ],
)
def test_what_cannot_be_edited_safely_is_left_to_the_person(tmp_path: Path, text: str) -> None:
    """The file stays as it is, and the line to write is told."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationFault, match="was not changed") as fault:
        set_value(path, TABLE, "refresh", "direct")
    assert 'refresh = "direct" under [sources.claude-code]' in fault.value.hint
    assert path.read_text() == text


SINK = ("sinks", "tokenward")
VALUES = {"format": "anthropic-profile", "profile": "anthropic:work"}


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# mine\n[default]\nrefresh_margin = 60 # s\n",
        "[default]\nrefresh_margin = 60\n\n# about the store\n[store]\nkey = 'file'\n",
    ],
)
def test_a_table_is_added_and_removed_again(tmp_path: Path, before: str) -> None:
    """Several values at once, and after its removal the text is what it was, to the character."""
    path = tmp_path / "config.toml"
    path.write_text(before)
    assert set_values(path, SINK, VALUES)
    assert tomllib.loads(path.read_text())["sinks"] == {"tokenward": VALUES}
    assert not set_values(path, SINK, VALUES)
    assert remove_table(path, SINK)
    assert path.read_text() == before
    assert not remove_table(path, SINK)


def test_a_table_in_the_middle_goes_alone(tmp_path: Path) -> None:
    """Its neighbours stay, with the comment above the next one, and so does another sink."""
    path = tmp_path / "config.toml"
    path.write_text('[sinks.a]\nx = "1"\n\n[sinks.tokenward]\nx = ["a",\n"b"]\n# about b\n[sinks.b]\nx = "2"\n')
    assert remove_table(path, SINK)
    assert path.read_text() == '[sinks.a]\nx = "1"\n# about b\n[sinks.b]\nx = "2"\n'


@pytest.mark.parametrize(
    "text", ["sinks = { tokenward = { a = 1 } }\n", '[sinks.tokenward]\na = "1"\n[sinks.tokenward.below]\nb = 1\n']
)
def test_a_table_that_cannot_be_cut_out_stays(tmp_path: Path, text: str) -> None:
    """In an inline table, or with tables below it: the person is told what to remove."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationFault) as refused:
        remove_table(path, SINK)
    assert "remove [sinks.tokenward]" in refused.value.hint
    assert path.read_text() == text
