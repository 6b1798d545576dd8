"""What can go wrong with apps: one tree, each class a code that callers can act on.

    AppError
    +-- AppInvalidError             INVALID_ARGUMENT     identity or spec; every problem is listed
    +-- AppNotFoundError            NOT_FOUND            no such app
    +-- AppNameConflictError        ALREADY_EXISTS       the Service's name belongs to another app
    +-- AppPermissionDeniedError    PERMISSION_DENIED    the cluster does not allow it
    +-- AppQuotaExceededError       RESOURCE_EXHAUSTED   a quota forbids it, or the rate is too high
    +-- AppConflictError            ABORTED              lost every race; try again
    +-- AppPreconditionError        FAILED_PRECONDITION  the app is not as the caller expects
    +-- AppTokenExpiredError        INVALID_ARGUMENT     list again from the start
    +-- AppUnavailableError         UNAVAILABLE          the cluster cannot be reached now
    +-- AppTimeoutError             DEADLINE_EXCEEDED    asked for, but not done in time
    +-- AppInternalError            INTERNAL             anything else that the cluster said

`from_cluster` is the one place where the cluster's errors become these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from understudy.apps import records
from understudy.client import errors as transport
from understudy.kube import statuses


class AppError(Exception):
    """Something about an app did not work; `str()` says what, and what to do.

    Attributes:
        code: gRPC's word for it, stable for scripts.
        retryable: The same call may work later without a change.
    """

    code: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False


class AppInvalidError(AppError):
    """The identity or spec cannot work.

    Attributes:
        problems: (field path, problem) for everything found, not only the first.
    """

    code = "INVALID_ARGUMENT"

    def __init__(self, what: str, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        listed = "; ".join(f"{field}: {text}" if field else text for field, text in self.problems)
        super().__init__(f"{what} is not valid: {listed}")


class AppNotFoundError(AppError):
    """No such app, or no such replica of it."""

    code = "NOT_FOUND"


class AppNameConflictError(AppError):
    """The Knative Service that the identity maps to belongs to someone else; nothing was touched.

    Attributes:
        service: Name of the Service.
        owner: Identity found on it, empty when it is not an app of ours at all.
    """

    code = "ALREADY_EXISTS"

    def __init__(self, app_id: records.Identifier, service: str, owner: str) -> None:
        self.service = service
        self.owner = owner
        whose = f"belongs to the app {owner}" if owner else "is not managed as an app"
        super().__init__(
            f"app {app_id}: the Knative Service {service!r} {whose};"
            " choose another name, project or domain"
        )


class AppPermissionDeniedError(AppError):
    """The cluster does not allow it."""

    code = "PERMISSION_DENIED"


class AppQuotaExceededError(AppError):
    """A quota forbids it, or the cluster asks to slow down."""

    code = "RESOURCE_EXHAUSTED"
    retryable = True


class AppConflictError(AppError):
    """Others kept changing the app; each time it was read again, in vain."""

    code = "ABORTED"
    retryable = True


class AppPreconditionError(AppError):
    """The app is not in the state that the caller named."""

    code = "FAILED_PRECONDITION"


class AppTokenExpiredError(AppError):
    """The continue token is too old or was never given out; list again from the start."""

    code = "INVALID_ARGUMENT"


class AppUnavailableError(AppError):
    """The cluster could not be reached, or cannot answer now."""

    code = "UNAVAILABLE"
    retryable = True


class AppTimeoutError(AppError):
    """What was asked for was not done in time; calling again goes on where this stopped."""

    code = "DEADLINE_EXCEEDED"
    retryable = True


class AppInternalError(AppError):
    """The cluster answered in a way nothing here is made for."""


def from_cluster(
    doing: str, error: statuses.ApiError | transport.TransportError, *, listing: bool = False
) -> AppError:
    """Turn an answer of the cluster into the error it means here; raise it `from` the original.

    `doing` starts the message, e.g. `deploy app shop/dev/web`; `listing` says that a 410 is about
    the caller's continue token.
    """
    if isinstance(error, transport.TransportError):
        return AppUnavailableError(f"{doing}: {error}")
    text = f"{doing}: {error.message}"
    match error:
        case statuses.InvalidError() | statuses.RequestTooLargeError():
            return AppInvalidError(doing, _problems(error))
        case statuses.BadRequestError():
            if listing and "continue" in error.message.lower():
                return AppTokenExpiredError(f"{doing}: the token is not one of this list")
            return AppInvalidError(doing, _problems(error))
        case statuses.NotFoundError():
            return AppNotFoundError(text)
        case statuses.ForbiddenError() if "exceeded quota" in error.message:
            return AppQuotaExceededError(text)
        case statuses.ForbiddenError() | statuses.UnauthorizedError():
            return AppPermissionDeniedError(text)
        case statuses.TooManyRequestsError():
            return AppQuotaExceededError(text)
        case statuses.AlreadyExistsError() | statuses.ConflictError():
            return AppConflictError(text)
        case statuses.ExpiredError():
            if listing:
                return AppTokenExpiredError(f"{doing}: the token has expired; list from the start")
            return AppConflictError(text)
        case statuses.ServiceUnavailableError() | statuses.TimeoutApiError():
            return AppUnavailableError(text)
        case _:
            return AppInternalError(text)


def _problems(error: statuses.ApiError) -> list[tuple[str, str]]:
    causes = [
        (str(cause.get("field") or ""), str(cause.get("message") or "")) for cause in error.causes
    ]
    return causes or [("", error.message)]
