"""When a server will take requests again, by the headers that it really sends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.classify import FailureClass
from tokenward.core.health import LONGEST_WAIT
from tokenward.core.reset_times import is_account_wide, reset_at

LAW = settings(derandomize=True, deadline=None)
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
RATE_LIMIT = FailureClass.RATE_LIMIT
PREFIX = "anthropic-ratelimit-"


def unix(**ahead: float) -> str:
    """A moment ahead of NOW in seconds since 1970."""
    return str(int((NOW + timedelta(**ahead)).timestamp()))


def wait(headers: object, failure: FailureClass = RATE_LIMIT) -> float | None:
    """Seconds until the reset that the headers name."""
    moment = reset_at(headers, failure=failure, now=NOW)
    return None if moment is None else (moment - NOW).total_seconds()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120),
        ("0", None),
        ("-5", None),
        ("NaN", None),
        ("inf", None),
        ("1e3", None),
        ("", None),
        ("soon", None),
        ("Sun, 01 Mar 2026 11:00:00 GMT", None),
        ("Sun, 99 Mar 2026 11:00:00 GMT", None),
        ("86400", 86400),
        (str(30 * 86400), LONGEST_WAIT.total_seconds()),
        (str(400 * 86400), None),
        ("999999999999", None),
        ("9" * 40, None),
        ("1" * 100_000, None),
        (30, None),
        (None, None),
    ],
)
def test_retry_after(value: object, expected: float | None) -> None:
    """Seconds and HTTP dates are read; what is absurd says nothing, and what is long is cut to a week."""
    assert wait({"Retry-After": value}) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # What is not used up has a reset time too, and it does not count
        ({"unified-status": "allowed", "unified-reset": unix(hours=2)}, None),
        ({"unified-5h-reset": unix(hours=2)}, None),
        ({"unified-status": "rejected", "unified-reset": unix(hours=2)}, 7200),
        ({"unified-5h-status": "rejected", "unified-5h-reset": unix(hours=3)}, 10800),
        ({"Unified-7D-Status": "Rejected", "Unified-7D-Reset": unix(days=6)}, 6 * 86400),
        # The week binds longer than the five hours
        (
            {
                "unified-status": "rejected",
                "unified-reset": unix(hours=1),
                "unified-5h-status": "rejected",
                "unified-5h-reset": unix(hours=1),
                "unified-7d-status": "rejected",
                "unified-7d-reset": unix(days=3),
            },
            3 * 86400,
        ),
        (
            {
                "unified-5h-status": "rejected",
                "unified-5h-reset": unix(hours=1),
                "unified-7d-status": "allowed_warning",
                "unified-7d-reset": unix(days=3),
            },
            3600,
        ),
        # A model's own window does not hold the others up
        (
            {
                "unified-5h-status": "rejected",
                "unified-5h-reset": unix(hours=1),
                "unified-7d_opus-status": "rejected",
                "unified-7d_opus-reset": unix(days=3),
            },
            3600,
        ),
        ({"unified-7d_opus-status": "rejected", "unified-7d_opus-reset": unix(days=3)}, 3 * 86400),
        # Extra usage that is switched off is no limit that ends
        ({"unified-overage-status": "rejected", "unified-overage-reset": unix(days=3)}, None),
        ({"unified-status": "rejected", "unified-reset": unix(hours=-1)}, None),
        ({"unified-status": "rejected", "unified-reset": unix(days=9)}, LONGEST_WAIT.total_seconds()),
        ({"unified-status": "rejected", "unified-reset": unix(days=9) + "000"}, None),
        ({"unified-status": "rejected", "unified-reset": "NaN"}, None),
        ({"unified-status": "rejected"}, None),
        # Buckets: only empty ones, the latest of them
        ({"requests-remaining": "0", "requests-reset": "2026-03-01T12:00:40Z"}, 40),
        ({"requests-remaining": "5", "requests-reset": "2026-03-01T12:00:40Z"}, None),
        ({"requests-reset": "2026-03-01T12:00:40Z"}, None),
        (
            {
                "input-tokens-remaining": "0",
                "input-tokens-reset": "2026-03-01T12:00:40Z",
                "output-tokens-remaining": "0",
                "output-tokens-reset": "2026-03-01T13:01:10+01:00",
                "tokens-remaining": "10",
                "tokens-reset": "2026-03-01T12:59:00Z",
            },
            70,
        ),
        ({"tokens-remaining": "0", "tokens-reset": "2026-03-01T12:00:40"}, None),
        ({"tokens-remaining": "0", "tokens-reset": "2026-03-01"}, None),
    ],
)
def test_headers_of_limits(headers: dict[str, str], expected: float | None) -> None:
    """Only what is used up counts, and of that the latest."""
    assert wait({f"{PREFIX}{name}": value for name, value in headers.items()}) == expected


BUCKET = {f"{PREFIX}requests-remaining": "0", f"{PREFIX}requests-reset": "2026-03-01T12:05:00Z"}
UNIFIED = {f"{PREFIX}unified-status": "rejected", f"{PREFIX}unified-reset": unix(hours=2)}


def test_retry_after_goes_before_a_bucket() -> None:
    """A bucket is full later than a request fits into it."""
    assert wait({**BUCKET, "retry-after": "9"}) == 9


@pytest.mark.parametrize(("after", "expected"), [("9", 7200), ("9000", 9000)])
def test_a_window_and_retry_after(after: str, expected: float) -> None:
    """Both must be over."""
    assert wait({**BUCKET, **UNIFIED, "retry-after": after}) == expected


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (FailureClass.RATE_LIMIT, 7200),
        (FailureClass.BILLING, 7200),
        (FailureClass.OVERLOADED, 9),
        (FailureClass.SERVER, 9),
        (FailureClass.AUTH, None),
        (FailureClass.AUTH_PERMANENT, None),
        (FailureClass.AUTH_POLICY, None),
        (FailureClass.TIMEOUT, None),
        (FailureClass.FORMAT, None),
        (FailureClass.MODEL, None),
    ],
)
def test_which_headers_a_class_heeds(failure: FailureClass, expected: float | None) -> None:
    """Extra usage ends with its window and not after nine seconds; a server in trouble knows only Retry-After."""
    assert wait({**BUCKET, **UNIFIED, "retry-after": "9"}, failure) == expected


def test_retry_after_does_not_shorten_an_empty_wallet() -> None:
    """Money does not arrive in a second."""
    assert wait({"retry-after": "1"}, FailureClass.BILLING) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, False),
        ({}, False),
        ({"retry-after": "3"}, False),
        ({f"{PREFIX}requests-remaining": "0"}, False),
        ({f"{PREFIX}unified-status": "allowed"}, False),
        ({f"{PREFIX}unified-status": "rejected"}, True),
        ({f"{PREFIX}unified-5h-status": "rejected"}, True),
        ({f"{PREFIX}unified-7d_opus-status": "rejected"}, False),
        ({f"{PREFIX}unified-status": "rejected", f"{PREFIX}unified-7d_opus-status": "rejected"}, False),
        ({f"{PREFIX}unified-7d-status": "rejected", f"{PREFIX}unified-7d_opus-status": "rejected"}, True),
        ({f"{PREFIX}unified-status": "rejected", f"{PREFIX}unified-representative-claim": "seven_day"}, True),
        (
            {f"{PREFIX}unified-status": "rejected", f"{PREFIX}unified-representative-claim": "seven_day_opus"},
            False,
        ),
    ],
)
def test_whose_limit_it_is(headers: object, expected: bool) -> None:  # noqa: FBT001 - a column of a table
    """A subscription's window is the account's, a model's own window and a key's buckets are the model's."""
    assert is_account_wide(headers) is expected


values = (
    st.text(max_size=12) | st.integers() | st.none() | st.floats() | st.from_regex(r"[0-9]{1,13}", fullmatch=True)
)
names = st.sampled_from(
    ["retry-after", *BUCKET, *UNIFIED, f"{PREFIX}unified-5h-status", f"{PREFIX}unified-5h-reset"]
)


@LAW
@given(
    headers=st.dictionaries(names | st.integers(), values | st.just("rejected") | st.just("0")),
    failure=st.sampled_from(FailureClass),
)
def test_a_reset_is_ahead_and_near(headers: object, failure: FailureClass) -> None:
    """Whatever the headers hold, the moment is after now and at most a week away."""
    moment = reset_at(headers, failure=failure, now=NOW)
    assert moment is None or NOW < moment <= NOW + LONGEST_WAIT
