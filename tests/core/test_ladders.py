"""The numbers of the ladders, and which numbers are none."""

import math

import pytest

from tokenward.core.ladders import DEFAULT_PRESET, LONGEST_STEP_SECONDS, PRESETS, Ladders, Steps, doubling


def test_doubling_ends_at_its_cap() -> None:
    """The last step is the cap itself, however the doubling falls."""
    assert doubling(600, cap=3600) == (600, 1200, 2400, 3600)
    assert doubling(30, cap=30) == (30,)
    assert doubling(15, cap=60) == (15, 30, 60)


def test_the_default_is_ours() -> None:
    """Who configures nothing gets the documented steps."""
    assert PRESETS[DEFAULT_PRESET] == Ladders()


@pytest.mark.parametrize(
    "steps",
    [(), (0.0,), (-1.0,), (math.nan,), (math.inf,), (60.0, 30.0), (1.0, LONGEST_STEP_SECONDS + 1)],
)
@pytest.mark.parametrize("name", ["cooldown", "billing", "rate_limit", "refused"])
def test_steps_that_are_none(name: str, steps: Steps) -> None:
    """A ladder with no step, a step down or one without measure is refused, and the message names it."""
    with pytest.raises(ValueError, match=name):
        Ladders(**{name: steps})  # type: ignore[arg-type]


@pytest.mark.parametrize("rest", [0.0, math.nan, LONGEST_STEP_SECONDS + 1])
def test_a_rest_that_is_none(rest: float) -> None:
    """The rest after an overload is measured like a step."""
    with pytest.raises(ValueError, match="overloaded"):
        Ladders(overloaded=rest)
