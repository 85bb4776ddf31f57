"""The benchmarks still run. What they measure is judged by people, with ``python -m benchmarks``."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.figures import Figure, markdown
from benchmarks.stage import SMOKE, Stage, stage

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and pins processors")


@pytest.fixture
def smoke(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage with this installation, where nearly nothing is measured."""
    if shutil.which("taskset") is None:
        pytest.skip("NOT TESTED: the benchmarks need taskset, of util-linux")
    monkeypatch.setenv("PATH", os.defpath)
    with stage(SMOKE, prefix=Path(sys.prefix)) as ready:
        yield ready


@pytest.mark.parametrize("section", program.SECTIONS)
def test_each_section_measures_something(section: str, smoke: Stage) -> None:
    """It ends, and every figure is a number with a name; what it is, is not judged."""
    figures = program.run(smoke, [section])
    if section == "throughput" and shutil.which("cc") is None:
        pytest.skip("NOT TESTED: the load is a program in C, and there is no compiler")
    assert figures
    assert all(figure.what and math.isfinite(figure.measured) for figure in figures)


def test_a_target_is_met_from_its_own_side() -> None:
    """At most and at least are told apart, and the table says which was missed."""
    slow = Figure("a", 1.2, 1.1)
    busy = Figure("b", 1.2, 1.1, at_least=True)
    assert (slow.is_met, busy.is_met) == (False, True)
    assert markdown([slow, busy]).count("**no**") == 1


def test_the_machine_is_told_without_its_name() -> None:
    """What the page shows of it is what figures depend on."""
    assert os.uname().nodename not in program.machine()
    assert str(os.cpu_count()) in program.machine()
