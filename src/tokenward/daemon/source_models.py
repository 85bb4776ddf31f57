"""Params and results of ``source.*``; the rules of ``daemon.rpc_types`` hold here as well."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tokenward.daemon.rpc_types import AgentName, Generation, KindName, Params, ProfileId, Result

AbsoluteFile = Annotated[str, Field(pattern=r"^/", max_length=4096, description="An absolute path.")]
SourceName = Annotated[str, Field(max_length=64, description="A program, as `source.list` names it.")]


class SourceResult(Result):
    """A program whose store can be taken over."""

    source: str
    files: list[str] = Field(description="Its files that are there now.")


class AdoptedResult(Result):
    """A foreign file that is kept in place."""

    profile: str
    path: str
    layout: str
    entry: str | None
    refresh: Literal["watch", "direct"]


class SourceListResult(Result):
    """What can be taken over, what can be adopted, and what is."""

    sources: list[SourceResult]
    layouts: list[str] = Field(description="What `source.adopt` knows.")
    adopted: list[AdoptedResult]


class SourceImportParams(Params):
    """Which program's credentials are copied into our own store, once."""

    source: SourceName
    path: AbsoluteFile | None = Field(
        default=None, description="One file, instead of those in their usual places."
    )
    profiles: list[ProfileId] | None = Field(
        default=None, max_length=1024, description="Only these; absent = all."
    )
    rename: ProfileId | None = Field(default=None, description="The name here, where one credential is imported.")
    agent: AgentName = Field(default="main", description="Whose, in programs that have agents.")
    dry_run: bool = Field(default=False, description="Say what would be done, and do nothing.")


class ImportedResult(Result):
    """A credential that was copied, or would be."""

    profile: str
    kind: KindName
    generation: Generation
    expires_at_ms: int | None
    note: str | None


class SkippedResult(Result):
    """What was seen and not taken."""

    name: str
    reason: str


class SourceImportResult(Result):
    """What became of everything that was seen."""

    source: str
    files: list[str]
    imported: list[ImportedResult]
    unchanged: list[str] = Field(description="Profiles that are kept already, with the same value.")
    skipped: list[SkippedResult]
    dry_run: bool


class SourceAdoptParams(Params):
    """A foreign file that is to be kept in place."""

    path: AbsoluteFile
    profile: ProfileId
    layout: SourceName
    entry: str | None = Field(default=None, max_length=256, description="Its name in a file that holds many.")
    refresh: Literal["watch", "direct"] = Field(
        default="watch", description="`direct` is a consent: tokenward itself spends the refresh token."
    )
