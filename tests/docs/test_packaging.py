"""What packages are made of says the same as the program: one version, and files that are there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

import tokenward

ROOT = Path(__file__).resolve().parents[2]
FORMULA = ROOT / "packaging" / "homebrew" / "tokenward.rb"


def test_every_recipe_has_the_version_of_the_program() -> None:
    """The formula's archive, and the newest entry of Debian's changelog."""
    assert f"tokenward-{tokenward.__version__}.tar.gz" in FORMULA.read_text()
    entry = (ROOT / "packaging" / "debian" / "changelog").read_text().partition("\n")[0]
    assert entry.startswith(f"tokenward ({tokenward.__version__})")


def test_what_the_build_names_is_there() -> None:
    """Files that the wheel and the source archive take in exist, and nothing that is tracked is left out."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    taken = [*build["wheel"]["force-include"], *build["wheel"]["shared-data"], *build["wheel"]["shared-scripts"]]
    assert [each for each in taken if not (ROOT / each).exists()] == []
    included = [each.removeprefix("/") for each in build["sdist"]["include"]]
    if not (ROOT / ".git").exists() or (git := shutil.which("git")) is None:
        pytest.skip("NOT TESTED: this is no checkout, so what is tracked is not known")
    tracked = subprocess.run(
        [git, "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    tops = {each.partition("/")[0] for each in tracked} - {".gitignore"}  # which hatchling always takes in
    assert {top for top in tops if not any(fnmatch(top, pattern) for pattern in included)} == set()


def test_the_formula_is_ruby() -> None:
    """A syntax error would be found by the first who installs it."""
    if (ruby := shutil.which("ruby")) is None:
        pytest.skip("NOT TESTED: there is no ruby on PATH")
    checked = subprocess.run([ruby, "-c", FORMULA], capture_output=True, text=True, check=False)
    assert checked.stdout == "Syntax OK\n", checked.stderr


def test_the_newest_notes_are_of_this_version_or_unreleased() -> None:
    """The change log begins with what is not released, or with this version and its date."""
    newest = re.search(
        r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert newest is not None
    assert newest[1] == "Unreleased" or (newest[1] == tokenward.__version__ and newest[2])


def test_the_notes_stand_under_the_headings_of_keep_a_changelog() -> None:
    """Added, Changed, Deprecated, Removed, Fixed, Security, and nothing else."""
    headings = set(re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
