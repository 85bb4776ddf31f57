"""Are the profile files of Anthropic's SDKs as tight as the SDKs want them?

They refuse a secret that others may open or that is a link, and a configuration that others may write. Claude Code
does not say so: it retries in silence for more than a minute (measured with 2.1.329).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from tokenward.checks.finding import CheckContext, Finding, to_run

NAME = "profile files"
_WRITE = stat.S_IWGRP | stat.S_IWOTH
_REFUSED = "Anthropic's SDKs refuse it, and Claude Code retries in silence"


def check(context: CheckContext) -> list[Finding]:
    """Every file below ``configs`` and ``credentials``."""
    directory = context.anthropic_profiles
    findings: list[Finding] = []
    for path in _files(directory / "credentials"):
        findings += _secret(path)
    for path in _files(directory / "configs"):
        try:
            loose = path.stat().st_mode & _WRITE
        except OSError:
            continue  # a link to nothing is no configuration
        if loose:
            findings.append(
                Finding(NAME, "fail", f"others may write {path}", to_run("chmod", "go-w", path), _REFUSED)
            )
    if findings:
        return findings
    return [Finding(NAME, "ok", f"no loose file in {directory}")] if directory.is_dir() else []


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.glob("*.json"))
    except OSError:
        return []


def _secret(path: Path) -> Iterator[Finding]:
    if path.is_symlink():
        target = path.resolve()
        yield Finding(NAME, "fail", f"{path} is a link to {target}", to_run("mv", target, path), _REFUSED)
        return
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        yield Finding(
            NAME, "warn", f"{path} cannot be looked at: {error.strerror}", to_run("ls", "-l", path), _REFUSED
        )
        return
    if mode & 0o077:
        yield Finding(NAME, "fail", f"others may open {path}", to_run("chmod", "600", path), _REFUSED)
