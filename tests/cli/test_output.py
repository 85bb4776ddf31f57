"""The voice: clean texts, aligned columns, short durations, and an exit status for each kind of failure."""

import pytest

from tokenward import errors
from tokenward.cli import output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[31mred\x07", "a [31mred"),
        ("two\nlines", "two lines"),
        ("right\u202eto left", "right to left"),
        ("zero\u200bwidth", "zero width"),
        ("ünïcödé …", "ünïcödé …"),
        ("  /a/rather/long/path/that/is/not/a/secret/at/all  ", "/a/rather/long/path/that/is/not/a/secret/at/all"),
    ],
)
def test_what_a_terminal_obeys_is_taken_out(text: str, shown: str) -> None:
    """Control, direction and zero-width characters become spaces; everything else stays."""
    assert output.clean(text) == shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"), (-5, "0s"), (0, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m"), (90, "1m30s"), (3600, "1h"),
        (25_920, "7h12m"), (86_400, "1d"), (90_000, "1d1h"), (86_460, "1d"), (31_536_000, "365d"),
    ],
)  # fmt: skip
def test_a_duration_has_two_units_at_most(seconds: float | None, words: str) -> None:
    """The largest unit and the next, without spaces; what is past has run out."""
    assert output.duration(seconds) == words


def test_columns_are_aligned_and_do_not_trail() -> None:
    """Every column is as wide as its widest cell, and no line ends in spaces."""
    assert output.columns([("A", "B"), ("long cell", "x"), ("y", "")]) == ["A          B", "long cell  x", "y"]


ROWS = [("MODEL", "CONTEXT", "FROM TIER"), ("claude-opus", "200K", "max"), ("claude-haiku", "-", "free, or pro")]


def shown_at(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, terminal: bool = True
) -> list[str]:
    """The lines of a table on a terminal of so many columns, or in a pipe."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(output, "on_terminal", lambda: terminal)
    output.table(ROWS)
    return capsys.readouterr().out.splitlines()


def test_a_table_that_fits_is_aligned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a pipe that says it is narrow: programs get lines that never change shape."""
    aligned = output.columns(ROWS)
    widest = max(map(len, aligned))
    assert shown_at(widest, monkeypatch, capsys) == aligned
    assert shown_at(10, monkeypatch, capsys, terminal=False) == aligned


def test_a_table_that_does_not_fit_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line is longer than the terminal, nothing that is known is left out, and no cell stands alone."""
    lines = shown_at(26, monkeypatch, capsys)
    assert lines == [
        "claude-opus",
        "  context 200K, from tier",
        "  max",
        "claude-haiku",
        "  from tier free, or pro",
    ]


def test_rows_without_headings_are_said_in_words_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below the mark and the name, which stay on a line; what is unknown is left out."""
    rows = [("*", "acme:me", "oauth", "7h", "next"), ("x", "acme:work", "-", "-", "disabled")]
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    for width, lines in (
        (80, output.columns(rows)),
        (26, ["*  acme:me", "   oauth, valid for 7h,", "   next", "x  acme:work", "   disabled"]),
    ):
        monkeypatch.setenv("COLUMNS", str(width))
        output.marked_rows(rows, ("", "valid for ", ""))
        assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("/home/me/x", "~/x"),
        ("look (/home/me/x)", "look (~/x)"),
        ("/home/meadow", "/home/meadow"),
        ("/mnt/home/me/x", "/mnt/home/me/x"),
        ("/home/me", "/home/me"),
    ],
)
def test_a_person_sees_the_home_directory_by_its_short_name(
    monkeypatch: pytest.MonkeyPatch, text: str, seen: str
) -> None:
    """Where a shell would take it for the same; a pipe gets the path."""
    monkeypatch.setenv("HOME", "/home/me/")
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    assert output.as_seen(text) == seen
    monkeypatch.setattr(output, "on_terminal", lambda: False)
    assert output.as_seen(text) == text


EXPECTED = {
    "NoCredentials": 3,
    "LoginRequired": 3,
    "DaemonUnreachable": 4,
    "StoreUnavailable": 5,
    "InvalidParams": 2,
}


@pytest.mark.parametrize("name", sorted(errors.by_name()))
def test_every_error_has_its_exit_status(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """3 for a person, 4 without a daemon, 5 for a locked store, 2 for wrong arguments, else 1; on two lines."""
    assert output.complain_of(errors.by_name()[name]("what\nwas", hint="what to do")) == EXPECTED.get(name, 1)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "tokenward: what was\n  hint: what to do\n")


def test_an_error_without_a_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No empty hint is shown."""
    output.complain("cause", "")
    assert capsys.readouterr().err == "tokenward: cause\n"


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """A control character from a server reaches a terminal only as an escape."""
    output.as_json({"a": "\x1b\u202e"})
    assert capsys.readouterr().out == '{"a":"\\u001b\\u202e"}\n'
