"""Each shape of a token is what its taker reads, and refuses what it could not carry safely."""

import json
import netrc
from pathlib import Path
from typing import Any

import pytest

from client.fake_daemon import TOKEN
from tokenward.cli.token import FORMATS
from tokenward.cli.token_formats import Taker, lines_of
from tokenward.client import Token
from tokenward.errors import AskDifferently, ConfigurationFault, RefreshFailed

NOW = 1_700_000_000.0
ACCESS_KEY = {"AccessKeyId": "AKIAFAKE", "SecretAccessKey": 'wJalr/"+fake', "SessionToken": "FwoGfake"}


def token(**members: Any) -> Token:
    """A token of the fake daemon's, with other members."""
    return Token.from_result({**TOKEN, **members})


def taker(environ: dict[str, str] | None = None, **members: Any) -> Taker:
    """Somebody who takes it at a known time."""
    return Taker(environ or {}, NOW, **members)


def document(shape: str, given: Token, environ: dict[str, str] | None = None) -> Any:
    """The one JSON value that is printed."""
    (line,) = lines_of(shape, given, taker(environ))
    return json.loads(line)


@pytest.mark.parametrize("shape", sorted(set(FORMATS) - {"raw", "json", "netrc"}))
def test_every_format_of_the_command_line_is_made(shape: str) -> None:
    """None of the choices is without its maker."""
    (*_, last) = lines_of(shape, token(token=json.dumps(ACCESS_KEY)), taker())
    assert last


class TestCurl:
    def test_quotes_and_backslashes_are_escaped(self) -> None:
        """As curl(1) says of --config: a backslash before a quote and before itself."""
        given = token(headers={"x-a": 'say "hi" \\o/'})
        assert lines_of("curl", given, taker()) == ['header = "x-a: say \\"hi\\" \\\\o/"']


class TestNetrc:
    def test_python_reads_it(self, tmp_path: Path) -> None:
        """The host is that of the API, the name one that says nothing."""
        path = tmp_path / "netrc"
        path.write_text("\n".join(lines_of("netrc", token(), taker())))
        path.chmod(0o600)
        assert netrc.netrc(path).authenticators("api.anthropic.com") == ("oauth2", "", "sk-ant-api03-fake")

    @pytest.mark.parametrize("wrong", ["a b", 'a"b', "a'b", "a\\b", "#a", "é"])
    def test_what_no_netrc_can_hold_is_refused(self, wrong: str) -> None:
        """Readers of the file disagree on quoting, so that there is none that is safe."""
        with pytest.raises(AskDifferently):
            lines_of("netrc", token(token=wrong), taker())
        with pytest.raises(AskDifferently):
            lines_of("netrc", token(), taker(username=wrong))

    def test_a_host_must_be_known(self) -> None:
        """Neither the API's nor one that was named."""
        with pytest.raises(ConfigurationFault, match="is not known"):
            lines_of("netrc", token(base_url=None), taker())

    def test_a_host_is_a_name(self) -> None:
        """And no further word of the file."""
        with pytest.raises(ConfigurationFault, match="not a host"):
            lines_of("netrc", token(), taker(host="a login b"))


class TestExecCredential:
    def test_the_end_in_rfc_3339(self) -> None:
        """Whole seconds, rounded down, in UTC."""
        given = token(expires_at_ms=1_700_003_600_900, valid_for=3600.9)
        assert document("exec-credential", given) == {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": "sk-ant-api03-fake", "expirationTimestamp": "2023-11-14T23:13:20Z"},
        }

    def test_an_unknown_end_is_left_out(self) -> None:
        """The client then keeps it until a 401."""
        assert document("exec-credential", token())["status"] == {"token": "sk-ant-api03-fake"}

    def test_a_clock_that_was_set_back_promises_no_more_than_is_left(self) -> None:
        """The daemon counts what is left by two clocks, and the smaller counts."""
        given = token(expires_at_ms=1_700_009_999_000, valid_for=60.0)
        assert document("exec-credential", given)["status"]["expirationTimestamp"] == "2023-11-14T22:14:20Z"

    def test_the_way_here_does_not_move_the_end(self) -> None:
        """What is left was counted a moment ago: the end that is known stands, the same at every call."""
        given = token(expires_at_ms=1_700_003_600_000, valid_for=3598.5)
        assert document("exec-credential", given)["status"]["expirationTimestamp"] == "2023-11-14T23:13:20Z"

    def test_an_end_is_never_past(self) -> None:
        """What ends within this second would be read as ended."""
        with pytest.raises(RefreshFailed):
            lines_of("exec-credential", token(expires_at_ms=1_700_000_000_900, valid_for=0.9), taker())

    @pytest.mark.parametrize("version", ["v1", "v1beta1"])
    def test_the_version_that_was_asked_for(self, version: str) -> None:
        """Both are of one shape, and a client refuses another than its own."""
        asked = f"client.authentication.k8s.io/{version}"
        info = json.dumps({"apiVersion": asked, "kind": "ExecCredential", "spec": {"interactive": False}})
        assert document("exec-credential", token(), {"KUBERNETES_EXEC_INFO": info})["apiVersion"] == asked

    @pytest.mark.parametrize(
        "info", ['{"apiVersion":"client.authentication.k8s.io/v1alpha1"}', "{}", "[]", "nonsense", "[" * 100_000]
    )
    def test_another_version_is_refused(self, info: str) -> None:
        """With what to write into the kubeconfig."""
        with pytest.raises(ConfigurationFault) as refused:
            lines_of("exec-credential", token(), taker({"KUBERNETES_EXEC_INFO": info}))
        assert "client.authentication.k8s.io/v1" in refused.value.hint


class TestAws:
    def test_an_access_key_is_what_the_sdks_read(self) -> None:
        """Version 1, and the end of the credential."""
        given = token(token=json.dumps(ACCESS_KEY), expires_at_ms=1_700_003_600_000, valid_for=3600.0)
        expected = {"Version": 1, **ACCESS_KEY, "Expiration": "2023-11-14T23:13:20Z"}
        assert document("aws-credential-process", given) == expected

    def test_one_that_never_ends(self) -> None:
        """Has no end and no session."""
        given = token(token='{"AccessKeyId":"A","SecretAccessKey":"B","Other":1}')
        wanted = {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "B"}
        assert document("aws-credential-process", given) == wanted

    @pytest.mark.parametrize("wrong", ["sk-ant-api03-fake", "[]", '{"AccessKeyId":"A"}', '{"SecretAccessKey":""}'])
    def test_one_token_is_no_access_key(self, wrong: str) -> None:
        """The error says of which profile, and why, without the token."""
        with pytest.raises(AskDifferently, match=r"anthropic:work is one token \(api_key\)") as refused:
            lines_of("aws-credential-process", token(token=wrong), taker())
        assert "AccessKeyId" in refused.value.hint
        assert wrong not in refused.value.cause
