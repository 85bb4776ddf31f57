"""What packages are made of says the same as the program: one version, and files that are there."""

from __future__ import annotations

import hashlib
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


@pytest.mark.skipif(shutil.which("openssl") is None, reason="NOT TESTED: there is no openssl on PATH")
def test_the_formula_of_a_release_has_its_numbers(tmp_path: Path) -> None:
    """Addresses and sha256 of the archive, and none of the placeholders; the rest is as it was."""
    archive = tmp_path / "tokenward-0.1.0.tar.gz"
    archive.write_bytes(b"an archive")
    url = "https://releases.example.org/v0.1.0/tokenward-0.1.0.tar.gz"
    made = formula("https://example.org", url, str(archive))
    assert made.returncode == 0, made.stderr
    assert f'  url "{url}"\n  sha256 "{hashlib.sha256(b"an archive").hexdigest()}"\n' in made.stdout
    assert '  homepage "https://example.org"\n' in made.stdout
    assert ".invalid" not in made.stdout
    as_it_was = FORMULA.read_text().partition("class Tokenward")[2].splitlines()
    changed = set(made.stdout.partition("class Tokenward")[2].splitlines()) ^ set(as_it_was)
    assert {line.split()[0] for line in changed} == {"homepage", "url", "sha256"}


def test_a_formula_of_another_archive_is_refused(tmp_path: Path) -> None:
    """What is published there must be what the sum is of."""
    archive = tmp_path / "tokenward-0.1.0.tar.gz"
    archive.write_bytes(b"an archive")
    made = formula("https://example.org", "https://example.org/tokenward-0.2.0.tar.gz", str(archive))
    assert (made.returncode, made.stdout) == (2, "")
    assert formula("https://example.org").returncode == 2


def formula(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Have the formula of a release written."""
    command = [str(ROOT / "packaging" / "formula"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_stands_for_something_else_is_said() -> None:
    """A name that is nobody's is found in the recipes alone, and the page on releasing says so."""
    said = [path for path in (ROOT / "packaging").rglob("*") if path.is_file() and ".invalid" in path.read_text()]
    names = {"tokenward.rb", "control", "changelog"}
    assert {path.name for path in said} == names
    assert ".invalid" in (ROOT / "CONTRIBUTING.md").read_text()
    assert ".invalid" not in (ROOT / "pyproject.toml").read_text()


def test_the_formula_says_what_it_is_as_homebrew_wants_it() -> None:
    """`brew audit`, as far as it can be had without brew: one line of 80, without an article or a full stop."""
    text = FORMULA.read_text()
    (desc,) = re.findall(r'^  desc "(.*)"$', text, re.MULTILINE)
    assert len(f"tokenward: {desc}") <= 80
    assert not re.match(r"(?i)(an?|the|tokenward)\b", desc)
    assert not desc.endswith(".")
    order = [
        re.search(rf"^  {word}\b", text, re.MULTILINE) for word in ("desc", "homepage", "url", "sha256", "license")
    ]
    positions = [found.start() for found in order if found is not None]
    assert len(positions) == len(order)
    assert positions == sorted(positions)
    assert re.search(r"^  test do$", text, re.MULTILINE)
