"""A secret shows itself to nobody, and one value of a credential is told from another by its name alone."""

import copy
import dataclasses
import json
import pickle
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.credential import (
    EPOCH,
    GENERATION_DIGITS,
    Credential,
    Kind,
    Profile,
    Secret,
    family_of,
    from_unix_milliseconds,
    generation_of,
    to_unix_milliseconds,
)

LAW = settings(derandomize=True, deadline=None)
HIDDEN = "sk-ant-oat01-the-secret-itself"
LONE_SURROGATE = "tok-\udc80"


def held() -> Credential:
    """A credential whose both tokens contain the hidden text."""
    return Credential(Kind.OAUTH, Secret(HIDDEN), Secret(f"{HIDDEN}-refresh"))


SHOWINGS: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "f-string": lambda secret: f"{secret}",
    "f-string repr": lambda secret: f"{secret!r}",
    "f-string ascii": lambda secret: f"{secret!a}",
    "aligned": lambda secret: f"{secret:>40}",
    "format": lambda secret: format(secret, ""),
    "str.format": "{}".format,
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - as above
    "in a list": lambda secret: str([secret]),
    "in a dict": lambda secret: str({"access": secret}),
    "as a key": lambda secret: str({secret: 1}),
    "exception": lambda secret: f"{ValueError(secret)!r} {ValueError(secret)}",
    "dataclass": lambda secret: repr(Credential(Kind.OAUTH, secret, secret)),
    "dataclass str": lambda secret: str(Credential(Kind.OAUTH, secret, secret)),
    "dir": lambda secret: str(dir(secret)),
}


@pytest.mark.parametrize("show", SHOWINGS.values(), ids=SHOWINGS.keys())
def test_a_secret_does_not_print(show: Callable[[Secret], str]) -> None:
    """No way of turning a secret into text shows a part of it."""
    shown = show(Secret(HIDDEN))
    assert HIDDEN not in shown
    assert "oat01" not in shown


def test_a_secret_shows_whether_there_is_one() -> None:
    """An empty secret looks empty, since that is what a defect must be found by."""
    assert repr(Secret("x")) == "Secret(***)"
    assert repr(Secret("")) == "Secret()"
    assert bool(Secret("x"))
    assert not Secret("")


def test_a_traceback_with_locals_shows_no_secret() -> None:
    """The frames of a crash may be printed with their variables."""

    def crash(secret: Secret, credential: Credential) -> None:
        raise RuntimeError(secret, credential)

    try:
        crash(Secret(HIDDEN), held())
    except RuntimeError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "Secret(***)" in text
    assert HIDDEN not in text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [Secret(HIDDEN), held()], ids=["secret", "credential"])
def test_nothing_that_holds_a_secret_is_pickled(value: object, protocol: int) -> None:
    """A pickle is a file with the secret in it; the refusal does not show it either."""
    with pytest.raises(TypeError) as refused:
        pickle.dumps(value, protocol)
    assert HIDDEN not in str(refused.value)


@pytest.mark.parametrize(
    "convert",
    [copy.copy, copy.deepcopy, vars, json.dumps, "".join, bytes],
    ids=["copy", "deepcopy", "vars", "json", "join", "bytes"],
)
def test_a_secret_does_not_turn_into_data(convert: Callable[[object], object]) -> None:
    """What copies, iterates or serialises an object by its insides is refused."""
    with pytest.raises(TypeError) as refused:
        convert(Secret(HIDDEN))
    assert HIDDEN not in str(refused.value)


def test_a_credential_does_not_turn_into_a_dictionary() -> None:
    """``dataclasses.asdict`` is how a credential would get into a log line."""
    with pytest.raises(TypeError):
        dataclasses.asdict(held())


@pytest.mark.parametrize("text", ["", "x", HIDDEN, "ключ", LONE_SURROGATE, "a\0b"])
def test_reveal_is_the_one_way_out(text: str) -> None:
    """What was put in comes out, whatever it is."""
    assert Secret(text).reveal() == text


@LAW
@given(st.text(), st.text())
def test_secrets_are_equal_exactly_if_their_texts_are(one: str, other: str) -> None:
    """Equality and hash agree with the text, also for texts that UTF-8 cannot hold."""
    assert (Secret(one) == Secret(other)) is (one == other)
    assert hash(Secret(one)) == hash(Secret(one))


def test_a_secret_equals_no_other_type() -> None:
    """A comparison with a plain text is a mistake, and never true."""
    assert Secret("x") != "x"
    assert Secret(LONE_SURROGATE) == Secret(LONE_SURROGATE)


def test_the_five_kinds_are_those_of_the_design() -> None:
    """The names are part of the socket's contract."""
    assert [kind.value for kind in Kind] == ["api_key", "auth_token", "setup_token", "oauth", "federated"]


def test_a_credential_cannot_be_changed() -> None:
    """A refresh makes a new value; nothing alters the one that somebody reads."""
    credential = held()
    with pytest.raises(dataclasses.FrozenInstanceError):
        credential.access = Secret("other")  # type: ignore[misc]  # that it is refused is the test
    with pytest.raises(dataclasses.FrozenInstanceError):
        credential.generation = "0" * 12  # type: ignore[misc]  # as above


@pytest.mark.parametrize(
    ("refresh", "refreshable"), [(None, False), (Secret(""), False), (Secret("r"), True)], ids=["none", "", "r"]
)
def test_only_a_refresh_token_makes_refreshable(refresh: Secret | None, *, refreshable: bool) -> None:
    """A blanked refresh token is none."""
    assert Credential(Kind.OAUTH, Secret("a"), refresh).refreshable is refreshable


def test_the_generation_is_this_one() -> None:
    """The name of a value is written into files and must never change between releases."""
    assert generation_of(Secret("access"), Secret("refresh")) == "f9a78e1bd565"
    assert generation_of(Secret("access"), None) == "836f234edc63"


@LAW
@given(st.text(min_size=1), st.text(), st.text())
def test_the_generation_names_both_tokens_and_nothing_else(access: str, refresh: str, plan: str) -> None:
    """It changes with either token, stays through every other change, and is short hexadecimal."""
    value = Credential(Kind.OAUTH, Secret(access), Secret(refresh))
    other = dataclasses.replace(value, expires_at=EPOCH, granted_life=60.0, subscription=plan, scopes=(plan,))
    assert other.generation == value.generation == value.aged(granted_life=1.0).generation
    assert len(value.generation) == GENERATION_DIGITS
    assert int(value.generation, 16) >= 0
    assert dataclasses.replace(value, access=Secret(access + "x")).generation != value.generation
    assert dataclasses.replace(value, refresh=Secret(refresh + "x")).generation != value.generation


def test_tokens_do_not_run_into_each_other() -> None:
    """The border between the two tokens is part of the name."""
    assert generation_of(Secret("ab"), Secret("c")) != generation_of(Secret("a"), Secret("bc"))


def test_surrogates_in_a_token_do_not_stop_it() -> None:
    """An environment variable that is not UTF-8 arrives with surrogates; it gets a name like any other."""
    assert len(generation_of(Secret(LONE_SURROGATE), None)) == GENERATION_DIGITS
    assert len(family_of("https://a.example/token", Secret(LONE_SURROGATE))) == 64


def test_the_family_is_this_one() -> None:
    """Two daemons of different releases must meet at the same lock."""
    assert family_of("https://auth.example/token", Secret("refresh")) == (
        "f991193a234c54f6c08a5c8b4951b3ddc13de119eb34b3b5d4c5c65889443d4f"
    )


def test_a_family_is_one_refresh_token_at_one_endpoint() -> None:
    """The same text at another server is another token."""
    here = family_of("https://a.example/token", Secret("r"))
    assert here == family_of("https://a.example/token", Secret("r"))
    assert here != family_of("https://b.example/token", Secret("r"))
    assert here != family_of("https://a.example/token", Secret("s"))


@pytest.mark.parametrize(
    ("milliseconds", "moment"),
    [
        (0, EPOCH),
        (1, EPOCH + timedelta(milliseconds=1)),
        (-1, EPOCH - timedelta(milliseconds=1)),
        (4102444800000, datetime(2100, 1, 1, tzinfo=UTC)),
        (1767225600000.5, datetime(2026, 1, 1, microsecond=500, tzinfo=UTC)),
        (253402300799999, datetime(9999, 1, 1, tzinfo=UTC)),
        (9007199254740991, None),
        (10**400, None),
        (-(10**18), None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_unix_milliseconds_become_a_moment(milliseconds: float, moment: datetime | None) -> None:
    """Any number gives a moment, the last of the calendar at most, or is unknown; none raises."""
    assert from_unix_milliseconds(milliseconds) == moment


@LAW
@given(st.floats() | st.integers())
def test_a_moment_from_a_number_can_be_computed_with(milliseconds: float) -> None:
    """Whatever a file says, the arithmetic that follows does not overflow."""
    moment = from_unix_milliseconds(milliseconds)
    if moment is not None:
        assert moment.tzinfo is UTC
        assert (moment - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds() < 8000 * 366 * 86400
        assert to_unix_milliseconds(moment) <= milliseconds + 1


@LAW
@given(st.integers(min_value=-(10**13), max_value=2 * 10**14))
def test_whole_milliseconds_survive_the_way_there_and_back(milliseconds: int) -> None:
    """A file's own number is written back unchanged."""
    moment = from_unix_milliseconds(milliseconds)
    assert moment is not None
    assert to_unix_milliseconds(moment) == milliseconds


@LAW
@given(st.datetimes(min_value=datetime(1980, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_writing_a_moment_adds_no_life(moment: datetime) -> None:
    """Rounding is down, by less than a millisecond."""
    written = EPOCH + timedelta(milliseconds=to_unix_milliseconds(moment))
    assert timedelta(0) <= moment - written < timedelta(milliseconds=1)


def test_a_profile_is_on_and_of_the_main_agent_unless_said_otherwise() -> None:
    """The defaults are those of design section 1."""
    profile = Profile("anthropic:default", "anthropic", "store")
    assert (profile.agent, profile.enabled) == ("main", True)
