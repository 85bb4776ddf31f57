"""Which programs' stores can be taken over, where they lie, and who reads them.

The problem: a person says "from equabot", and means three directories, settings in another language and files
of older versions. What a file is follows from what is in it, so that ``--path`` can name any of them.

Rules:
- Files are looked at, never opened for writing; what is too large or not a regular file is not read.
- A file that is torn stops the import of that program: half of a store looks like a small store.
- One agent's credentials at a time, and the others are named: in these programs agents inherit nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenward.core.imported import Entry, Gathered, Imported, Skipped
from tokenward.disk.atomic_file import read_regular
from tokenward.errors import ConfigurationFault
from tokenward.sources.foreign import clawdbot, clawdbot_settings, codex, gh, neurolink_tokens, polpo, prx
from tokenward.sources.foreign.reading import object_in
from tokenward.sources.foreign.unknown import unknown
from tokenward.sources.neurolink import NeuroLinkLayout

MAIN = "main"
MOST_ENTRIES = 1000
"""More credentials than one person has; what is told of each has to fit into one answer."""


@dataclass(frozen=True, slots=True)
class Where:
    """What decides where a program keeps its things.

    Args:
        home: the user's home directory.
        environ: the environment of whoever asks.
        agent: whose credentials, in programs that have agents.
    """

    home: Path
    environ: Mapping[str, str]
    agent: str = MAIN

    def directory(self, variable: str, default: str) -> Path:
        """A directory that an absolute path in a variable moves."""
        said = self.environ.get(variable, "")
        return Path(said) if said.startswith(os.sep) else self.home / default


@dataclass(frozen=True, slots=True)
class Tool:
    """One program.

    Args:
        name: what a person calls it.
        files: where its files would be, the settings first.
        read: from those of them that are there, with their bytes, to what they hold.
        others: names what of it is not read.
    """

    name: str
    files: Callable[[Where], Sequence[Path]]
    read: Callable[[Mapping[Path, bytes], Where], list[Entry]]
    others: Callable[[Where], Sequence[Skipped]] = lambda _: ()


class ForeignStores:
    """All programs whose stores can be taken over.

    Args:
        home: the user's home directory.
        environ: the environment, which is read and never changed.
    """

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self._home = home
        self._environ = environ

    def names(self) -> Sequence[str]:
        """What can be named, sorted."""
        return sorted(_TOOLS)

    def present(self, name: str) -> Sequence[str]:
        """The files of one program that are there."""
        files = _TOOLS[name].files(self._where(MAIN))
        return [str(path) for path in files if path.is_file()]

    def read(self, name: str, path: str | None, agent: str) -> Gathered:
        """Read what one program keeps.

        Args:
            name: the program.
            path: one file of it, instead of those in their usual places.
            agent: whose, in programs that have agents.

        Raises:
            ConfigurationFault: if there is no such program or file, or one of its files cannot be read whole.
        """
        tool = _TOOLS.get(name)
        if tool is None:
            raise unknown("store of", name, self.names())
        where = self._where(agent)
        paths = tool.files(where) if path is None else [Path(path)]
        found = {each: data for each in paths if (data := _content(each)) is not None}
        if not found:
            looked = ", ".join(str(each) for each in paths)
            raise ConfigurationFault(f"{name} keeps nothing in {looked}", hint="name its file with --path")
        entries = tool.read(found, where)
        if path is None:
            entries += tool.others(where)
        if len(entries) > MOST_ENTRIES:
            raise ConfigurationFault(
                f"{name} keeps more than {MOST_ENTRIES} credentials", hint="is it the right file?"
            )
        return Gathered(tuple(str(each) for each in found), tuple(_once(entries)))

    def _where(self, agent: str) -> Where:
        return Where(self._home, self._environ, agent)


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path).data
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationFault(
            f"{path} cannot be read: {error.strerror or error}", hint="it has to be a file of yours"
        ) from None


def _once(entries: Sequence[Entry]) -> list[Entry]:
    """What stands in two files is taken from the first, which is the one in use."""
    kept: list[Entry] = []
    names: dict[str, Imported] = {}
    for entry in entries:
        if isinstance(entry, Imported) and (first := names.setdefault(entry.profile, entry)) is not entry:
            if first.credential.generation != entry.credential.generation:
                kept.append(Skipped(entry.profile, "an older file of the same program has another value of it"))
            continue
        kept.append(entry)
    return kept


def _clawdbot(name: str, variable: str) -> Tool:
    """Three names of one program."""

    def directory(where: Where) -> Path:
        return where.directory(variable, f".{name}")

    def files(where: Where) -> list[Path]:
        agent = directory(where) / "agents" / where.agent / "agent"
        older = [directory(where) / "credentials" / "oauth.json"] if where.agent == MAIN else []
        return [directory(where) / f"{name}.json", agent / "auth-profiles.json", agent / "auth.json", *older]

    def read(found: Mapping[Path, bytes], where: Where) -> list[Entry]:
        modes: dict[str, str] = {}
        entries: list[Entry] = []
        keys: list[Entry] = []
        for path, data in found.items():
            document = clawdbot_settings.parse(data, path.name)
            if {"env", "agents", "auth", "models"} & document.keys() and "profiles" not in document:
                settings = clawdbot_settings.read(document, where.environ, owner=name)
                modes.update(settings.modes)
                keys.extend(settings.entries)
            else:
                entries.extend(clawdbot.read(document, modes))
        return entries + keys

    def others(where: Where) -> list[Skipped]:
        stores = sorted((directory(where) / "agents").glob("*/agent/auth-profiles.json"))
        names = [store.parent.parent.name for store in stores]
        return [
            Skipped(f"agent {each}", f"it has profiles of its own: import them with --agent {each}")
            for each in names
            if each != where.agent
        ]

    return Tool(name, files, read, others)


def _read_polpo(found: Mapping[Path, bytes], where: Where) -> list[Entry]:
    entries: list[Entry] = []
    for path, data in found.items():
        document = object_in(data, path.name)
        if "providers" in document and "profiles" not in document:
            entries.extend(polpo.read_settings(document, where.environ))
        else:
            entries.extend(polpo.read(document))
    return entries


def _polpo_files(where: Where) -> list[Path]:
    directory = where.directory("POLPO_STATE_DIR", ".polpo")
    return [directory / "polpo.json", directory / "auth-profiles.json"]


def _read_neurolink(found: Mapping[Path, bytes], where: Where) -> list[Entry]:
    entries: list[Entry] = []
    for path, data in found.items():
        if data.lstrip().startswith(b"{") and b'"providers"' not in data:
            entries.extend(_neurolink_login(data, path.name))
        else:
            entries.extend(neurolink_tokens.read(neurolink_tokens.open_store(data, str(where.home))))
    return entries


def _neurolink_login(data: bytes, what: str) -> list[Entry]:
    from tokenward.core.reading import Found
    from tokenward.sources.foreign.reading import SHARED_LOGIN

    document = object_in(data, what)
    reading = NeuroLinkLayout().read(document)
    if not isinstance(reading, Found):
        return [Skipped(what, "there is no login in it")]
    note = SHARED_LOGIN if reading.credential.refreshable else None
    return [Imported(f"{document.get('provider') or 'anthropic'}:neurolink-login", reading.credential, note)]


def _neurolink_files(where: Where) -> list[Path]:
    directory = where.home / ".neurolink"
    return [directory / "anthropic-credentials.json", directory / "tokens.json"]


def _read_prx(found: Mapping[Path, bytes], where: Where) -> list[Entry]:  # noqa: ARG001 - as every reader
    return [
        entry
        for path, data in found.items()
        for entry in prx.read(object_in(data, path.name), _content(path.parent / ".secret_key"))
    ]


def _read_codex(found: Mapping[Path, bytes], where: Where) -> list[Entry]:  # noqa: ARG001 - as every reader
    return [entry for path, data in found.items() for entry in codex.read(object_in(data, path.name))]


def _read_gh(found: Mapping[Path, bytes], where: Where) -> list[Entry]:  # noqa: ARG001 - as every reader
    return [entry for data in found.values() for entry in gh.read(gh.parse(data))]


def _gh_files(where: Where) -> list[Path]:
    configuration = where.directory("XDG_CONFIG_HOME", ".config")
    return [where.directory("GH_CONFIG_DIR", str(configuration / "gh")) / "hosts.yml"]


def _read_pi(found: Mapping[Path, bytes], where: Where) -> list[Entry]:  # noqa: ARG001 - as every reader
    return [
        entry for path, data in found.items() for entry in clawdbot.read_by_provider(object_in(data, path.name))
    ]


_TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        _clawdbot("equabot", "CLAWDBOT_STATE_DIR"),
        _clawdbot("openclaw", "OPENCLAW_STATE_DIR"),
        _clawdbot("clawdbot", "CLAWDBOT_STATE_DIR"),
        Tool("polpo", _polpo_files, _read_polpo),
        Tool("neurolink", _neurolink_files, _read_neurolink),
        Tool("prx", lambda where: [where.home / ".openprx" / "auth-profiles.json"], _read_prx),
        Tool("codex", lambda where: [where.directory("CODEX_HOME", ".codex") / "auth.json"], _read_codex),
        Tool("gh", _gh_files, _read_gh),
        Tool("pi", lambda where: [where.home / ".pi" / "agent" / "auth.json"], _read_pi),
    )
}
