"""Each model of the chain is tried once, and the last error tells of all of them."""

import pytest

from tokenward.core.fallback import STOPPED, FailedModel, NoModelLeft, chain, next_model

MODELS = ("a/requested", "a/fallback", "b/primary")


def test_the_chain_names_each_model_once() -> None:
    """Requested, fallbacks, primary; where one is named twice, its first place counts."""
    assert chain("a/1") == ("a/1",)
    assert chain("a/1", ["a/2", "b/3"], "b/4") == ("a/1", "a/2", "b/3", "b/4")
    assert chain("b/4", ["a/2", "b/4", "a/2"], "a/2") == ("b/4", "a/2")


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ([], "a/requested"),
        (["a/requested"], "a/fallback"),
        (["a/fallback"], "a/requested"),
        (["a/requested", "a/fallback"], "b/primary"),
        (["c/other"], "a/requested"),
    ],
)
def test_the_next_is_the_first_that_has_not_failed(failed: list[str], expected: str) -> None:
    """What is not of the chain moves nothing."""
    assert next_model(MODELS, [FailedModel(model) for model in failed]) == expected


def test_the_last_error_tells_of_all() -> None:
    """Each model once, with what became of it last; without control characters and without a secret."""
    failed = [
        FailedModel("a/requested", "first"),
        FailedModel("a/requested", "slow\x1b down\nplease", "rate_limit"),
        FailedModel("a/fallback", "no money sk-ant-api03-abcdefghijklmnop", "billing"),
        FailedModel("b/primary"),
    ]
    assert next_model(MODELS, failed) == NoModelLeft(
        "All models failed (3): a/requested: slow  down please (rate_limit)"
        " | a/fallback: no money [masked] (billing) | b/primary: no error was given (unknown)"
    )


def test_nothing_follows_where_the_caller_stopped() -> None:
    """Though models are left."""
    found = next_model(MODELS, [FailedModel("a/requested", "", STOPPED)])
    assert isinstance(found, NoModelLeft)
    assert found.stopped
