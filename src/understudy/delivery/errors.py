"""Why a delivery did not happen, or not fully. Each class carries the command's exit code.

DeliveryError                1   anything else; the message is one sentence to act on
+-- ManifestError            1   the input cannot be delivered; nothing was written
+-- OrderError               1   objects depend on each other in a circle
+-- NoSuchRevisionError      1   the application, or the revision asked for, is not there
+-- RefusedError             1   the server refused writes in the middle of a delivery
+-- BlockedError             3   the rehearsal, or a guard, found what would go wrong
+-- StalePlanError           4   the cluster is no longer what the plan was made for
+-- LockHeldError            5   somebody else delivers this application now
+-- FencedError              5   somebody else took the delivery over meanwhile
+-- UnhealthyError           6   delivered, but not healthy, or not in time
+-- RolledBackError          7   the same, and the previous revision is back
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class DeliveryError(Exception):
    """A delivery did not happen, or not fully."""

    exit_code: ClassVar[int] = 1


class ManifestError(DeliveryError):
    """The input cannot be delivered; nothing was written.

    Attributes:
        complaints: One sentence for each mistake, naming file, document and field.
    """

    def __init__(self, complaints: Sequence[str]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("\n".join(self.complaints))


class OrderError(DeliveryError):
    """Objects depend on each other in a circle, by relations that cannot be set aside."""


class NoSuchRevisionError(DeliveryError):
    """The application, or the revision asked for, is not there."""


class ScopeError(DeliveryError):
    """A scope cannot be told of a workload, or made to forget it."""


class RefusedError(DeliveryError):
    """The server refused writes in the middle of a delivery; what was done stays recorded."""

    def __init__(self, refusals: Sequence[str]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("\n".join(self.refusals))


class BlockedError(DeliveryError):
    """The rehearsal, or a guard, found what would go wrong; nothing was written for it.

    Attributes:
        reasons: One sentence for each obstacle, with the remedy.
    """

    exit_code = 3

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("\n".join(self.reasons))


class StalePlanError(DeliveryError):
    """The cluster is no longer what the plan was made for; nothing was written.

    Attributes:
        changes: One sentence for each object that is no longer as planned.
    """

    exit_code = 4

    def __init__(self, changes: Sequence[str]) -> None:
        self.changes = tuple(changes)
        super().__init__("the plan is stale: " + "; ".join(self.changes))


class LockHeldError(DeliveryError):
    """Somebody else delivers this application now."""

    exit_code = 5


class FencedError(DeliveryError):
    """Somebody else took this delivery over meanwhile; it stopped where it was."""

    exit_code = 5


class UnhealthyError(DeliveryError):
    """What was delivered is not healthy, or was not in time.

    Attributes:
        reasons: One sentence for each object that is not.
    """

    exit_code = 6

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("\n".join(self.reasons))


class RolledBackError(UnhealthyError):
    """What was delivered was not healthy, and the previous revision is back."""

    exit_code = 7
