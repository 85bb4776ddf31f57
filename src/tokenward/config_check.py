"""What a person wrote in ``config.toml``, checked by pydantic and made ``Settings``.

The problem: names have aliases, values have shorthands and variables, keys are pasted where they do not belong,
and what each key may say, all together may not. A configuration in which any of that is unclear is refused.

Rules:
- What a person may well have pasted wrong is put right and warned about (``config_values``); everything else
  is an error.
- No error and no warning quotes a value: it could be a key.
- This is imported where there is something to check: pydantic costs more than the rest of a start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tokenward import config_values
from tokenward.config_source import ConfigSource, Location
from tokenward.core.redact import printable
from tokenward.errors import UnknownModel
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

Warn = Callable[[str], None]
CHECKER = TypeAdapter(Settings, config=ConfigDict(hide_input_in_errors=True))
"""What makes ``Settings`` of a document; paths in it want ``environ`` in the context."""


def check(source: ConfigSource, document: Mapping[str, Any], environ: Mapping[str, str], warn: Warn) -> Settings:
    """The settings that a document means.

    Args:
        source: the document's text, for the line of what is wrong in it.
        document: the text, parsed.
        environ: where variables are looked up, and the home of paths.
        warn: told what was put right, one line each.

    Raises:
        ConfigurationFault: if a key, a type or a value in it is wrong. The message begins with ``file:line``.
    """
    return _validated(source, _prepared(source, document, environ, warn), environ)


def holds_key(document: Mapping[str, Any]) -> bool:
    """Whether a key stands in the file itself, and not only the name of a variable."""
    for given in _table(document.get("providers")).values():
        values = [given] if isinstance(given, str) else map(_table(given).get, config_values.CREDENTIAL_KEYS)
        if any(isinstance(value, str) and value and not config_values.names_variable(value) for value in values):
            return True
    return False


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _prepared(
    source: ConfigSource, document: Mapping[str, Any], environ: Mapping[str, str], warn: Warn
) -> dict[str, Any]:
    """The document with names, shorthands and variables resolved; a wrong type is left for pydantic to find."""
    ready = dict(document)
    if isinstance(providers := document.get("providers"), dict):
        ready["providers"] = _prepared_providers(source, providers, environ, warn)
    default = _table(document.get("default"))
    if isinstance(default.get("provider"), str):
        name = canonical_name(default["provider"])
        if not PROVIDER_NAME.fullmatch(name):
            raise source.fault(("default", "provider"), "is not a provider's name", NAME_HINT)
        ready["default"] = {**default, "provider": name}
    elif "provider" in default:  # of the wrong type; and whose models are meant is not to be known
        default = {key: value for key, value in default.items() if key not in {"model", "fallbacks"}}
        ready["default"] = default
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
        settings = CHECKER.validate_python(document, context={"environ": environ})
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
