"""The reference is the code's: nothing is left out of it, and the committed files are what the code says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tokenward import errors
from tokenward.cli.command_tree import command_tree, parsers
from tokenward.cli.main import whole_parser
from tokenward.core.credential import Kind
from tokenward.daemon.event_meanings import EVENT_MEANINGS
from tokenward.daemon.methods.registry import METHODS
from tokenward.reference import configuration, events, files
from tokenward.reference.__main__ import main
from tokenward.reference.schema_words import type_words

ROOT = Path(__file__).resolve().parents[2]
FILES = files()
MEND = "run: python -m tokenward.reference"


def as_compared(name: str, text: str) -> object:
    """The text; of what argparse writes, the words, where another Python than the oldest writes it another way.

    Each wraps lines in its own way, and from 3.13 on an option of two names names its value only once.
    """
    if not name.endswith(".txt") or sys.version_info.minor == 11:
        return text
    return re.sub(r"(--[\w-]+) (\S+), (--[\w-]+) \2", r"\1, \3 \2", text).split()


@pytest.mark.skipif(sys.platform == "darwin", reason="made on Linux: an argument of service is only there")
@pytest.mark.parametrize("name", FILES)
def test_a_committed_file_is_the_generated_one(name: str) -> None:
    """After every change of a key, a method, a command, an event or an error the one command was run."""
    committed = (ROOT / name).read_text(encoding="utf-8") if (ROOT / name).is_file() else ""
    assert as_compared(name, committed) == as_compared(name, FILES[name]), (
        f"{name} is not what the code says; {MEND}"
    )


def test_no_help_of_a_command_that_is_no_more() -> None:
    """Every golden file is one of a command that exists."""
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/cli/help").glob("*.txt")}
    assert there == {name for name in FILES if name.startswith("tests/cli/help/")}, MEND


def test_every_event_has_a_meaning() -> None:
    """The table beside the code names every type of event, and none that does not exist."""
    assert set(EVENT_MEANINGS) == set(events.types()), (
        "say what it means in src/tokenward/daemon/event_meanings.py"
    )
    assert all(EVENT_MEANINGS.values())


def test_every_key_of_the_configuration_has_a_meaning() -> None:
    """No key without a description."""
    assert configuration.undescribed() == [], "give it About(...) in its annotation, in src/tokenward/*settings.py"


def test_every_key_stands_in_the_page_with_its_table() -> None:
    """Keys of every kind are there: of a plain table, of one with any name, and of one below another."""
    page = FILES["docs/reference/config.md"]
    sections = {part.partition("\n")[0]: part for part in page.split("\n## ")}
    assert "`refresh_margin` | number from 0 to 3600 | `90.0`" in sections["`[default]`"]
    assert "`refresh_timeout` | number from 1 to 50 |" in sections["`[default]`"]
    assert "| `client_id` |" in sections["`[providers.NAME]`"]
    assert "| `command` | list of text | *required* |" in sections["`[sources.command.NAME]`"]
    assert "| `path` |" in sections["`[sources.claude-code]`"]
    assert "`federation`" not in sections["`[providers.NAME]`"]


def test_every_command_is_described_with_an_example() -> None:
    """In the page, in the manual and in a golden file; with its arguments and an example."""
    page, manual = FILES["docs/reference/cli.md"], FILES["man/tokenward.1"]
    commands = list(command_tree(whole_parser()).everything())[1:]
    assert len(commands) == len(list(parsers(whole_parser()))) - 1 > 40
    for command in commands:
        words = " ".join(("tokenward", *command.words))
        assert f"# {words}\n" in page
        assert f".SS {words}\n".replace("-", "\\-") in manual
        assert "-".join(words.split(" ")) in {Path(name).stem for name in FILES}
        assert words in command.example
        assert command.about
        for argument in command.arguments:
            assert argument.meaning, f"{words}: {argument} has no help"
            assert all(f"{flag}" in page for flag in argument.flags)


def test_every_method_is_described() -> None:
    """With a section of its own, and a line in the list."""
    page = FILES["docs/reference/rpc.md"]
    for name, method in METHODS.items():
        assert f"\n## {name}\n\n{method.summary}\n" in page
        assert f"[`{name}`](#{name.replace('.', '')}) |" in page


def test_every_error_is_described() -> None:
    """Each leaf of the tree has a row with its code."""
    page = FILES["docs/reference/errors.md"]
    for name, leaf in errors.by_name().items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        code = row.split("|")[2].strip()
        assert code == ("none" if leaf.code == errors.TokenwardError.code else str(leaf.code))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, "integer ≥ 1"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 25}, "number > 0, at most 25"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"enum": [kind.value for kind in list(Kind)[:2]]}, '`"api_key"`, `"auth_token"`'),
        ({"type": "array", "items": {"$ref": "#/components/schemas/ProfileResult"}}, "list of ProfileResult"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "table of text"),
        ({"type": "object", "additionalProperties": True}, "table"),
        ({"const": True}, "`true`"),
        ({}, "any"),
    ],
)
def test_a_type_in_words(schema: dict[str, object], words: str) -> None:
    """Short, and nothing of the schema's bounds is lost."""
    assert type_words(schema) == words


def test_the_command_writes_what_changed_and_removes_what_is_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a checkout: missing files are written, a golden file of no command goes, and a second run is silent."""
    monkeypatch.chdir(tmp_path)
    assert main() == 2
    Path("pyproject.toml").touch()
    stale = Path("tests/cli/help/tokenward-gone.txt")
    stale.parent.mkdir(parents=True)
    stale.touch()
    capsys.readouterr()
    assert main() == 0
    assert set(capsys.readouterr().out.split()) == set(FILES)
    assert not stale.exists()
    assert {name: Path(name).read_text() for name in FILES} == FILES
    assert main() == 0
    assert capsys.readouterr().out == ""
