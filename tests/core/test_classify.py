"""What an answer says of the credential it refused, by status and by what servers really write."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.classify import FailureClass, classify

LAW = settings(derandomize=True, deadline=None)
F = FailureClass


def body(kind: str, message: str = "") -> dict[str, object]:
    """An error body in the shape of Anthropic's API."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, None) for status in (100, 200, 201, 204, 301, 304, 399)),
        (400, F.FORMAT),
        (401, F.AUTH),
        (402, F.BILLING),
        (403, F.AUTH),
        (404, F.FORMAT),
        (405, F.FORMAT),
        (408, F.TIMEOUT),
        (413, F.FORMAT),
        (422, F.FORMAT),
        (429, F.RATE_LIMIT),
        (499, F.FORMAT),
        *((status, F.SERVER) for status in (500, 501, 502, 504, 520, 522, 524, 526, 599)),
        (503, F.OVERLOADED),
        (529, F.OVERLOADED),
    ],
)
def test_a_status_alone(status: int, expected: FailureClass | None) -> None:
    """Each status has one class where the body says nothing."""
    assert classify(status) is expected
    assert classify(status, {}) is expected


CREDIT = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."
SCOPE = "OAuth token does not meet scope requirement any_of(user:inference, user:voice)"
POLICY = "This credential is only authorized for use with Claude Code and cannot be used for other API requests."


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (401, "authentication_error", "invalid x-api-key", F.AUTH),
        (401, "authentication_error", "OAuth authentication is currently not supported.", F.AUTH),
        # 403: one login may do less than another
        (403, "permission_error", SCOPE, F.AUTH_PERMANENT),
        (403, "forbidden", "token lacks required scopes", F.AUTH_PERMANENT),
        (403, "permission_error", "Your API key does not have permission to use it.", F.AUTH_PERMANENT),
        (403, "forbidden", "permission_error", F.AUTH_PERMANENT),
        (403, "permission_error", "missing scope: models.read", F.AUTH_PERMANENT),
        (403, "forbidden", "Request not allowed", F.AUTH),
        # No money, however it is dressed
        (400, "invalid_request_error", CREDIT, F.BILLING),
        (403, "permission_error", CREDIT, F.BILLING),
        (429, "rate_limit_error", "You're out of extra usage. Add more.", F.BILLING),
        (429, "insufficient_quota", "You exceeded your current quota", F.BILLING),
        (429, "rate_limit_error", "insufficient_quota", F.BILLING),
        (402, "billing_error", "", F.BILLING),
        (500, "api_error", CREDIT, F.SERVER),
        # The policy against other programs
        (400, "invalid_request_error", POLICY, F.AUTH_POLICY),
        (403, "permission_error", POLICY, F.AUTH_POLICY),
        (401, "authentication_error", POLICY, F.AUTH_POLICY),
        # Too much, and a rejected construction
        (429, "rate_limit_error", "This request would exceed your rate limit", F.RATE_LIMIT),
        (429, "rate_limit_error", "Error", F.FORMAT),
        (429, "rate_limit_error", "", F.RATE_LIMIT),
        (400, "invalid_request_error", "Error", F.FORMAT),
        # The server
        (529, "overloaded_error", "Overloaded", F.OVERLOADED),
        (500, "overloaded_error", "Overloaded", F.OVERLOADED),
        (500, "api_error", "Internal server error", F.SERVER),
        # Models
        (404, "not_found_error", "model: claude-opus-9", F.MODEL),
        (404, "model_not_found", "", F.MODEL),
        (404, "not_found_error", "Not Found", F.FORMAT),
        # A conversation in a message is no status: openclaw#12192
        (400, "invalid_request_error", "messages.0: invoice 402, payment required, 401 unauthorized", F.FORMAT),
        (422, "invalid_request_error", "billing plan upgrade credits rate limit 429 overloaded", F.FORMAT),
    ],
)
def test_what_servers_write(status: int, kind: str, message: str, expected: FailureClass) -> None:
    """Status, type and message together give the class, in whatever case they are written."""
    assert classify(status, body(kind, message)) is expected
    assert classify(status, body(kind.upper(), message.upper())) is expected


@pytest.mark.covers("A4")
@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (403, "new_api_error", "This token has no access to model claude-opus-4-6", F.MODEL),
        (403, "permission_error", "The model claude-x is not available in your group", F.MODEL),
        (404, "invalid_request_error", "The model `claude-x` does not exist", F.MODEL),
        (404, "error", "no such route", F.FORMAT),
    ],
)
def test_a_model_that_a_gateway_withholds(status: int, kind: str, message: str, expected: FailureClass) -> None:
    """A gateway's 403 or 404 about a model is the model's and never a failure of the credential."""
    assert classify(status, body(kind, message)) is expected


@pytest.mark.covers("A5")
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 429, 500, 503])
@pytest.mark.parametrize(
    "message", ["Insufficient balance", "user has insufficient quota", "insufficient_quota: 0"]
)
def test_an_empty_wallet_at_a_gateway(status: int, message: str) -> None:
    """A gateway's word of an empty wallet is billing, whatever status it comes with."""
    assert classify(status, body("new_api_error", message)) is F.BILLING


def test_a_beta_that_is_not_known() -> None:
    """A 400 that names a beta is the request's fault."""
    message = "Unexpected value(s) `context-1m-2025-08-07` for the `anthropic-beta` header"
    assert classify(400, body("invalid_request_error", message)) is F.FORMAT


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, F.FORMAT),
        ({}, F.FORMAT),
        ({"content-type": "application/json"}, F.FORMAT),
        ({"Retry-After": "3"}, F.RATE_LIMIT),
        ({"Anthropic-RateLimit-Unified-Status": "rejected"}, F.RATE_LIMIT),
        ({7: "x", "anthropic-ratelimit-requests-limit": None}, F.RATE_LIMIT),
        (["retry-after"], F.FORMAT),
    ],
)
def test_a_429_that_says_only_error(headers: object, expected: FailureClass) -> None:
    """It is a rate limit only if a header speaks of limits."""
    assert classify(429, body("rate_limit_error", "Error"), headers) is expected


@pytest.mark.parametrize(
    ("status", "error", "outcome", "expected"),
    [
        (None, None, None, None),
        (None, None, "ok", None),
        (None, None, "failed", F.TIMEOUT),
        (200, None, "ok", None),
        (200, body("overloaded_error"), "ok", None),
        (200, body("overloaded_error"), None, None),
        # An error inside a stream comes after the 200
        (200, body("overloaded_error"), "failed", F.OVERLOADED),
        (200, None, "failed", F.TIMEOUT),
        (None, body("overloaded_error"), None, F.OVERLOADED),
        (None, body("rate_limit_error", "slow down"), None, F.RATE_LIMIT),
        (None, body("authentication_error"), "failed", F.AUTH),
        (None, body("permission_error"), "failed", F.AUTH_PERMANENT),
        (None, body("invalid_request_error", CREDIT), "failed", F.BILLING),
        (None, body("not_found_error", "model: x"), "failed", F.MODEL),
        (None, body("api_error"), "failed", F.SERVER),
        (None, body("unheard_of", POLICY), "failed", F.AUTH_POLICY),
        (None, body("unheard_of"), "failed", F.TIMEOUT),
        (None, body("unheard_of"), None, None),
        (429, None, "ok", F.RATE_LIMIT),
        (True, None, "failed", F.TIMEOUT),
        (999, None, "failed", F.TIMEOUT),
        ("429", None, None, None),
    ],
)
def test_no_status_or_none_that_fails(
    status: object, error: object, outcome: object, expected: FailureClass | None
) -> None:
    """Without a status the type's documented one stands in, and else the network is to blame."""
    assert classify(status, error, outcome=outcome) is expected


def test_the_error_alone_is_as_good_as_the_whole_body() -> None:
    """A caller may pass what its client library parsed."""
    assert classify(400, {"type": "invalid_request_error", "message": CREDIT}) is F.BILLING


def test_only_the_two_members_are_looked_at() -> None:
    """What stands elsewhere in the body, a conversation for one, changes nothing."""
    error = {
        "error": {"type": "x", "message": "y", "input": CREDIT, "details": {"message": POLICY}},
        "message": "insufficient balance",
        "messages": [{"content": POLICY}],
    }
    assert classify(400, error) is F.FORMAT


def test_the_end_of_a_huge_message_is_not_searched() -> None:
    """A server says what it has to say at the beginning; the rest may be anything."""
    assert classify(400, body("x", "a" * 5_000_000 + CREDIT)) is F.FORMAT


@pytest.mark.parametrize(
    "error",
    [
        [],
        [[["error"]]],
        "insufficient balance",
        7,
        {"error": [CREDIT]},
        {"error": {"type": ["overloaded_error"], "message": {"text": CREDIT}}},
        {"error": {"type": float("nan"), "message": 402}},
        {"error": {7: "x"}},
        {None: None},
    ],
)
def test_a_member_of_a_wrong_type_is_absent(error: object) -> None:
    """Then the status alone decides."""
    assert classify(400, error) is F.FORMAT
    assert classify(401, error) is F.AUTH


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "type", "message", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@LAW
@given(status=st.integers(400, 599) | anything, error=anything, headers=anything, outcome=anything)
def test_nothing_raises(status: object, error: object, headers: object, outcome: object) -> None:
    """Whatever a caller sends, there is a class or none; and a status of failure always has one."""
    found = classify(status, error, headers, outcome=outcome)
    assert found is None or found in FailureClass
    if isinstance(status, int) and 400 <= status <= 599:
        assert found is not None
