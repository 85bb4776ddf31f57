"""config.toml: where it is looked for, who may write it, and what it may say."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from tokenward.config import MAX_CONFIG_BYTES, LoadedConfig, load
from tokenward.config_check import CHECKER
from tokenward.core.credential import Kind, Secret
from tokenward.core.headers import advice
from tokenward.core.ladders import PRESETS
from tokenward.errors import ConfigurationFault
from tokenward.provider_files import Provider, choose, claude_code_registration, provider_named
from tokenward.setting_types import Table
from tokenward.settings import TABLES, Settings

UID = os.getuid()
KEY = "sk-ant-api03-" + "K" * 95

Write = Callable[[str], Path]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture
def write(home: Path) -> Write:
    """Writes the configuration to its default place, private."""

    def write(text: str) -> Path:
        path = home / ".config" / "tokenward" / "config.toml"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def loaded(home: Path, named: Path | None = None, /, **environ: str) -> LoadedConfig:
    """The configuration of a home."""
    return load(named, {"HOME": str(home), **environ}, uid=UID, platform="linux")


def refused(home: Path, named: Path | None = None, /, **environ: str) -> ConfigurationFault:
    """Why it is refused."""
    with pytest.raises(ConfigurationFault) as caught:
        loaded(home, named, **environ)
    assert caught.value.hint, "every error has a hint"
    assert "\n" not in caught.value.cause + caught.value.hint
    return caught.value


def provider(config: LoadedConfig, name: str) -> Provider:
    """A provider as it is in force."""
    return provider_named(name, config.settings.providers.get(name))


# Where it is looked for


def test_without_a_file_the_defaults_hold(home: Path) -> None:
    """Every key is optional, and so is the file."""
    config = loaded(home)
    assert config == LoadedConfig(Settings(), None, (), holds_key=False)
    default = config.settings.default
    assert (default.provider, default.refresh_margin, default.refresh_jitter, default.refresh_timeout) == (
        "anthropic",
        90,
        15,
        25,
    )
    assert config.settings.sources.claude_code.refresh == "auto"


def test_the_search_order(home: Path, write: Write, tmp_path: Path) -> None:
    """What --config names, else $TOKENWARD_CONFIG, else the default place, below XDG_CONFIG_HOME if set."""
    places = {
        "option": tmp_path / "option.toml",
        "variable": tmp_path / "variable.toml",
        "xdg": tmp_path / "xdg" / "tokenward" / "config.toml",
    }
    places["xdg"].parent.mkdir(parents=True)
    for name, place in places.items():
        place.write_text(f'[default]\nprovider = "{name}"\n')
        place.chmod(0o600)
    default = write("")
    variable = {"TOKENWARD_CONFIG": str(places["variable"]), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert loaded(home, places["option"], **variable).settings.default.provider == "option"
    assert loaded(home, None, **variable).settings.default.provider == "variable"
    assert loaded(home, XDG_CONFIG_HOME=str(tmp_path / "xdg")).settings.default.provider == "xdg"
    assert loaded(home, XDG_CONFIG_HOME="relative").path == default
    assert loaded(home).path == default


def test_a_named_file_must_exist(home: Path, tmp_path: Path) -> None:
    """Whoever names a file means it."""
    missing = tmp_path / "none.toml"
    assert str(missing) in refused(home, missing).cause
    assert str(missing) in refused(home, TOKENWARD_CONFIG=str(missing)).cause


def test_without_a_home_nothing_is_guessed() -> None:
    """A daemon started without HOME says so."""
    with pytest.raises(ConfigurationFault, match="HOME"):
        load(None, {}, uid=UID, platform="linux")


# Who may write and read it


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(home: Path, write: Write, mode: int) -> None:
    """It decides where refresh tokens are sent."""
    write("").chmod(mode)
    assert "others may write it" in refused(home).cause


def test_a_directory_that_others_may_write_is_refused(home: Path, write: Write) -> None:
    """They could replace the file; in a sticky directory they could not."""
    path = write("")
    path.parent.chmod(0o777)
    assert "others may write its directory" in refused(home).cause
    path.parent.chmod(0o1777)
    assert loaded(home).path == path


def test_the_directory_behind_a_symlink_counts_too(home: Path, write: Write, tmp_path: Path) -> None:
    """A private link into a public directory is a public file."""
    path = write("")
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o777)
    (public / "config.toml").write_text("")
    path.unlink()
    path.symlink_to(public / "config.toml")
    assert "others may write its directory" in refused(home).cause


def test_a_file_of_another_user_is_refused(home: Path, write: Write) -> None:
    """Its owner may write it, whatever its mode says."""
    path = write("")
    with pytest.raises(ConfigurationFault, match="another user"):
        load(path, {"HOME": str(home)}, uid=_not_the_owner(path), platform="linux")


def _not_the_owner(path: Path) -> int:
    if path.stat().st_uid == 0:
        os.chown(path, 4321, -1)
    return path.stat().st_uid + 1


def test_what_is_no_file_is_refused(home: Path, write: Write) -> None:
    """A pipe is not waited for, and neither a directory nor a giant is read."""
    path = write("")
    path.unlink()
    os.mkfifo(path, 0o600)
    assert "not a regular file" in refused(home).cause
    path.unlink()
    path.mkdir(mode=0o700)
    assert "not a regular file" in refused(home).cause
    path.rmdir()
    write("#" * (MAX_CONFIG_BYTES + 1))
    assert "larger than" in refused(home).cause


@pytest.mark.covers("L4")
def test_a_key_in_a_file_that_others_may_read_is_warned_about(home: Path, write: Write) -> None:
    """An inline key is accepted; who else may read it is said. Without a key the mode does not matter."""
    path = write(f'[providers]\nanthropic = "{KEY}"\n')
    assert (loaded(home).warnings, loaded(home).holds_key) == ((), True)
    path.chmod(0o644)
    (warning,) = loaded(home).warnings
    assert "others may read it" in warning
    assert KEY not in warning
    write('[providers]\nanthropic = "${ANTHROPIC_API_KEY}"\n').chmod(0o644)
    config = loaded(home, ANTHROPIC_API_KEY=KEY)
    assert (config.warnings, config.holds_key) == ((), False)


# Variables and pasted values


@pytest.mark.covers("P5")
def test_a_variable_is_expanded_at_load(home: Path, write: Write) -> None:
    """A variable that is not set makes its key absent, with a warning, and never the literal text."""
    write('[providers.anthropic]\napi_key = "${ANTHROPIC_API_KEY}"\n')
    credential = provider(loaded(home, ANTHROPIC_API_KEY=KEY), "anthropic").credential
    assert credential is not None
    assert (credential.kind, credential.access) == (Kind.API_KEY, Secret(KEY))
    for environ in ({}, {"ANTHROPIC_API_KEY": ""}, {"ANTHROPIC_API_KEY": " "}):
        config = loaded(home, None, **environ)
        assert provider(config, "anthropic").credential is None
        (warning,) = config.warnings
        assert "config.toml:2: providers.anthropic.api_key" in warning
        assert "ANTHROPIC_API_KEY is not set" in warning


def test_a_variable_is_expanded_once(home: Path, write: Write) -> None:
    """A key that holds something like a variable stays whole."""
    write('[providers.acme]\napi_key = "${A}"\napi_url = "https://${HOST}/api"\n')
    config = loaded(home, A="k-${B}", B="never", HOST="api.acme.dev")
    acme = provider(config, "acme")
    assert acme.credential is not None
    assert acme.credential.access == Secret("k-${B}")
    assert acme.registration.base_url == "https://api.acme.dev/api"


def test_elsewhere_a_variable_is_text_and_that_is_said(home: Path, write: Write) -> None:
    """Only credential and URL values are expanded; a literal ${…} elsewhere is hardly meant."""
    write('[sources.claude-code]\npath = "/x/${USER}/c.json"\n')
    config = loaded(home, USER="me")
    assert config.settings.sources.claude_code.path == Path("/x/${USER}/c.json")
    (warning,) = config.warnings
    assert "config.toml:2: sources.claude-code.path" in warning


@pytest.mark.covers("A29")
def test_the_page_where_funds_are_added_may_stand_behind_a_fragment(home: Path, write: Write) -> None:
    """No secret is sent there, so it may have what an endpoint may not; variables are expanded in it."""
    write('[providers.acme]\nbilling_url = "https://${HOST}/?tab=money#/topup"\n')
    assert provider(loaded(home, HOST="acme.dev"), "acme").api.billing_url == "https://acme.dev/?tab=money#/topup"
    write('[providers.acme]\nauth_token = "k"\napi_url = "https://acme.dev"\n')
    assert provider(loaded(home), "acme").api.billing_url is None


@pytest.mark.covers("L3")
def test_the_shorthand_means_api_key(home: Path, write: Write) -> None:
    """A text in a provider's place is its key, variables included."""
    write('[providers]\nanthropic = "${ANTHROPIC_API_KEY}"\n')
    short = loaded(home, ANTHROPIC_API_KEY=KEY)
    write('[providers.anthropic]\napi_key = "${ANTHROPIC_API_KEY}"\n')
    long = loaded(home, ANTHROPIC_API_KEY=KEY)
    assert short.settings == long.settings
    assert provider(short, "anthropic") == provider(long, "anthropic")


@pytest.mark.covers("P9")
def test_an_oauth_token_given_as_api_key_is_a_setup_token(home: Path, write: Write) -> None:
    """What it is decides the header it travels in, and not the name it was given."""
    write('[providers]\nanthropic = "sk-ant-oat01-x"\nacme = "sk-ant-oat01-x"\n')
    config = loaded(home)
    anthropic, acme = provider(config, "anthropic"), provider(config, "acme")
    assert anthropic.credential is not None
    assert acme.credential is not None
    assert (anthropic.credential.kind, acme.credential.kind) == (Kind.SETUP_TOKEN, Kind.API_KEY)
    headers = advice(anthropic.credential, anthropic.headers)
    assert headers["authorization"] == "Bearer sk-ant-oat01-x"
    assert "x-api-key" not in headers


@pytest.mark.covers("A8")
@pytest.mark.parametrize("written", ["Bearer sk-abc", "bearer  sk-abc ", "BEARER\tsk-abc"])
def test_bearer_is_not_part_of_a_key(home: Path, write: Write, written: str) -> None:
    """It is left out with a warning, and the token goes out in the Authorization header alone."""
    write(f'[providers.gw]\nauth_token = """{written}"""\napi_url = "https://gw.example"\n')
    config = loaded(home)
    gateway = provider(config, "gw")
    assert gateway.credential is not None
    assert (gateway.credential.kind, gateway.credential.access) == (Kind.AUTH_TOKEN, Secret("sk-abc"))
    (warning,) = config.warnings
    assert "Bearer" in warning
    assert "sk-abc" not in warning
    assert advice(gateway.credential, gateway.headers) == {"authorization": "Bearer sk-abc"}


@pytest.mark.covers("A7")
@pytest.mark.parametrize(
    ("written", "meant", "said"),
    [
        ("https://gw.example", "https://gw.example", None),
        ("https://gw.example/", "https://gw.example", '"/"'),
        ("https://gw.example/v1", "https://gw.example", '"/v1"'),
        ("https://gw.example/v1/", "https://gw.example", '"/v1"'),
        ("https://gw.example/api/v1", "https://gw.example/api", '"/v1"'),
        ("https://gw.example/api/apiv1", "https://gw.example/api/apiv1", None),
    ],
)
def test_a_base_address_is_a_root(home: Path, write: Write, written: str, meant: str, said: str | None) -> None:
    """Clients append /v1/messages: a tail of that is left out, with a warning."""
    write(f'[providers.anthropic]\napi_url = "{written}"\n')
    config = loaded(home)
    assert provider(config, "anthropic").registration.base_url == meant
    assert [said in warning for warning in config.warnings if said] == ([True] if said else [])
    assert bool(config.warnings) == bool(said)


# Providers


@pytest.mark.covers("P30")
def test_aliases() -> None:
    """Anthropic has several names, in any case; one of them asks for the subscription alone."""
    for name in ("anthropic", "claude-code", "claude-cli", " Claude-CLI ", "ANTHROPIC"):
        assert (choose(name).provider, choose(name).kinds) == ("anthropic", None)
    subscription = choose("anthropic-subscription")
    assert subscription.provider == "anthropic"
    assert subscription.kinds == frozenset({Kind.OAUTH, Kind.SETUP_TOKEN})
    assert choose("Acme").provider == "acme"


def test_an_alias_names_the_same_table(home: Path, write: Write) -> None:
    """Two tables for one provider cannot both be meant."""
    write(f'[default]\nprovider = "Claude-Code"\n[providers."Claude-CLI"]\napi_key = "{KEY}"\n')
    config = loaded(home)
    assert config.settings.default.provider == "anthropic"
    assert list(config.settings.providers) == ["anthropic"]
    write('[providers.anthropic]\n\n[providers.claude-cli]\nbody = "form"\n')
    fault = refused(home)
    assert "config.toml:3: providers.claude-cli: is the same provider as providers.anthropic" in fault.cause


def test_the_user_overrides_key_by_key(home: Path, write: Write) -> None:
    """One key of a built-in provider changes, and the others stay."""
    builtin = provider_named("anthropic").registration
    assert builtin.token_endpoint == "https://platform.claude.com/v1/oauth/token"
    assert (builtin.body, builtin.reuse_grace, builtin.client_id) == ("json", 0, None)
    assert builtin.base_url == "https://api.anthropic.com"
    write('[providers.anthropic]\ntoken_endpoint = "http://127.0.0.1:9/token"\nreuse_grace = 30\n')
    changed = provider(loaded(home), "anthropic").registration
    assert (changed.token_endpoint, changed.reuse_grace, changed.body, changed.base_url) == (
        "http://127.0.0.1:9/token",
        30,
        "json",
        "https://api.anthropic.com",
    )


def test_any_oauth_provider(home: Path, write: Write) -> None:
    """All that RFC 6749 lets a server choose can be said."""
    write(
        """
        [providers.acme]
        issuer = "https://auth.acme.dev"
        token_endpoint = "https://auth.acme.dev/token?tenant=1"
        authorization_endpoint = "https://auth.acme.dev/authorize"
        revocation_endpoint = "https://auth.acme.dev/revoke"
        device_authorization_endpoint = "https://auth.acme.dev/device"
        client_id = "cid"
        client_auth = "basic"
        client_secret = "${ACME_SECRET}"
        scope = "openid offline_access"
        """
    )
    acme = provider(loaded(home, ACME_SECRET="s3"), "acme").registration
    assert acme.client_secret == Secret("s3")
    assert (acme.issuer, acme.client_id, acme.client_auth, acme.scope, acme.body) == (
        "https://auth.acme.dev",
        "cid",
        "basic",
        "openid offline_access",
        "form",
    )
    assert acme.token_endpoint == "https://auth.acme.dev/token?tenant=1"
    assert acme.authorization_endpoint == "https://auth.acme.dev/authorize"
    assert acme.revocation_endpoint == "https://auth.acme.dev/revoke"
    assert acme.device_authorization_endpoint == "https://auth.acme.dev/device"


def test_another_issuer_has_none_of_our_endpoints(home: Path, write: Write) -> None:
    """A user's issuer for a built-in provider is another server; our file's token endpoint is not its own."""
    write('[providers.anthropic]\nissuer = "https://identity.example"\nclient_id = "mine"\n')
    assert provider(loaded(home), "anthropic").registration.token_endpoint is None


def test_claude_codes_client_id_is_for_its_own_login_only(home: Path, write: Write) -> None:
    """It is no login of ours: the provider itself has no client_id until the user brings one."""
    write('[providers.anthropic]\ntoken_endpoint = "http://127.0.0.1:9/token"\nclient_id = "mine"\n')
    anthropic = provider(loaded(home), "anthropic")
    assert anthropic.registration.client_id == "mine"
    own = claude_code_registration(anthropic)
    assert own.client_id == "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
    assert (own.token_endpoint, own.client_auth, own.client_secret) == ("http://127.0.0.1:9/token", "none", None)


def test_claude_codes_login_is_not_sent_to_an_issuer_of_the_users(home: Path, write: Write) -> None:
    """That issuer is for a client of the user's own."""
    write('[providers.anthropic]\nissuer = "https://identity.example"\nclient_id = "mine"\n')
    own = claude_code_registration(provider(loaded(home), "anthropic"))
    assert (own.issuer, own.token_endpoint) == (None, "https://platform.claude.com/v1/oauth/token")


# Sources


def test_the_claude_code_source(home: Path, write: Write) -> None:
    """Its file, how it is refreshed, and by which command."""
    write(
        """
        [sources.claude-code]
        path = "~/dot/c.json"
        refresh = "direct"
        command = "/opt/claude"
        enabled = false
        """
    )
    source = loaded(home).settings.sources.claude_code
    assert (source.path, source.refresh, source.command, source.enabled) == (
        home / "dot" / "c.json",
        "direct",
        "/opt/claude",
        False,
    )


# What is wrong, and where


@pytest.mark.parametrize(
    ("text", "line", "reason", "hint"),
    [
        ("x = 1", 1, "x: is not a known key", "known here: default, providers, sources, store"),
        ("[defualt]\nprovider = 'a'", 1, "defualt: is not a known key", "did you mean default?"),
        (
            "# a\n[default]\n\nrefesh_margin = 3",
            4,
            "default.refesh_margin: is not a known key",
            "did you mean refresh_margin?",
        ),
        ("[default]\nbillowy = 'x'", 2, "default.billowy: is not a known key", "known here"),
        ("[default]\nresolution = 'keys-first'", 2, "default.resolution: must be 'profiles-first'", ""),
        ("[sources.claude_code]", 1, "sources.claude_code: is not a known key", "did you mean claude-code?"),
        ("[sinks.sdk]\nfromat = 'x'", 2, "sinks.sdk.fromat: is not a known key", "format"),
        (
            "[providers.acme]\napi_key = 'k'\napikey = 'k'",
            3,
            "providers.acme.apikey: is not a known key",
            "did you mean api_key?",
        ),
        ("[default]\nrefresh_margin = '90'", 2, "default.refresh_margin: must be a number", ""),
        ("[default]\nrefresh_margin = true", 2, "default.refresh_margin: must be a number", ""),
        ("[default]\nrefresh_margin = -1", 2, "default.refresh_margin: must be at least 0", ""),
        ("[default]\nrefresh_margin = nan", 2, "default.refresh_margin: must be", ""),
        ("[default]\nrefresh_margin = 1e9", 2, "default.refresh_margin: must be at most 3600", ""),
        ("[default]\nrefresh_timeout = 0.5", 2, "default.refresh_timeout: must be at least 1", ""),
        ("[default]\nrefresh_timeout = 55", 2, "default.refresh_timeout: must be at most 50", ""),
        ("[default]\nprovider = 7", 2, "default.provider: must be a text", ""),
        ("[default]\nprovider = ['a']\nmodel = 'opus'", 2, "default.provider: must be a text", ""),
        ("[default]\nprovider = 'a b'", 2, "default.provider: is not a provider's name", "a-z"),
        ("default = 1", 1, "default: must be a table", ""),
        ("providers = 1", 1, "providers: must be a table", ""),
        ("[providers]\nacme = 1", 2, "providers.acme: must be a table", ""),
        ("[providers.'a b']\nbody = 'form'", 1, "providers.a b: is not a provider's name", "a-z"),
        ("[providers.a]\nbody = 'xml'", 2, "providers.a.body: must be 'form' or 'json'", ""),
        ("[providers.a]\nscope = ''", 2, "providers.a.scope: is empty", ""),
        ("[providers.a]\nclient_id = 'a\\tb'".replace("'a", '"a').replace("b'", 'b"'), 2, "cannot be sent", ""),
        ("[providers.a]\napi_key = ''", 2, "providers.a.api_key: is empty", ""),
        ('[providers.a]\nbody = "form"\napi_key = """\na\nb"""', 3, "holds a blank, a line break", ""),
        ("[providers.a]\napi_url = 'http://a.dev'", 2, "https", ""),
        ("[providers.a]\napi_url = 'ftp://a.dev'", 2, "https", ""),
        ("[providers.a]\napi_url = 'https://a.dev/?x=1'", 2, "query", ""),
        ("[providers.a]\napi_url = 'https://me:pw@a.dev'", 2, "no user", ""),
        ("[providers.a]\nbilling_url = 'http://a.dev/topup'", 2, "https", ""),
        ("[providers.a]\nbilling_url = 'topup'", 2, "must name a host", ""),
        ("[providers.a]\nissuer = 'https://a.dev?x=1'\nclient_id = 'c'", 2, "query", ""),
        ("[providers.a]\nissuer = 'https://a.dev'", 2, "needs a client_id", ""),
        ("[providers.a]\nclient_id = 'c'", 2, "needs to know where", "token_endpoint"),
        ("[providers.a]\nclient_auth = 'post'", 2, "needs a client_secret", ""),
        ("[providers.a]\nclient_secret = 's'", 2, "client_auth", ""),
        ("[providers.a]\nclient_auth = 'mtls'", 2, "must be 'none', 'basic', 'post' or 'private_key_jwt'", ""),
        ("[providers.a]\nclient_auth = 'private_key_jwt'", 2, "needs a client_key", "the path"),
        ("[providers.a]\nclient_key = '/k.pem'", 2, "is of no use", "private_key_jwt"),
        ("[providers.a]\nclient_key = 'k.pem'", 2, "absolute path", ""),
        (
            "[providers.a]\nclient_auth = 'private_key_jwt'\nclient_key = '/k.pem'\ntoken_endpoint = 'https://a.dev'",
            2,
            "needs a client_id",
            "",
        ),
        ("[providers.a.federation]", 1, "needs one source of identity tokens", "identity_token_file"),
        (
            "[providers.a.federation]\nidentity_token_file = '/t'\nidentity_command = ['x']",
            1,
            "needs one source of identity tokens",
            "",
        ),
        ("[providers.a.federation]\nidentity_token_file = '/t'", 1, "needs to know where", "token_endpoint"),
        ("[providers.a.federation]\nidentity_token_file = 't'", 2, "absolute path", ""),
        ("[providers.a.federation]\nidentity_command = 'x'", 2, "must be a list", ""),
        (
            "[providers.a.federation]\nidentity_tokn_file = '/t'",
            2,
            "federation.identity_tokn_file: is not a known key",
            "did you mean identity_token_file?",
        ),
        (
            "[providers.a.federation]\nidentity_token_file = '/t'\nparameters = { assertion = 'x' }",
            3,
            "must not hold what the grant",
            "",
        ),
        (
            "[providers.anthropic.federation]\nidentity_token_file = '/t'\nparameters = { organization_id = 'o' }",
            1,
            "needs parameters that anthropic wants",
            "federation_rule_id",
        ),
        ("[providers.a]\nauth_token = 't'", 2, "needs the gateway", "api_url"),
        (
            "[providers.a]\napi_key = 'k'\nauth_token = 't'\napi_url = 'https://a.dev'",
            3,
            "cannot stand beside api_key",
            "",
        ),
        ("[sources.claude-code]\nrefresh = 'often'", 2, "'auto', 'delegate', 'direct' or 'watch'", ""),
        ("[sources.claude-code]\npath = 'c.json'", 2, "absolute path", ""),
        ("[sources.claude-code]\npath = 3", 2, "must be a text", ""),
        ("[sources.claude-code]\nenabled = 1", 2, "must be true or false", ""),
        ("[store]\nshared = 'mysql://me:pw@db/fleet'", 2, "store.shared: must begin with postgresql://", ""),
        ("[store]\nshared = 7", 2, "store.shared: must be a text", ""),
        (
            "[store]\nshared_key = 'command'\nshared_key_command = []",
            3,
            "store.shared_key_command: must name the command",
            "",
        ),
        ("[default]\nfallbacks = 'opus'", 2, "default.fallbacks: must be a list", ""),
        ("[store]\nkey = 'cloud'", 2, "store.key: must be 'file', 'keyring', 'systemd' or 'passphrase'", ""),
        ("[default]\nprovider = ", 2, "Invalid value", "TOML"),
        ("[default]\n[default]", 2, "Cannot declare", "TOML"),
        ("a = '''\n\n", 3, "", "TOML"),
        ("[default]\nrefresh_margin = -1\nrefresh_jitter = -1", 2, "must be at least 0 (and 1 more)", ""),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    home: Path, write: Write, *, text: str, line: int, reason: str, hint: str
) -> None:
    """A wrong key, type or value stops the start: the file, the line, the name and the reason in words."""
    path = write(text)
    fault = refused(home)
    assert fault.cause.startswith(f"{path}:{line}: ")
    assert reason in fault.cause
    assert hint in fault.hint
    assert "pydantic" not in str(fault).lower()


@pytest.mark.parametrize(
    "text",
    [
        "[providers.a]\napi_key = ['{}']",
        '[providers.a]\napi_key = """{}\nx"""',
        "[providers.a]\nclient_secret = {{ x = '{}' }}",
        "[providers]\na = ['{}']",
        "[providers.a]\n'{}' = 1",
        "[providers.'{}']\nbody = 1",
        "[providers.a]\napi_url = 'https://{}@a.dev'",
        "[providers.a]\nbody = '{}'",
        "[default]\nrefresh_margin = '{}'",
        "[sources.claude-code]\npath = '{}'",
        "[providers.a]\napi_key = {}",
        "{}",
    ],
)
def test_no_error_quotes_a_value(home: Path, write: Write, text: str) -> None:
    """A key in the wrong place does not end in the log that says so."""
    write(text.format(KEY))
    fault = refused(home)
    assert KEY not in fault.cause + fault.hint
    assert fault.__context__ is None or fault.__suppress_context__, (
        "a traceback would show the library's error, which quotes"
    )


def test_no_repr_shows_a_key(home: Path, write: Write) -> None:
    """A configuration that is printed by accident shows no key."""
    write(f"[providers.a]\napi_key = '{KEY}'\n")
    config = loaded(home)
    assert KEY not in repr(config) + repr(provider(config, "a"))


def test_text_that_is_not_utf_8(home: Path, write: Write) -> None:
    """TOML is UTF-8; the line of the first other byte is said."""
    path = write("")
    path.write_bytes(b"[default]\n# \xff\n")
    assert refused(home).cause == f"{path}:2: is not UTF-8"


def test_every_table_is_closed_and_described() -> None:
    """What the suggestions are made from is what is checked, and no table lets anything else in."""
    for table in TABLES.values():
        assert not {*table.parts()} & {*dir(Table)}, "a key of that name would be taken for what every table has"
        checker = TypeAdapter(table)
        with pytest.raises(ValidationError) as caught:
            checker.validate_python({"of_no_table": 1})
        faults = {(each["type"], each["loc"]) for each in caught.value.errors()}
        assert ("extra_forbidden", ("of_no_table",)) in faults
        assert list(checker.json_schema()["properties"]) == list(table.keys())
    assert sys.modules[Settings.__module__].TABLES[()] is Settings


def test_the_checker_itself_shows_no_value() -> None:
    """Nobody prints its errors; a traceback that somebody else makes of them holds no key either."""
    for wrong in ({"default": {"provider": ["canary"]}}, {"providers": {"a": {"of_no_table": "canary"}}}):
        with pytest.raises(ValidationError) as caught:
            CHECKER.validate_python(wrong)
        assert "canary" not in str(caught.value)


def test_a_file_that_says_nothing_is_the_defaults(home: Path, write: Write) -> None:
    """Which are what the checker makes of it too, table by table; nothing of pydantic's is in them."""
    path = write("# nothing yet\n")
    assert loaded(home) == LoadedConfig(Settings(), path, (), holds_key=False)
    said: dict[str, object] = {
        "sources": {"claude-code": {}, "neurolink": {}, "dotenv": {}, "command": {}, "anthropic-profile": {}}
    }
    said |= {key: {} for key in ("default", "providers", "store", "health", "sinks", "events", "metrics")}
    assert CHECKER.validate_python({**said, "sockets": []}) == CHECKER.validate_python({}) == Settings()


def test_the_steps_of_the_ladders(home: Path, write: Write) -> None:
    """A preset, and steps of one's own before it; without either ours."""
    write("")
    assert loaded(home).settings.health.ladders() == PRESETS["tokenward"]
    write("[health]\npreset = 'openclaw'\ncooldown = [5, 50.5]\n")
    ladders = loaded(home).settings.health.ladders()
    assert (ladders.cooldown, ladders.billing) == ((5, 50.5), PRESETS["openclaw"].billing)


@pytest.mark.parametrize(
    "line",
    [
        "cooldown = []",
        "cooldown = [60, 30]",
        "billing = [0]",
        "billing = [1e9]",
        "preset = 'x'",
        "cooldown = [inf]",
    ],
)
def test_steps_that_are_no_ladder_are_refused(home: Path, write: Write, line: str) -> None:
    """Empty, going down, nothing, longer than a week, unknown: with the line."""
    write(f"[health]\n{line}\n")
    assert "config.toml:2: health." in refused(home).cause


@pytest.mark.covers("E24")
def test_fallbacks_are_models_by_any_name(home: Path, write: Write) -> None:
    """Each as ``provider/model``; one that is nobody's stops the start."""
    write("[default]\nfallbacks = ['opus-4.5', 'acme:m']\n[providers.acme]\napi_key = 'k'\n")
    assert loaded(home).settings.default.fallbacks == ("anthropic/claude-opus-4-5", "acme/m")
    write("[default]\nfallbacks = ['gibberish']\n")
    assert "default.fallbacks" in refused(home).cause


# [[sockets]]


def test_restricted_sockets_are_read(home: Path, write: Write) -> None:
    """A path under the home, profiles of any agent, users by number."""
    write('[[sockets]]\npath = "~/a.sock"\nprofiles = ["anthropic:bot", "crew/acme:me@x.y"]\nuids = [1000, 0]\n')
    (entry,) = loaded(home).settings.sockets
    assert entry.path == home / "a.sock"
    assert (entry.profiles, entry.uids) == (("anthropic:bot", "crew/acme:me@x.y"), (1000, 0))


SOCKET = '[[sockets]]\npath = "/run/a.sock"\nprofiles = ["a:b"]\n'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[[sockets]]\n" + SOCKET, 1, "sockets.0."),
        ('[[sockets]]\npath = "a.sock"\nprofiles = ["a:b"]\n', 2, "must be an absolute path"),
        ('[[sockets]]\npath = "/a.sock"\nprofiles = []\n', 3, "is empty"),
        ('[[sockets]]\npath = "/a.sock"\nprofiles = ["a b"]\n', 3, "sockets.0.profiles.0"),
        (SOCKET + "uids = [65534]\n", 4, "is never admitted"),
        (SOCKET + "uids = [-1]\n", 4, "must be at least 0"),
        (SOCKET + 'uids = ["me"]\n', 4, "must be a whole number"),
        (SOCKET + "uids = [true]\n", 4, "must be a whole number"),
        (SOCKET + SOCKET, 1, "the same path"),
        (SOCKET + "mode = 438\n", 4, "is not a known key"),
    ],
)
def test_a_wrong_restricted_socket_stops_the_start(
    home: Path, write: Write, text: str, line: int, words: str
) -> None:
    """With the line, and what is wrong with it."""
    path = write(text)
    fault = refused(home)
    assert fault.cause.startswith(f"{path}:{line}: ")
    assert words in fault.cause
    if "known key" in words:
        assert "uids" in fault.hint
