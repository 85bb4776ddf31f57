"""Which sink stands behind which table of the configuration: a part of the composition root."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tokenward import paths
from tokenward.daemon.publishing import Outlet
from tokenward.ports import Sink
from tokenward.settings import SinkSettings
from tokenward.sinks.anthropic_profile import EARLIEST_MARGIN, AnthropicProfileSink
from tokenward.sinks.env_file import EnvFileSink
from tokenward.sinks.publication_record import PublicationRecord
from tokenward.sinks.published_file import PublishedFile
from tokenward.sinks.template_file import TemplateFileSink
from tokenward.sinks.token_file import TokenFileSink
from tokenward.sources.anthropic_profile import directory_in
from tokenward.sources.claude_code_command import clean_environment

ANTHROPIC_PROFILE = "anthropic-profile"


def outlet_of(name: str, said: SinkSettings, environ: Mapping[str, str], record: PublicationRecord) -> Outlet:
    """One sink.

    Args:
        name: its name.
        said: its table.
        environ: the environment of the daemon.
        record: which files we published.
    """
    return Outlet(
        name=name,
        format=said.format,
        profile=said.profile,
        sink=_sink(name, said, environ, record),
        mode=said.mode,
        margin=EARLIEST_MARGIN if said.format == ANTHROPIC_PROFILE else 0.0,
        on_change=tuple(said.on_change),
        environ=clean_environment(environ, said.env),
        made_of=(said,),
    )


def _sink(name: str, said: SinkSettings, environ: Mapping[str, str], record: PublicationRecord) -> Sink:
    if said.format == ANTHROPIC_PROFILE:
        directory = said.path or directory_in(environ, paths.home_directory(environ))
        return AnthropicProfileSink(directory, name, record)
    file = _file(name, said, environ, record)
    if said.format == "env":
        return EnvFileSink(file, said.variable)
    if said.template is not None:
        return TemplateFileSink(file, said.template)
    return TokenFileSink(file)


def _file(name: str, said: SinkSettings, environ: Mapping[str, str], record: PublicationRecord) -> PublishedFile:
    mode = int(said.mode, 8)
    if said.path is not None:
        return PublishedFile(said.path, record, mode=mode)
    directory: Path = paths.published_tokens(environ, uid=os.getuid(), platform=sys.platform)
    return PublishedFile(directory / name, record, mode=mode, in_our_directory=True)
