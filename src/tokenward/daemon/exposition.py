"""Metrics as text: OpenMetrics, or the older text that node_exporter reads, whichever is asked for.

The problem: two formats that differ in suffixes, types and escapes, and a reader that drops a whole page for one
wrong line. So the library of Prometheus writes both.

Rules: the only importer of prometheus_client (the extra ``metrics``), and only when somebody asks; in a worker
thread, since importing it takes longer than a caller of the lane may wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from anyio import to_thread

from tokenward.errors import ConfigurationFault

if TYPE_CHECKING:
    from prometheus_client import Metric

    from tokenward.daemon.metrics import Family

OPENMETRICS = "application/openmetrics-text"
"""Accepted by whoever wants that; anybody else gets the older text."""
_SUFFIXES = {"counter": "_total", "info": "_info", "gauge": ""}


@dataclass(frozen=True, slots=True)
class Page:
    """Metrics as text.

    Args:
        content_type: which format it is.
        text: the page.
    """

    content_type: str
    text: str


class _Collected:
    """What the library asks for its metrics."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        from prometheus_client import Metric

        for family in self._families:
            metric = Metric(family.name, family.help, family.kind, family.unit)
            for labels, value in family.samples:
                metric.add_sample(family.name + _SUFFIXES[family.kind], dict(labels), value)
            yield metric


def require() -> None:
    """See to it that metrics can be written.

    Raises:
        ConfigurationFault: if the library is not installed.
    """
    if find_spec("prometheus_client") is None or find_spec("h11") is None:
        raise ConfigurationFault(
            "metrics need prometheus-client, which is not installed", hint="pip install 'tokenward[metrics]'"
        )


async def page(families: Sequence[Family], accept: str) -> Page:
    """Write families as the reader wants them.

    Args:
        families: what there is to say.
        accept: the reader's ``Accept`` (RFC 9110 section 12.5.1); the library chooses by it.

    Raises:
        ConfigurationFault: if the library is not installed.
    """
    require()

    def write() -> Page:
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        return Page(content_type, encode(_Collected(families)).decode())

    return await to_thread.run_sync(write)
