"""What can go wrong on the way to a cluster, as data: equal after every hop.

    PlatformError                  internal
    +-- ClusterError               cluster_error        the cluster answered, with an error
    |   +-- ApplyError             apply_failed         some definitions, each with its own error
    |   +-- SyncError              sync_failed          some actions, each with its own error
    |   +-- MatchError             no_matching          a service and its workloads do not meet
    |       +-- EmptySelectorError         empty_selector
    |       +-- WrongResourceKindError     wrong_resource_kind
    |       +-- NoMatchingServiceError     no_matching_service
    |       +-- ServiceHasNoSelectorError  service_has_no_selector
    |       +-- MultipleMatchingError      multiple_matching
    |       +-- NoMatchingImagesError      no_matching_images
    +-- InvalidRequestError        invalid              what was asked makes no sense
    +-- TooLargeError              too_large            a request or an answer is too long to carry
    +-- NotFoundError              not_found            no such instance or service
    +-- UnavailableError           unavailable          no agent is connected; try again later
    |   +-- DeadlineError          timeout              no answer in time; it may still happen
    |   +-- CancelledCallError     cancelled            the caller gave up
    +-- UpgradeNeededError         upgrade_needed       the agent is too old for this
    +-- FatalError                 fatal                the connection is of no more use
        +-- KickedError            kicked               a newer connection took its place

An error is `{code, message, help, retryable, fatal, details}`, and
`from_json(error.to_json()) == error` holds for every one, whatever relays it. Codes from newer
versions are kept as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from understudy.kube import objects


class PlatformError(Exception):
    """An error of the platform.

    Attributes:
        code: One word that programs decide by.
        message: What happened, one line.
        help: What the user can do; may be empty.
        retryable: Asking again later may help.
        fatal: The connection on which it happened must not be used again.
        details: Further facts; for partial failures `errors`, by resource.
    """

    default_code: ClassVar[str] = "internal"
    default_help: ClassVar[str] = ""
    default_retryable: ClassVar[bool] = False
    default_fatal: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        help: str | None = None,
        details: objects.Object | None = None,
        code: str | None = None,
        retryable: bool | None = None,
        fatal: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.help = self.default_help if help is None else help
        self.retryable = self.default_retryable if retryable is None else retryable
        self.fatal = self.default_fatal if fatal is None else fatal
        self.details: objects.Object = details or {}

    def to_json(self) -> objects.Object:
        """Render as data."""
        return {
            "code": self.code,
            "message": self.message,
            "help": self.help,
            "retryable": self.retryable,
            "fatal": self.fatal,
            "details": self.details,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlatformError) and (
            type(self) is type(other) and self.to_json() == other.to_json()
        )

    def __hash__(self) -> int:
        return hash((self.code, self.message))


class ClusterError(PlatformError):
    """The cluster answered, with an error."""

    default_code = "cluster_error"


class _PartialError(ClusterError):
    """Some of what was asked failed; `errors` has an error for each that did."""

    @classmethod
    def of(cls, errors: Mapping[str, PlatformError]) -> _PartialError:
        """Build from the errors by resource; the message lists them in order."""
        listed = "; ".join(f"{name}: {error.message}" for name, error in sorted(errors.items()))
        rendered = {name: error.to_json() for name, error in errors.items()}
        return cls(
            listed,
            details={"errors": rendered},
            retryable=all(error.retryable for error in errors.values()),
        )

    @property
    def errors(self) -> dict[str, PlatformError]:
        """What failed, by resource."""
        found = self.details.get("errors") or {}
        return {name: from_json(data) for name, data in found.items()}


class ApplyError(_PartialError):
    """Some definitions could not be applied."""

    default_code = "apply_failed"


class SyncError(_PartialError):
    """Some actions failed; `details["results"]` has every action's outcome."""

    default_code = "sync_failed"


class MatchError(ClusterError):
    """A service and the workloads it selects do not meet one to one."""

    default_code = "no_matching"


class EmptySelectorError(MatchError):
    """A service's selector selects nothing in particular."""

    default_code = "empty_selector"


class WrongResourceKindError(MatchError):
    """A definition is of a kind that does not fit its service."""

    default_code = "wrong_resource_kind"


class NoMatchingServiceError(MatchError):
    """No service is defined for what was given."""

    default_code = "no_matching_service"


class ServiceHasNoSelectorError(MatchError):
    """A service selects no pods."""

    default_code = "service_has_no_selector"


class MultipleMatchingError(MatchError):
    """Several workloads match where one was meant."""

    default_code = "multiple_matching"


class NoMatchingImagesError(MatchError):
    """No container uses an image that was named."""

    default_code = "no_matching_images"


class InvalidRequestError(PlatformError):
    """What was asked makes no sense; nothing was done."""

    default_code = "invalid"


class TooLargeError(PlatformError):
    """A request or an answer is longer than what is carried."""

    default_code = "too_large"
    default_help = "Ask for less at a time, or raise the limit on every bus."


class NotFoundError(PlatformError):
    """There is no such instance, or service."""

    default_code = "not_found"


class UnavailableError(PlatformError):
    """No agent answers for the cluster."""

    default_code = "unavailable"
    default_help = "Check that the agent runs in the cluster and reaches the hub, then try again."
    default_retryable = True


class DeadlineError(UnavailableError):
    """No answer came in time; what was asked may still happen."""

    default_code = "timeout"


class CancelledCallError(UnavailableError):
    """The caller gave up before the answer came."""

    default_code = "cancelled"


class UpgradeNeededError(PlatformError):
    """The agent does not know how to do this."""

    default_code = "upgrade_needed"
    default_help = "Upgrade the agent in the cluster."


class FatalError(PlatformError):
    """The mechanism failed: the connection is of no more use and is given up."""

    default_code = "fatal"
    default_retryable = True
    default_fatal = True


class KickedError(FatalError):
    """A newer connection for the same instance took this one's place."""

    default_code = "kicked"
    default_help = "If two agents use this instance's identity, give one another identity."


_CLASSES: tuple[type[PlatformError], ...] = (
    PlatformError, ClusterError, ApplyError, SyncError, MatchError, EmptySelectorError,
    WrongResourceKindError, NoMatchingServiceError, ServiceHasNoSelectorError,
    MultipleMatchingError, NoMatchingImagesError, InvalidRequestError, TooLargeError,
    NotFoundError, UnavailableError, DeadlineError, CancelledCallError, UpgradeNeededError,
    FatalError, KickedError,
)  # fmt: skip
_BY_CODE = {cls.default_code: cls for cls in _CLASSES}


def from_json(data: objects.Object) -> PlatformError:
    """Rebuild an error from data; codes that are not known here are kept."""
    code = str(data.get("code") or "internal")
    cls = _BY_CODE.get(code, PlatformError)
    return cls(
        str(data.get("message") or ""),
        help=str(data.get("help") or ""),
        details=dict(data.get("details") or {}),
        code=code,
        retryable=bool(data.get("retryable")),
        fatal=bool(data.get("fatal")),
    )


def upgrade_needed(who: str, method: str) -> UpgradeNeededError:
    """Return the error of whoever does not know a method yet."""
    return UpgradeNeededError(f"{who} does not know {method}")


def kicked(instance: str, older: int, newer: int) -> KickedError:
    """Return the error of a connection, by its epoch, whose place a newer one took."""
    return KickedError(f"connection {older} of {instance} was replaced by connection {newer}")


def late(what: str, seconds: float) -> DeadlineError:
    """Return the error of what did not happen in time: `prod-eu did not answer ping`."""
    return DeadlineError(f"{what} within {round(seconds, 2):g} s")
