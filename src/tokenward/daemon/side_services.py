"""What a daemon offers beside its own socket: published files, restricted sockets, figures for collectors.

The problem: nearly every configuration names none of them, and should pay for none; and a reload may name the
first one at any time.

Rules:
- Each is made when the configuration in force first wants it, or something is left of one, and goes on to the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from tokenward.daemon.audit import AuditLog
    from tokenward.daemon.composition import Composition
    from tokenward.daemon.daemon_models import SocketResult
    from tokenward.daemon.metrics import Family
    from tokenward.daemon.metrics_socket import MetricsSocket
    from tokenward.daemon.pace import Pace
    from tokenward.daemon.publishing import Publishing
    from tokenward.daemon.second_sockets import SecondSockets
    from tokenward.daemon.token_desk import TokenDesk
    from tokenward.daemon.ward import Ward
    from tokenward.ports import Clock
    from tokenward.settings import SocketSettings
    from tokenward.sinks.publication_record import PublicationRecord


class SideServices:
    """Those of one daemon.

    Args:
        desk: what is published, and who is kept.
        group: where servers run.
        clock: the machine's clocks.
        audit: told of every call.
        pace: how often one process may call, over all sockets.
        service: whom restricted sockets ask.
        metrics: what can be counted and measured now.
    """

    def __init__(
        self,
        desk: TokenDesk,
        group: TaskGroup,
        clock: Clock,
        *,
        audit: AuditLog,
        pace: Pace,
        service: Callable[[], Awaitable[Ward]],
        metrics: Callable[[], Sequence[Family]],
    ) -> None:
        self._desk = desk
        self._group = group
        self._clock = clock
        self._audit = audit
        self._pace = pace
        self._service = service
        self._metrics = metrics
        self._publishing: Publishing | None = None
        self._sockets: SecondSockets | None = None
        self._collectors: MetricsSocket | None = None

    async def publish(self, composition: Callable[[], Composition], record: PublicationRecord) -> None:
        """Publish the files of the configuration in force, and no other.

        Args:
            composition: what is in force.
            record: what was published before.
        """
        outlets = composition().outlets()
        if self._publishing is not None:
            await self._publishing.have(outlets)
        elif outlets or not record.is_empty:
            from tokenward.daemon.change_command import run_change_command
            from tokenward.daemon.publishing import Publishing

            household = self._desk.household
            publishing = self._publishing = Publishing(
                household.around,
                self._desk.keepers,
                base_url=lambda keeper: composition().providers.unusual_base_url(keeper.profile),
                run_command=run_change_command,
                remove_leftovers=record.remove_leftovers,
            )
            household.profiles_changed, household.sinks = publishing.look, publishing.shown
            household.hub.listen(lambda event, _trouble: publishing.on_event(event))
            await publishing.have(outlets)
            for keeper in self._desk.keepers.values():
                keeper.on_alarm()  # its margin may be another now

    def troubles(self) -> list[str]:
        """What is wrong with published files, in one line each."""
        return self._publishing.troubles() if self._publishing is not None else []

    async def serve_restricted(self, wanted: Sequence[SocketSettings]) -> None:
        """Serve these restricted sockets, and no other.

        Args:
            wanted: the entries of the configuration in force.
        """
        if self._sockets is None and wanted:
            from tokenward.daemon.second_sockets import SecondSockets

            self._sockets = SecondSockets(self._group, self._clock, self._audit.of_restricted, self._pace)
        if self._sockets is not None:
            await self._sockets.serve(self._service, wanted)

    @property
    def are_missing(self) -> bool:
        """Whether a restricted socket could not be opened."""
        return self._sockets is not None and self._sockets.are_missing

    def restricted(self) -> list[SocketResult]:
        """How each restricted socket stands."""
        return self._sockets.shown() if self._sockets is not None else []

    async def serve_collectors(self, place: Path | None) -> None:
        """Answer collectors there and nowhere else.

        Args:
            place: absolute; None = nowhere.

        Raises:
            ConfigurationFault: if it cannot be done; all is as before then.
        """
        if self._collectors is None and place is not None:
            from tokenward.daemon import exposition
            from tokenward.daemon.metrics_socket import MetricsSocket

            self._collectors = MetricsSocket(self._group, lambda accept: exposition.page(self._metrics(), accept))
        if self._collectors is not None:
            await self._collectors.serve(place)

    async def aclose(self) -> None:
        """Close the restricted sockets, for good."""
        if self._sockets is not None:
            await self._sockets.aclose()
