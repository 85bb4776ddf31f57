"""The tree of errors is the one that its page draws, and each leaf is one answer on the wire."""

import re

import pytest

from tokenward import errors
from tokenward.errors import TokenwardError, by_name

FIVE_CLASSES = {"AuthenticationError", "RateLimitError", "NetworkError", "ProviderError", "ConfigurationError"}

LEAVES = {
    "RefreshFailed": ("RetryLater", -32004, "NetworkError"),
    "AllUnavailable": ("RetryLater", -32002, "AuthenticationError"),
    "StoreUnavailable": ("RetryLater", -32009, "ConfigurationError"),
    "CallTimeout": ("RetryLater", -32011, "NetworkError"),
    "DaemonUnreachable": ("RetryLater", -32000, "ConfigurationError"),
    "NoCredentials": ("PersonNeeded", -32001, "AuthenticationError"),
    "LoginRequired": ("PersonNeeded", -32005, "AuthenticationError"),
    "ProfileUnavailable": ("AskDifferently", -32003, "AuthenticationError"),
    "PinnedProfileUnavailable": ("AskDifferently", -32006, "AuthenticationError"),
    "UnknownModel": ("AskDifferently", -32007, "ConfigurationError"),
    "ModelAccessDenied": ("AskDifferently", -32008, "ConfigurationError"),
    "ConfigurationFault": ("FixNeeded", -32000, "ConfigurationError"),
    "AlreadyServed": ("FixNeeded", -32000, "ConfigurationError"),
    "PermissionDenied": ("FixNeeded", -32010, "ConfigurationError"),
    "MethodNotFound": ("FixNeeded", -32601, "ConfigurationError"),
    "InvalidParams": ("FixNeeded", -32602, "ConfigurationError"),
    "InvalidRequest": ("FixNeeded", -32600, "ConfigurationError"),
}
"""Each leaf: what the caller can do about it, its code (-32000 = never sent), its class."""


def test_the_leaves_are_these() -> None:
    """A new error is a decision about its branch, its code and its class."""
    found = {name: (leaf.__mro__[1].__name__, leaf.code, leaf.default_class) for name, leaf in by_name().items()}
    assert found == LEAVES


def test_the_page_draws_the_same_tree() -> None:
    """The docstring is what people read; every class is in it, in its place, with its code."""
    drawn: dict[str, tuple[str, int]] = {}
    branch = ""
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^ {4}[├└]── (\w+)", line):
            branch = match[1]
        elif match := re.match(r"^ {4}[│ ] {3}[├└]── (\w+) +(-\d+)?", line):
            drawn[match[1]] = (branch, int(match[2] or TokenwardError.code))
    assert drawn == {name: (branch, code) for name, (branch, code, _) in LEAVES.items()}


def test_every_branch_is_an_answer_to_what_to_do() -> None:
    """Nothing stands beside the four branches."""
    assert {branch.__name__ for branch in TokenwardError.__subclasses__()} == {
        "RetryLater",
        "PersonNeeded",
        "AskDifferently",
        "FixNeeded",
    }


def test_no_two_errors_share_a_code_on_the_wire() -> None:
    """A client tells them apart by it; -32000 never goes out by itself."""
    codes = [leaf.code for leaf in by_name().values() if leaf.code != TokenwardError.code]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("leaf", by_name().values(), ids=by_name().keys())
def test_an_error_carries_cause_hint_and_class(leaf: type[TokenwardError]) -> None:
    """One line of cause, one of hint, one of the five classes, and the details beside them."""
    error = leaf("the cause", hint="the hint", retry_after=7)
    assert str(error) == error.cause == "the cause"
    assert error.data() == {
        "type": leaf.__name__,
        "class": leaf.default_class,
        "hint": "the hint",
        "retry_after": 7,
    }
    assert leaf.default_class in FIVE_CLASSES


def test_a_class_can_be_settled_where_the_error_is_made() -> None:
    """The type does not always say whose fault it is; a hint may be missing."""
    error = errors.RefreshFailed("slow down", error_class=errors.RATE_LIMIT)
    assert error.data() == {"type": "RefreshFailed", "class": "RateLimitError", "hint": ""}
    assert errors.RefreshFailed("no route").error_class == "NetworkError"


def test_the_five_classes_are_those_of_the_founding_documents() -> None:
    """The names are part of the contract (design section 6)."""
    assert {
        errors.AUTHENTICATION,
        errors.RATE_LIMIT,
        errors.NETWORK,
        errors.PROVIDER,
        errors.CONFIGURATION,
    } == FIVE_CLASSES


def test_a_client_can_catch_by_what_it_can_do() -> None:
    """A branch catches its leaves and no others."""
    with pytest.raises(errors.RetryLater):
        raise by_name()["AllUnavailable"]("all are cooling")
    assert not issubclass(errors.LoginRequired, errors.RetryLater)
    assert not issubclass(errors.RefreshFailed, errors.PersonNeeded)
