"""MoltbotSnapshots: takes those that a person asks for, and keeps the newest of the bucket as objects (rules 8, 9)."""

from __future__ import annotations

from moltbot_operator.lifecycle.backups import AskSnapshot, decide_mirrors, decide_snapshot_requests
from moltbot_operator.lifecycle.observed import Observed, SnapshotFacts
from moltbot_operator.lifecycle.ports import PortError, Ports, SnapshotOutcome, SnapshotReason, SnapshotTaken
from moltbot_operator.lifecycle.reports import SnapshotReport
from moltbot_operator.lifecycle.sleep import View

# A snapshot that a person asked for (seconds); one that takes longer goes on in the pod and is found at the next try.
SNAPSHOT_SECONDS = 120.0
WRITE_SECONDS = 10.0


class SnapshotService:
    """Without state of its own: what fails is tried at the next step."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def run(self, view: View) -> SnapshotReport | None:
        """Carry out what is due; the snapshot that was taken, `None` when none was. Raises nothing of the ports."""
        taken: SnapshotReport | None = None
        for order in decide_snapshot_requests(view.observed, view.reports.gateway, view.now):
            if isinstance(order, AskSnapshot):
                taken = await self._take(view.observed, order.request)
            else:
                now = self._ports.clock.now()
                await self._finish(view.observed, order.request, SnapshotOutcome(order.complete, None, order.message, now, order.backup))
        await self._mirror(view)
        return taken

    async def _take(self, observed: Observed, request: SnapshotFacts) -> SnapshotReport | None:
        assert observed.pod is not None
        begun = self._ports.clock.now()
        try:
            answer = await self._ports.state.snapshot(observed.pod, SnapshotReason.REQUESTED, handshake_id=None, timeout=SNAPSHOT_SECONDS)
        except PortError:
            return None
        now = self._ports.clock.now()
        if not isinstance(answer, SnapshotTaken):
            await self._finish(observed, request, SnapshotOutcome(False, None, answer.message or answer.reason, now))
            return None
        message = "taken" if answer.created else "unchanged since this snapshot"
        for other in observed.snapshots:  # it holds all that those wanted who asked before it began
            if other.requested and not other.done and other.created_at <= begun:
                await self._finish(observed, other, SnapshotOutcome(True, answer.snapshot, message, now))
        return answer.snapshot

    async def _finish(self, observed: Observed, request: SnapshotFacts, outcome: SnapshotOutcome) -> None:
        try:
            await self._ports.cluster.finish_snapshot(observed.moltbot.key, request.name, request.uid, outcome, timeout=WRITE_SECONDS)
        except PortError:
            return

    async def _mirror(self, view: View) -> None:
        moltbot = view.observed.moltbot
        if moltbot.deleting:
            return
        mirrors = decide_mirrors(view.observed, view.reports.state)
        try:
            if mirrors.create is not None:
                await self._ports.cluster.mirror_snapshot(moltbot.key, moltbot.uid, mirrors.create, timeout=WRITE_SECONDS)
            for old in mirrors.delete:
                await self._ports.cluster.remove_mirror(moltbot.key, old.name, old.uid, timeout=WRITE_SECONDS)
        except PortError:
            return
