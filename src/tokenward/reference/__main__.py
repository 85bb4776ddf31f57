"""``python -m tokenward.reference``: write everything that is generated, into the checkout it is run in."""

from __future__ import annotations

import sys
from pathlib import Path

from tokenward.reference import files


def main() -> int:
    """Write the files, remove helps of commands that are no more, and name what changed."""
    if not Path("pyproject.toml").is_file():
        print("run this in a checkout of tokenward", file=sys.stderr)  # noqa: T201 - it is a command
        return 2
    wanted = files()
    for path in Path("tests/cli/help").glob("*.txt"):
        if path.as_posix() not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = Path(name)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(name)  # noqa: T201 - it is a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
