"""Who lives where, alone or with others."""

from tokenward.daemon.residents import Residents


def test_whoever_moves_in_lives_there_until_it_moves_out() -> None:
    """In the order in which they came; the last to go leaves an empty place."""
    residents = Residents()
    assert residents.at("file") == ()
    for key in ("a", "b", "c"):
        residents.move_in("file", key)
    residents.move_in("other", "d")
    assert residents.at("file") == ("a", "b", "c")
    assert residents.move_out("file", "a")
    assert residents.at("file") == ("b", "c")
    assert residents.move_out("file", "c")
    assert residents.at("file") == ("b",)
    assert not residents.move_out("file", "b")
    assert residents.at("file") == ()
    assert residents.at("other") == ("d",)


def test_who_never_lived_there_moves_nobody() -> None:
    """Neither in an empty place nor where others live."""
    residents = Residents()
    assert not residents.move_out("file", "a")
    residents.move_in("file", "b")
    assert residents.move_out("file", "a")
    assert residents.at("file") == ("b",)
