"""A login's answer is believed only if it answers our own question."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from tokenward.core import login
from tokenward.core.login import Code, Expectation, NotOurs, Refused

OURS = Expectation("our-state", "https://auth.example.test")
PROMISED = Expectation("our-state", "https://auth.example.test", promises_issuer=True)
LENIENT = Expectation("our-state", allows_missing_state=True)


def test_the_challenge_is_that_of_the_rfc() -> None:
    """The example of RFC 7636, appendix B."""
    challenge = login.s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize(
    ("endpoint", "scope", "more"),
    [
        ("https://a.test/authorize", "openid user:profile", {}),
        ("https://a.test/authorize?tenant=x", None, {"tenant": "x"}),
    ],
)
def test_the_address_asks_for_what_is_wanted(endpoint: str, scope: str | None, more: dict[str, str]) -> None:
    """Every parameter is in it once, and the endpoint's own query stays."""
    url = login.authorization_url(
        endpoint,
        client_id="c&d",
        redirect_uri="http://127.0.0.1:1/cb",
        state="s",
        challenge="x",
        scope=scope,
        parameters={"code": "true"},
    )
    assert dict(parse_qsl(urlsplit(url).query, strict_parsing=True)) == {
        **more,
        "code": "true",
        "response_type": "code",
        "client_id": "c&d",
        "redirect_uri": "http://127.0.0.1:1/cb",
        **({"scope": scope} if scope else {}),
        "state": "s",
        "code_challenge": "x",
        "code_challenge_method": "S256",
    }


@pytest.mark.covers("L17")
@pytest.mark.parametrize(
    "pasted",
    [
        "a-code#our-state",
        "  a-code#our-\n  state \n",
        "https://x.test/cb?code=a-code&state=our-state",
        "http://127.0.0.1:9/callback?state=our-state&code=a-code&iss=https%3A%2F%2Fauth.example.test",
        "code=a-code&state=our-state",
        "?code=a-code&state=our-state",
    ],
)
def test_a_code_may_be_pasted_in_every_form(pasted: str) -> None:
    """``code#state``, the whole address, or its query, wrapped by a terminal or not."""
    answer = login.read_pasted(pasted, OURS)
    assert isinstance(answer, Code)
    assert answer.code.reveal() == "a-code"


@pytest.mark.covers("L17")
@pytest.mark.parametrize(
    ("pasted", "reason"),
    [
        ("a-code#other-state", "state is another"),
        ("a-code#our-stat\u00e9", "state is another"),
        ("code=a-code&state=other", "state is another"),
        ("https://x.test/cb?code=a-code&state=other", "state is another"),
        ("a-code", "state is missing"),
        ("a-code#", "state is missing"),
        ("https://x.test/cb?code=a-code", "state is missing"),
        ("code=a-code&state=our-state&iss=https%3A%2F%2Fevil.test", "another issuer"),
        ("code=a&code=b&state=our-state", "twice"),
        ("https://x.test/cb", "no code"),
        ("#our-state", "no code"),
        ("state=our-state", "no code"),
        ("", "nothing"),
        ("x" * 9000 + "#our-state", "no code"),
        ("&".join(f"p{n}=1" for n in range(40)) + "&state=our-state", "state is missing"),
        ("code=x&" + "&".join(f"p{n}=1" for n in range(40)) + "&state=our-state", "too many"),
    ],
)
def test_what_answers_another_login_is_not_ours(pasted: str, reason: str) -> None:
    """A foreign or missing state, another issuer, a double parameter; and the message repeats none of it."""
    answer = login.read_pasted(pasted, OURS)
    assert isinstance(answer, NotOurs)
    assert reason in answer.reason
    assert "a-code" not in answer.reason
    assert "evil" not in answer.reason


@pytest.mark.covers("L17")
def test_a_missing_state_is_taken_only_where_that_was_allowed() -> None:
    """A bare code then; another state never."""
    assert isinstance(login.read_pasted("a-code", LENIENT), Code)
    assert isinstance(login.read_pasted("a-code#other", LENIENT), NotOurs)


def test_a_redirect_names_its_issuer_where_the_server_promised() -> None:
    """RFC 9207 section 2.4: missing or different is refused; a page's ``code#state`` cannot carry one."""
    query = "code=a-code&state=our-state"
    assert isinstance(login.read_redirect(query, OURS), Code)
    assert isinstance(login.read_redirect(query, PROMISED), NotOurs)
    assert isinstance(login.read_redirect(f"{query}&iss=https://auth.example.test", PROMISED), Code)
    assert isinstance(login.read_redirect(f"{query}&iss=https://auth.example.test/", PROMISED), NotOurs)
    assert isinstance(login.read_pasted("a-code#our-state", PROMISED), Code)


def test_an_error_counts_only_with_our_state() -> None:
    """A page that guesses our port cannot end a login, and what it says is cleaned before it is shown."""
    assert isinstance(login.read_redirect("error=access_denied&state=x", OURS), NotOurs)
    refused = login.read_redirect("error=access_denied&error_description=no%1b%5b2J&state=our-state", OURS)
    assert refused == Refused("access_denied", "no [2J")
