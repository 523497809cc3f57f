"""How long a container that ended waits for its next start; the kubelet's rule, pure.

Source: `client-go/util/flowcontrol/backoff.go` and `kuberuntime_manager.go: doBackOff`. The first restart is immediate; then 10 s,
doubling to 5 min, counted from the moment the container ended. After it ran for twice the longest wait (10 min), all is forgotten.
"""

from dataclasses import dataclass

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 300.0
FORGET_SECONDS = 2 * LONGEST_SECONDS


@dataclass(frozen=True)
class Backoff:
    """`seconds`: the wait that the latest restart has earned; `since`: when it was earned."""

    seconds: float = 0
    since: float = 0

    def until(self, ended: float) -> float:
        """When a container that ended then may start; a time in the past for the first restart."""
        if self.seconds == 0 or ended - self.since > FORGET_SECONDS:
            return ended
        return ended + self.seconds

    def restarted(self, ended: float, now: float) -> "Backoff":
        """A container that had ended then is started again now."""
        if self.seconds == 0 or ended - self.since > FORGET_SECONDS:
            return Backoff(FIRST_SECONDS, now)
        return Backoff(min(self.seconds * 2, LONGEST_SECONDS), now)
