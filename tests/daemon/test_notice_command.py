"""The program that tells a person, for real: one of its own, in a clean environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tokenward.core.notices import Kind, Matter
from tokenward.daemon.notice_command import tell_person
from tokenward.daemon.notices import variables
from tokenward.settings import EventSettings

MATTER = Matter(
    Kind.LOGIN_REQUIRED, "acme:me", "acme:me needs a login", "it was <b>revoked</b>", "tokenward login"
)


async def test_the_program_sees_what_happened_and_nothing_else(tmp_path: Path) -> None:
    """Its variables, its desktop's, those that were asked for; no credential of the daemon's environment."""
    out = tmp_path / "out"
    program = f"import os; open({str(out)!r}, 'w').write(repr(dict(os.environ)))"
    environ = {
        "PATH": "/usr/bin:/bin",
        "ANTHROPIC_API_KEY": "sk-ant-api03-x",
        "DISPLAY": ":7",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/bus",
        "XDG_RUNTIME_DIR": "/run/user/7",
        "MINE": "1",
    }
    said = EventSettings(on_event=("x",), env=("MINE",))
    why = await tell_person([sys.executable, "-c", program], variables(MATTER), said=said, environ=environ)
    assert why is None
    seen = out.read_text()
    for name in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "MINE", "TOKENWARD_EVENT"):
        assert f"'{name}'" in seen
    assert "ANTHROPIC" not in seen


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["/nowhere/tell"], "it cannot be run: No such file or directory"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "it ended with status 3"),
    ],
)
async def test_why_it_failed(argv: list[str], why: str) -> None:
    """In words."""
    assert await tell_person(argv, {}, said=EventSettings(), environ={"PATH": "/bin"}) == why
