"""What is said on the socket about the daemon itself: who it is, how it does, and what it is told to do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tokenward.core import protocol
from tokenward.daemon.profile_models import ProfileResult
from tokenward.daemon.rpc_types import Params, Result


class HelloParams(Params):
    """Who is calling; believed by nobody, and written nowhere."""

    client: str | None = Field(default=None, max_length=128, description="The caller's name and version.")


class HelloResult(Result):
    """Who answers."""

    name: str = "tokenward"
    version: str
    protocol: int = protocol.PROTOCOL_VERSION
    pid: int


class SocketResult(Result):
    """A restricted socket of the configuration."""

    path: str
    profiles: list[str]
    uids: list[int] = Field(description="Who may call besides our own user.")
    trouble: str | None = Field(description="Why nobody is served on it; null if it is open.")


class SharedStoreResult(Result):
    """The engine in which hosts share credentials."""

    location: str
    holder: str = Field(description="The name under which this host refreshes.")
    away_since_ms: int | None = Field(description="Since when it does not answer; null if it does.")
    trouble: str | None = Field(description="Why it does not answer; null if it does.")
    hint: str | None = Field(description="What to do about it, if that is known.")
    profiles: int = Field(description="How many profiles are shared.")
    orphans: int = Field(
        description="How many tokens of this host came too late since its start, and are kept beside the records."
    )


class DaemonStatusResult(Result):
    """The daemon as a whole."""

    version: str
    pid: int
    protocol: int = protocol.PROTOCOL_VERSION
    started_at_ms: int
    uptime: float
    socket: str
    state_directory: str
    config: str | None = Field(description="The configuration file in force; null = built-in defaults.")
    config_error: str | None = Field(description="Why the file last read is not in force; null = it is.")
    store_key: str = Field(description="Where the store's key lies.")
    store_trouble: str | None = Field(description="Why the store's key cannot be used now; null if it can.")
    sink_troubles: list[str] = Field(default=[], description="One line for each sink that is not up to date.")
    connections: int
    subscribers: int
    restricted_sockets: list[SocketResult] = Field(
        default=[], description="The sockets that hand out tokens of some profiles and do nothing else."
    )
    shared_store: SharedStoreResult | None = Field(
        default=None, description="Where profiles are shared with other hosts; null = nowhere."
    )
    profiles: list[ProfileResult]


class ReloadResult(Result):
    """Whether the configuration was taken over."""

    reloaded: bool
    error: str | None


class MetricsParams(Params):
    """How metrics are written."""

    format: Literal["openmetrics", "prometheus"] = Field(
        default="openmetrics", description="`prometheus` is the older text, which node_exporter reads from files."
    )


class MetricsResult(Result):
    """Counters and gauges as text."""

    content_type: str = Field(description="Which text, as HTTP names it.")
    text: str


class StopResult(Result):
    """The daemon ends after the refreshes under way."""

    stopping: Literal[True] = True
