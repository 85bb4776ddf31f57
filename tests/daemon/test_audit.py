"""The audit: first times are lines, repeats are counts, tokens are nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from fakes.machine import FakeClock
from tokenward.core.credential import to_unix_milliseconds
from tokenward.daemon.audit import (
    FORGOTTEN_AT_ONCE,
    LARGEST_FILE_BYTES,
    LARGEST_MEMORY,
    REPEATS_SECONDS,
    AuditLog,
    Seen,
)
from tokenward.daemon.daemon_models import HelloResult
from tokenward.daemon.peer import Peer
from tokenward.daemon.standing_answer import HandedOut
from tokenward.daemon.token_models import TokenResult

ME = Peer(41, 1000, 1000)
TOKEN = "sk-ant-oat01-secret"


def answer(generation: str = "0123456789ab") -> TokenResult:
    """What `token.get` gives."""
    return TokenResult(
        token=TOKEN, kind="oauth", token_type="Bearer", profile="acme:me", provider="acme", source="store",
        generation=generation, expires_at_ms=None, valid_for=None, headers={"authorization": f"Bearer {TOKEN}"},
        base_url=None, billing=None, tier=None, degraded=None,
    )  # fmt: skip


def on_lane(key: str, why: str) -> HandedOut:
    """The same, encoded."""
    return HandedOut(answer().model_dump_json().encode(), "acme:me", "0123456789ab", key, why)


@pytest.fixture
def clock() -> FakeClock:
    """Stands still until told."""
    return FakeClock()


@pytest.fixture
def audit(tmp_path: Path, clock: FakeClock) -> AuditLog:
    """An audit of nothing yet."""
    return AuditLog(tmp_path / "audit.jsonl", clock)


def lines(taken: bytes) -> list[dict[str, Any]]:
    """The lines as objects."""
    return [json.loads(line) for line in taken.splitlines()]


def test_the_first_time_is_a_line(audit: AuditLog) -> None:
    """It says who, what, which profile and which generation, and holds no token."""
    audit(ME, "token.get", 0, answer())
    taken = audit.take()
    assert TOKEN.encode() not in taken
    (line,) = lines(taken)
    expected = {"pid": 41, "uid": 1000, "method": "token.get", "code": 0, "profile": "acme:me"}
    assert line.items() >= {**expected, "generation": "0123456789ab"}.items()
    assert audit.take() == b""


def test_the_lane_is_audited_alike(audit: AuditLog) -> None:
    """An encoded answer gives the same line as the model that it was made of."""
    audit(ME, "token.get", 0, answer())
    audit(ME, "token.get", 0, on_lane("acme:me", ""))
    assert len(lines(audit.take())) == 1


def test_repeats_are_counted_once_a_minute(audit: AuditLog, clock: FakeClock) -> None:
    """Nine more of the same are one line with their number, when the minute is over."""
    for _ in range(10):
        audit(ME, "token.get", 0, answer())
    assert len(lines(audit.take())) == 1
    clock.advance(REPEATS_SECONDS)
    (line,) = lines(audit.take())
    assert line["repeated"] == 9


def test_a_program_that_goes_round_ten_thousand_profiles_is_new_once_for_each(audit: AuditLog) -> None:
    """With that many profiles in turn, the second round is repeats, and no line for each answer."""
    for _ in range(2):
        for number in range(10_000):
            audit(ME, "token.get", 0, HandedOut(b"", f"acme:p{number}", "0123456789ab", f"acme:p{number}", "turn"))
    assert audit.take().count(b"\n") == 10_000


def test_past_its_memory_those_who_came_first_are_forgotten(audit: AuditLog) -> None:
    """Some of them, their repeats counted: they are news again, and nobody else is."""

    def ask(*numbers: int) -> None:
        for number in numbers:
            audit(ME, "token.get", 0, HandedOut(b"", f"acme:p{number}", "0123456789ab", f"acme:p{number}", "turn"))

    ask(*range(LARGEST_MEMORY), 0, 0, LARGEST_MEMORY - 1)
    assert audit.take().count(b"\n") == LARGEST_MEMORY
    ask(LARGEST_MEMORY)
    repeats, new = lines(audit.take())
    assert (repeats["profile"], repeats["repeated"]) == ("acme:p0", 2)
    assert (new["profile"], new.get("repeated")) == (f"acme:p{LARGEST_MEMORY}", None)
    ask(0, FORGOTTEN_AT_ONCE - 1, FORGOTTEN_AT_ONCE, LARGEST_MEMORY - 1)
    assert [line["profile"] for line in lines(audit.take())] == ["acme:p0", f"acme:p{FORGOTTEN_AT_ONCE - 1}"]


def test_a_line_is_made_when_it_is_written(
    audit: AuditLog, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking note encodes nothing; the line has the moment of the call all the same."""
    called_at = to_unix_milliseconds(clock.now)
    with monkeypatch.context() as patched:
        patched.setattr("tokenward.daemon.audit._encode", Mock(side_effect=AssertionError("encoded")))
        audit(ME, "token.get", 0, answer())
    clock.advance(20)
    assert [line["at_ms"] for line in lines(audit.take())] == [called_at]


def test_a_line_says_how_the_profile_was_chosen(audit: AuditLog) -> None:
    """What the broker noted of this answer, and the profile by its key; on the lane too, and each way a line."""
    audit.choice.set("acme:me", "0123456789ab", "crew/acme:me", "turn")
    audit(ME, "token.get", 0, answer())
    audit(ME, "token.get", 0, on_lane("crew/acme:me", "turn"))
    audit.choice.set("acme:me", "0123456789ab", "acme:me", "named")
    audit(ME, "token.get", 0, answer())
    audit(ME, "token.get", 0, on_lane("acme:me", "named"))
    audit.of_restricted(ME, "token.get", 0, answer())
    audit.of_restricted(ME, "token.get", 0, on_lane("acme:me", "named"))
    assert [(line["profile"], line["why"]) for line in lines(audit.take())] == [
        ("crew/acme:me", "turn"),
        ("acme:me", "named"),
        ("acme:me", "listed"),
    ]


def test_what_was_noted_of_another_answer_is_no_reason(audit: AuditLog) -> None:
    """Of an error, of another profile or of another value nothing is said that is not known."""
    audit.choice.set("acme:me", "0123456789ab", "acme:me", "turn")
    audit(ME, "token.get", -32003, None)
    audit(ME, "token.get", 0, answer("ba9876543210"))
    audit(ME, "token.get", 0, answer().model_copy(update={"profile": "acme:you"}))
    audit(ME, "daemon.stop", 0, None)
    assert [line["why"] for line in lines(audit.take())] == [""] * 4


def test_who_wants_to_know_is_told_of_each_line(audit: AuditLog, clock: FakeClock) -> None:
    """The first time at once, repeats with the line that counts them, and nothing of the token."""
    told: list[tuple[object, ...]] = []
    audit.told = lambda *line: told.append(line)
    for _ in range(3):
        audit(ME, "token.get", 0, answer())
    once = Seen(ME, "token.get", 0, answer().profile, answer().generation)
    assert told == [(once, 1)]
    clock.advance(REPEATS_SECONDS)
    audit.take()
    assert told == [(once, 1), (once, 2)]


def test_at_the_end_nothing_is_kept_back(audit: AuditLog) -> None:
    """The last repeats are written though their minute is not over."""
    audit(ME, "token.get", 0, answer())
    audit(ME, "token.get", 0, answer())
    assert [line.get("repeated") for line in lines(audit.take(everything=True))] == [None, 1]


def test_another_peer_or_generation_is_another_first_time(audit: AuditLog) -> None:
    """Each process and each value has its line."""
    audit(ME, "token.get", 0, answer())
    audit(ME._replace(pid=42), "token.get", 0, answer())
    audit(ME, "token.get", 0, answer("ba9876543210"))
    assert len(lines(audit.take())) == 3


def test_what_hands_nothing_out_is_not_noted(audit: AuditLog) -> None:
    """A greeting is no use of a credential."""
    audit(ME, "daemon.hello", 0, HelloResult(version="0", pid=1))
    assert audit.take() == b""


def test_it_is_appended_privately_and_rotated(audit: AuditLog, tmp_path: Path) -> None:
    """0600 whatever the umask; past its size the file becomes the old one, and the next write begins anew."""
    audit.write(b"x" * 10 + b"\n")
    audit.write(b"y\n")
    path = tmp_path / "audit.jsonl"
    assert path.read_bytes() == b"x" * 10 + b"\ny\n"
    assert path.stat().st_mode & 0o777 == 0o600
    audit.write(b"z" * LARGEST_FILE_BYTES + b"\n")
    audit.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "audit.jsonl.1").stat().st_size > LARGEST_FILE_BYTES


def test_a_link_in_its_place_is_not_followed(audit: AuditLog, tmp_path: Path) -> None:
    """What somebody would have us append to is not ours."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    (tmp_path / "audit.jsonl").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic"):
        audit.write(b"x\n")
    assert elsewhere.read_bytes() == b"theirs"
