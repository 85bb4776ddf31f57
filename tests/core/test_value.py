"""Values with named parts behave as frozen dataclasses do, and cost less to define."""

from __future__ import annotations

import pytest

from tokenward.core.credential import Secret
from tokenward.core.value import Value


class Lamp(Value):
    """A value with a part that must be given."""

    colour: str
    watts: int = 5


class StreetLamp(Lamp):
    """One with a part more."""

    street: str = "Main"
    key: Secret = Secret("canary")


def test_parts_are_given_or_the_classs_own() -> None:
    """By name, those of the base first."""
    lamp = StreetLamp(colour="red", street="High")
    assert (lamp.colour, lamp.watts, lamp.street) == ("red", 5, "High")
    assert StreetLamp.parts() == ("colour", "watts", "street", "key")
    assert Lamp.parts() == ("colour", "watts")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Lamp lacks colour"),
        ({"watts": 1}, "Lamp lacks colour"),
        ({"colour": "red", "volts": 1, "amps": 2}, "Lamp has no amps, volts"),
        ({"colour": "red", "parts": ()}, "Lamp has no parts"),
    ],
)
def test_what_is_missing_or_unknown_is_an_error(given: dict[str, object], words: str) -> None:
    """Each by its name."""
    with pytest.raises(TypeError, match=words):
        Lamp(**given)  # type: ignore[arg-type]


def test_values_are_equal_by_class_and_parts() -> None:
    """A part that was given as the default is no other part; a value of another class is another value."""
    assert Lamp(colour="red") == Lamp(colour="red", watts=5)
    assert hash(Lamp(colour="red")) == hash(Lamp(colour="red", watts=5))
    assert Lamp(colour="red") != Lamp(colour="red", watts=6)
    assert Lamp(colour="red") != StreetLamp(colour="red")
    assert Lamp(colour="red") != "red"


def test_another_value_is_made_of_one() -> None:
    """What was given before stays, and the first is as it was."""
    lamp = Lamp(colour="red")
    assert lamp.but(watts=9) == Lamp(colour="red", watts=9)
    assert lamp.watts == 5
    with pytest.raises(TypeError, match="has no volts"):
        lamp.but(volts=1)


def test_a_value_does_not_change() -> None:
    """Neither by assignment nor by deletion, of a part or of anything else."""
    lamp = Lamp(colour="red")
    for name in ("colour", "watts", "volts"):
        with pytest.raises(AttributeError, match=name):
            setattr(lamp, name, "blue")
        with pytest.raises(AttributeError, match=name):
            delattr(lamp, name)
    assert lamp == Lamp(colour="red")


def test_it_shows_every_part_and_no_secret() -> None:
    """As a dataclass does."""
    assert repr(StreetLamp(colour="red")) == ("StreetLamp(colour='red', watts=5, street='Main', key=Secret(***))")
