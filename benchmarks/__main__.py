"""``python -m benchmarks``: measures everything, prints the table, and writes it down if asked."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import crowd, fleet, footprint, growth, one_shot, refreshing, simulation, throughput, trips
from benchmarks.figures import Figure, markdown
from benchmarks.stage import FULL, SMOKE, SOURCES, Stage, stage

SECTIONS = {
    "one-shot": one_shot.measure,
    "trips": trips.measure,
    "throughput": throughput.measure,
    "refreshing": refreshing.measure,
    "footprint": footprint.measure,
    "crowd": crowd.measure,
    "fleet": fleet.measure,
}
PAGE = SOURCES / "docs" / "performance.md"
IMAGES = SOURCES / "docs" / "images"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status: 0, and 1 if a target was not met.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"only these: {', '.join(SECTIONS)}")
    parser.add_argument("--smoke", action="store_true", help="so little of each that the figures say nothing")
    parser.add_argument("--prefix", type=Path, help="an environment to measure, instead of one made from a wheel")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(SOURCES)}, with pictures")
    arguments = parser.parse_args(argv)
    with stage(SMOKE if arguments.smoke else FULL, prefix=arguments.prefix) as where:
        figures = run(where, arguments.sections or list(SECTIONS))
        pictures = growth.pictures(where) if arguments.write else {}
    table = f"{machine()}\n\n{markdown(figures)}"
    sys.stdout.write(table)
    if arguments.write:
        tally = simulation.Simulation().run()
        pictures["simulation.svg"] = simulation.picture(tally)
        rows = "".join(f"| {what} | {count} |\n" for what, count in tally.rows())
        put("figures", table)
        put("simulation", f"| in 72 simulated hours | |\n|---|---|\n{rows}")
        for name, picture in pictures.items():
            IMAGES.mkdir(exist_ok=True)
            (IMAGES / name).write_text(picture)
    return 0 if all(figure.is_met for figure in figures) else 1


def put(mark: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between two marks of a page."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
    before, _, rest = page.read_text().partition(begin)
    page.write_text(before + begin + text + end + rest.partition(end)[2])


def run(where: Stage, sections: Sequence[str]) -> list[Figure]:
    """Measure some sections."""
    figures = []
    for name in sections:
        sys.stderr.write(f"{name} ...\n")
        figures += SECTIONS[name](where)
    return figures


def machine() -> str:
    """What all this was measured on, without saying whose it is."""
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), {platform.system()} {kernel}, "
        f"Python {platform.python_version()}; medians of programs that took turns."
    )


if __name__ == "__main__":
    sys.exit(main())
