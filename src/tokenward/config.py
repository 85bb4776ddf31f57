"""The user's ``config.toml``: found, read once, and either right or refused.

The problem: a misspelt key that is silently ignored is found out when a login is dead, and a configuration
that others may write decides where refresh tokens are sent. So an unknown key, a wrong type or a wrong value
stops the start with the line and the reason, and so does a file that somebody else could have written.

Rules:
- What a person may well have pasted wrong is put right and warned about (``config_values``); everything else
  is an error.
- No error and no warning quotes a value: it could be a key.
- Nothing is read from the process: environment, user id and platform are arguments.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tokenward import config_values, paths
from tokenward.config_source import ConfigSource, Location
from tokenward.core.redact import printable
from tokenward.errors import ConfigurationFault, UnknownModel
from tokenward.model_files import model_catalog
from tokenward.provider_files import (
    NAME_HINT,
    PROVIDER_NAME,
    canonical_name,
    federation_wants,
    goes_to_gateway,
    has_beta_features,
    is_built_in,
    model_naming,
)
from tokenward.provider_settings import FederationSettings, ProviderSettings
from tokenward.settings import Settings, SinkSettings

__all__ = ["MAX_CONFIG_BYTES", "READABLE_KEY", "LoadedConfig", "Settings", "load"]

MAX_CONFIG_BYTES = 256 * 1024
"""A configuration is written by hand; anything larger is another file."""
READABLE_KEY = "it holds a key and others may read it"
OVERFLOW_UID = 65534
"""How root's files appear in a user namespace (design section 9), among them those of read-only system stores."""

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration in force.

    Args:
        settings: what it says.
        path: the file; None = none was found, and the defaults hold.
        warnings: one line each, for the log and for people.
        holds_key: whether a key or secret stands in the file itself.
    """

    settings: Settings
    path: Path | None
    warnings: tuple[str, ...]
    holds_key: bool


def load(path: Path | None, environ: Mapping[str, str], *, uid: int, platform: str) -> LoadedConfig:
    """Find, read and check the configuration.

    Args:
        path: what ``--config`` named; None = ``$TOKENWARD_CONFIG``, else the default place.
        environ: the environment.
        uid: the user's id.
        platform: ``sys.platform``.

    Raises:
        ConfigurationFault: if a file that was named is missing; if others may write it; or if a key, a type
            or a value in it is wrong. The message begins with ``file:line``.
    """
    named = path or (Path(variable) if (variable := environ.get("TOKENWARD_CONFIG")) else None)
    place = (named or paths.config_directory(environ, platform=platform) / paths.CONFIG_NAME).absolute()
    opened = _read(place, uid)
    if opened is None:
        if named is not None:
            raise ConfigurationFault(f"{place}: there is no such file", hint="create it, or name another one")
        return LoadedConfig(_validated(ConfigSource(place, ""), {}, environ), None, (), holds_key=False)
    text, readable_by_others = opened
    source = ConfigSource(place, text)
    document = source.parsed()
    warnings: list[str] = []
    settings = _validated(source, _prepared(source, document, environ, warnings.append), environ)
    holds_key = _holds_key(document)
    if holds_key and readable_by_others:
        warnings.append(f"{place}: {READABLE_KEY}; run: chmod go-r {place}")
    return LoadedConfig(settings, place, tuple(warnings), holds_key=holds_key)


def _read(place: Path, uid: int) -> tuple[str, bool] | None:
    """The file's text and whether others may read it; None if there is no such file."""
    try:
        # Non-blocking, so that a pipe in its place is refused and not waited for.
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unusable(place, f"cannot be opened: {error.strerror}", "check its owner and mode") from None
    try:
        status = os.fstat(descriptor)
        _refuse_foreign_writers(place, status, uid)
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            content = opened.read(MAX_CONFIG_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_CONFIG_BYTES:
        raise _unusable(place, f"is larger than {MAX_CONFIG_BYTES} bytes", "name a configuration file")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationFault(f"{place}:{line}: is not UTF-8", hint="save the file as UTF-8") from None
    return text, bool(status.st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _refuse_foreign_writers(place: Path, status: os.stat_result, uid: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _unusable(place, "is not a regular file", "name a file")
    from_system_store = status.st_uid == OVERFLOW_UID and not status.st_mode & 0o222
    if status.st_uid not in {uid, 0} and not from_system_store:
        raise _unusable(place, "belongs to another user", "make a copy that is yours")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unusable(place, "others may write it", f"run: chmod go-w {place}")
    for directory in {place.parent, Path(os.path.realpath(place)).parent}:
        mode = directory.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise _unusable(place, "others may write its directory", f"run: chmod o-w {directory}")


def _unusable(place: Path, reason: str, hint: str) -> ConfigurationFault:
    return ConfigurationFault(f"{place}: {reason}", hint=hint)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _holds_key(document: Mapping[str, Any]) -> bool:
    """Whether a key stands in the file itself, and not only the name of a variable."""
    for given in _table(document.get("providers")).values():
        values = [given] if isinstance(given, str) else map(_table(given).get, config_values.CREDENTIAL_KEYS)
        if any(isinstance(value, str) and value and not config_values.names_variable(value) for value in values):
            return True
    return False


def _prepared(
    source: ConfigSource, document: Mapping[str, Any], environ: Mapping[str, str], warn: Warn
) -> dict[str, Any]:
    """The document with names, shorthands and variables resolved; a wrong type is left for the models to find."""
    ready = dict(document)
    if isinstance(providers := document.get("providers"), dict):
        ready["providers"] = _prepared_providers(source, providers, environ, warn)
    default = _table(document.get("default"))
    if isinstance(default.get("provider"), str):
        name = canonical_name(default["provider"])
        if not PROVIDER_NAME.fullmatch(name):
            raise source.fault(("default", "provider"), "is not a provider's name", NAME_HINT)
        ready["default"] = {**default, "provider": name}
    if isinstance(default.get("model"), str):
        ready["default"] = {**_table(ready["default"]), "model": _whole(source, ready, "model", default["model"])}
    if isinstance(names := default.get("fallbacks"), list):
        whole = [_whole(source, ready, "fallbacks", name) if isinstance(name, str) else name for name in names]
        ready["default"] = {**_table(ready["default"]), "fallbacks": whole}
    for location in _unexpanded(ready):
        warn(source.said(location, "${…} is not expanded here; it stays as it is written"))
    return ready


def _whole(source: ConfigSource, document: Mapping[str, Any], key: str, name: str) -> str:
    """A model as ``provider/model``, its id put right; an id alone is the default provider's."""
    naming = model_naming(_table(document.get("providers")))
    try:
        meant = model_catalog().resolve(name, naming, provider=_table(document.get("default")).get("provider"))
    except UnknownModel as unknown:
        raise source.fault(("default", key), "is not a model that is known", unknown.hint) from None
    return f"{meant.provider}/{meant.model}"


def _prepared_providers(
    source: ConfigSource, providers: Mapping[str, Any], environ: Mapping[str, str], warn: Warn
) -> dict[str, Any]:
    ready: dict[str, Any] = {}
    for written, given in providers.items():
        name = canonical_name(written)
        earlier = source.written.get(name)
        source.written[name] = written
        if earlier is not None:
            reason = f"is the same provider as providers.{printable(earlier)}"
            raise source.fault(("providers", name), reason, "put both into one table")
        if not PROVIDER_NAME.fullmatch(name):
            raise source.fault(("providers", name), "is not a provider's name", NAME_HINT)
        ready[name] = _prepared_provider(source, name, given, environ, warn)
    return ready


def _prepared_provider(
    source: ConfigSource, name: str, given: object, environ: Mapping[str, str], warn: Warn
) -> object:
    table = {"api_key": given} if isinstance(given, str) else given
    if not isinstance(table, dict):
        return table
    ready: dict[str, object] = {}
    for key, value in table.items():
        location = ("providers", name, key)
        if isinstance(value, str) and key in config_values.EXPANDED_KEYS:
            prepared = config_values.prepared(key, value, environ)
            for words in prepared.warnings:
                warn(source.said(location, words))
            if prepared.text is not None:
                ready[key] = prepared.text
        else:
            ready[key] = value
    _judge_credentials(source, name, ready, warn)
    return ready


def _judge_credentials(source: ConfigSource, name: str, table: Mapping[str, object], warn: Warn) -> None:
    """Refuse what is recognised as something else than its key is for; that it is short is only said."""
    is_gateway = goes_to_gateway(table.get("api_url"))
    for key in config_values.RECOGNISED_KEYS:
        if not isinstance(value := table.get(key), str):
            continue
        verdict = config_values.judged(key, value, anthropic=is_built_in(name), gateway=is_gateway)
        if isinstance(verdict, str):
            warn(source.said(("providers", name, key), verdict))
        elif verdict is not None:
            raise source.fault(("providers", name, key), verdict.cause, verdict.hint)


def _unexpanded(value: object, location: Location = ()) -> Iterator[Location]:
    if isinstance(value, dict):
        for key, below in value.items():
            if location[:1] != ("providers",) or key not in config_values.EXPANDED_KEYS:
                yield from _unexpanded(below, (*location, key))
    elif isinstance(value, str) and config_values.names_variable(value):
        yield location


def _validated(source: ConfigSource, document: dict[str, Any], environ: Mapping[str, str]) -> Settings:
    try:
        settings = Settings.model_validate(document, context={"environ": environ})
    except ValidationError as invalid:
        raise source.explained(invalid) from None
    for name, provider in settings.providers.items():
        for key, reason, hint in _contradictions(name, provider):
            raise source.fault(("providers", name, key), reason, hint)
    taken: dict[Path, str] = {}
    for name, sink in settings.sinks.items():
        for key, reason, hint in _sink_contradictions(name, sink, taken):
            raise source.fault(("sinks", name, key), reason, hint)
    return settings


def _sink_contradictions(name: str, sink: SinkSettings, taken: dict[Path, str]) -> Iterator[tuple[str, str, str]]:
    """What a sink's keys may not say together, and not beside the sinks before it: key, reason, hint."""
    if sink.path is None and sink.format in {"env", "template"}:
        yield "format", f"{sink.format} needs to know where", "set path beside it"
    if sink.format == "template" and sink.template is None:
        yield "format", "template needs a template", "set template beside it: the path of a file with $token in it"
    if sink.template is not None and sink.format != "template":
        yield "template", f"is of no use for {sink.format}", 'set format = "template", or leave it out'
    if sink.variable is not None and sink.format != "env":
        yield "variable", f"is of no use for {sink.format}", 'set format = "env", or leave it out'
    if sink.mode != "0600" and sink.format == "anthropic-profile":
        yield "mode", "cannot be chosen: the SDKs take nothing but 0600", "leave it out"
    if sink.path is not None and sink.format != "anthropic-profile":
        if sink.path == sink.template:
            yield "path", "is the template itself", "choose another path"
        if (other := taken.setdefault(sink.path, name)) != name:
            yield "path", f"is the path of sinks.{other} too", "give each sink a file of its own"


def _contradictions(name: str, provider: ProviderSettings) -> Iterator[tuple[str, str, str]]:
    """What each key may say, and all together may not: key, reason, hint."""
    if provider.api_key and provider.auth_token:
        yield "auth_token", "cannot stand beside api_key", "keep the one that the API expects"
    if provider.auth_token and not provider.api_url:
        yield "auth_token", "needs the gateway it is for", "set api_url beside it"
    authenticates = provider.client_auth in {"basic", "post"}
    if authenticates and not provider.client_secret:
        yield "client_auth", "needs a client_secret", "set client_secret beside it, or leave client_auth out"
    if provider.client_secret and not authenticates:
        yield "client_secret", "is not sent unless client_auth says how", 'set client_auth = "basic" or "post"'
    signs = provider.client_auth == "private_key_jwt"
    if signs and not provider.client_key:
        yield "client_auth", "needs a client_key", "set client_key beside it: the path of the private key"
    if signs and not provider.client_id:
        yield "client_auth", "needs a client_id", "set the client_id you are registered under"
    if provider.client_key and not signs:
        yield "client_key", "is of no use unless client_auth says so", 'set client_auth = "private_key_jwt"'
    if provider.federation is not None:
        yield from _federation_contradictions(name, provider, provider.federation)
    if provider.beta_features and not has_beta_features(name):
        yield "beta_features", f"{name} has none that are known", "leave it out; callers may send their own"
    if is_built_in(name):
        return
    registered_at = next((key for key in ("issuer", "token_endpoint") if getattr(provider, key)), None)
    if registered_at and not provider.client_id and not provider.federation:
        yield registered_at, "needs a client_id", "set the client_id you are registered under"
    if provider.client_id and not registered_at:
        yield "client_id", "needs to know where", "set issuer or token_endpoint beside it"


def _federation_contradictions(
    name: str, provider: ProviderSettings, federation: FederationSettings
) -> Iterator[tuple[str, str, str]]:
    if bool(federation.identity_token_file) == bool(federation.identity_command):
        hint = "set identity_token_file or identity_command"
        yield "federation", "needs one source of identity tokens, and only one", hint
    if missing := federation_wants(name) - federation.parameters.keys():
        wanted = ", ".join(f'{each} = "…"' for each in sorted(missing))
        yield "federation", f"needs parameters that {name} wants", f"set parameters = {{ {wanted} }}"
    registered = provider.token_endpoint or (provider.issuer and provider.client_id)
    if not is_built_in(name) and not federation.token_endpoint and not registered:
        yield "federation", "needs to know where", "set token_endpoint in it"
