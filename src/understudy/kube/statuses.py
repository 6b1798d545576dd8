"""Kubernetes' errors as Python exceptions: one tree, each rendering as `v1.Status` and back.

    ApiError
    +-- BadRequestError            400 BadRequest
    +-- UnauthorizedError          401 Unauthorized
    +-- ForbiddenError             403 Forbidden
    +-- NotFoundError              404 NotFound
    +-- MethodNotAllowedError      405 MethodNotAllowed
    +-- NotAcceptableError         406 NotAcceptable
    +-- AlreadyExistsError         409 AlreadyExists
    +-- ConflictError              409 Conflict (also server-side apply conflicts)
    +-- ExpiredError               410 Expired
    +-- RequestTooLargeError       413 RequestEntityTooLarge
    +-- UnsupportedMediaTypeError  415 UnsupportedMediaType
    +-- InvalidError               422 Invalid
    +-- TooManyRequestsError       429 TooManyRequests
    +-- InternalError              500 InternalError
    +-- ServiceUnavailableError    503 ServiceUnavailable
    +-- TimeoutApiError            504 Timeout

The words are those of k8s.io/apimachinery `api/errors` and of the recorded answers in
`tests/conformance`. `raise -> status() -> from_status() -> equal` holds for every class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from understudy.kube import identities, objects


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason of an Invalid (or other) answer.

    Attributes:
        field: Path such as `spec.containers[0].name`; empty when the cause has none.
        reason: `FieldValueRequired`, `FieldValueInvalid`, `FieldValueNotSupported`,
            `FieldValueForbidden`, `FieldValueDuplicate`, `FieldValueTooLong`, ...
        message: What Kubernetes says after the field, e.g. `Required value: name is needed`.
    """

    field: str
    reason: str
    message: str

    def as_dict(self) -> objects.Object:
        """Render as an entry of `details.causes`."""
        out: objects.Object = {"reason": self.reason, "message": self.message}
        if self.field:
            out["field"] = self.field
        return out

    def __str__(self) -> str:
        """`field: message`, as it stands in an Invalid answer's message."""
        return f"{self.field}: {self.message}" if self.field else self.message


class ApiError(Exception):
    """An answer other than success from a Kubernetes API, or one that the embedded API will give.

    `details` is the `v1.StatusDetails` mapping (name, group, kind, uid, causes,
    retryAfterSeconds) or None. `warnings` are texts for Warning headers, gathered before the
    refusal.
    """

    default_code: ClassVar[int] = 500
    default_reason: ClassVar[str] = "InternalError"
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        details: objects.Object | None = None,
        code: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.code = self.default_code if code is None else code
        self.reason = self.default_reason if reason is None else reason

    @property
    def causes(self) -> list[objects.Object]:
        """The entries of `details.causes`, each with reason, message and (mostly) field."""
        return list((self.details or {}).get("causes") or ())

    @property
    def retry_after_s(self) -> int | None:
        """Seconds after which the server suggests a retry, or None."""
        return (self.details or {}).get("retryAfterSeconds")

    def status(self) -> objects.Object:
        """Render as a `v1.Status` object."""
        out: objects.Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            out["reason"] = self.reason
        if self.details is not None:
            out["details"] = self.details
        out["code"] = self.code
        return out

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiError) and self.status() == other.status()

    def __hash__(self) -> int:
        return hash((self.code, self.reason, self.message))


class BadRequestError(ApiError):
    """The request could not be understood."""

    default_code = 400
    default_reason = "BadRequest"


class UnauthorizedError(ApiError):
    """No credentials, or none that are known."""

    default_code = 401
    default_reason = "Unauthorized"


class ForbiddenError(ApiError):
    """Known, but not allowed: by authorisation, admission, quota or a terminating namespace."""

    default_code = 403
    default_reason = "Forbidden"


class NotFoundError(ApiError):
    """The object, or the resource, does not exist."""

    default_code = 404
    default_reason = "NotFound"


class MethodNotAllowedError(ApiError):
    """The resource does not offer this verb."""

    default_code = 405
    default_reason = "MethodNotAllowed"


class NotAcceptableError(ApiError):
    """None of the media types in Accept can be produced."""

    default_code = 406
    default_reason = "NotAcceptable"


class AlreadyExistsError(ApiError):
    """An object of that name exists. Not a Conflict: retrying with a fresh read will not help."""

    default_code = 409
    default_reason = "AlreadyExists"


class ConflictError(ApiError):
    """The object changed meanwhile, a precondition failed, or another manager owns a field."""

    default_code = 409
    default_reason = "Conflict"


class ExpiredError(ApiError):
    """The resourceVersion or continue token is older than what is kept; list again.

    `continue_token`, where set, goes on with an interrupted list in the present state.
    """

    default_code = 410
    default_reason = "Expired"
    continue_token: str = ""

    def status(self) -> objects.Object:
        """Render as a `v1.Status`, with the token in its metadata."""
        out = super().status()
        if self.continue_token:
            out["metadata"] = {"continue": self.continue_token}
        return out


class RequestTooLargeError(ApiError):
    """The body is larger than the server accepts."""

    default_code = 413
    default_reason = "RequestEntityTooLarge"


class UnsupportedMediaTypeError(ApiError):
    """The body's Content-Type cannot be read here."""

    default_code = 415
    default_reason = "UnsupportedMediaType"


class InvalidError(ApiError):
    """The object is not valid; every cause is listed."""

    default_code = 422
    default_reason = "Invalid"


class TooManyRequestsError(ApiError):
    """Asked to slow down, or an eviction that a disruption budget forbids now."""

    default_code = 429
    default_reason = "TooManyRequests"


class InternalError(ApiError):
    """The server failed."""


class ServiceUnavailableError(ApiError):
    """The server cannot answer now."""

    default_code = 503
    default_reason = "ServiceUnavailable"


class TimeoutApiError(ApiError):
    """The server gave up waiting, e.g. for a resourceVersion from the future."""

    default_code = 504
    default_reason = "Timeout"


_CLASSES: tuple[type[ApiError], ...] = (
    BadRequestError, UnauthorizedError, ForbiddenError, NotFoundError, MethodNotAllowedError,
    NotAcceptableError, AlreadyExistsError, ConflictError, ExpiredError, RequestTooLargeError,
    UnsupportedMediaTypeError, InvalidError, TooManyRequestsError, InternalError,
    ServiceUnavailableError, TimeoutApiError,
)  # fmt: skip
_BY_REASON = {cls.default_reason: cls for cls in _CLASSES} | {"Gone": ExpiredError}
_BY_CODE = {cls.default_code: cls for cls in _CLASSES if cls is not AlreadyExistsError}


def from_status(status: objects.Object, code: int = 500) -> ApiError:
    """Rebuild the exception from a `v1.Status`; by reason first, by code where there is none."""
    reason = str(status.get("reason") or "")
    code = int(status.get("code") or code)
    cls = _BY_REASON.get(reason) or _BY_CODE.get(code) or ApiError
    return cls(
        str(status.get("message") or f"the server answered {code}"),
        details=status.get("details"),
        code=code,
        reason=reason,
    )


def not_found(resource: identities.GroupResource, name: str) -> NotFoundError:
    """Build `pods "web" not found`."""
    return NotFoundError(f'{resource} "{name}" not found', details=_details(resource, name))


def already_exists(resource: identities.GroupResource, name: str) -> AlreadyExistsError:
    """Build `pods "web" already exists`."""
    return AlreadyExistsError(
        f'{resource} "{name}" already exists', details=_details(resource, name)
    )


def conflict(resource: identities.GroupResource, name: str, why: str) -> ConflictError:
    """Build `Operation cannot be fulfilled on pods "web": why`."""
    return ConflictError(
        f'Operation cannot be fulfilled on {resource} "{name}": {why}',
        details=_details(resource, name),
    )


def forbidden(resource: identities.GroupResource, name: str, why: str) -> ForbiddenError:
    """Build `pods "web" is forbidden: why`."""
    return ForbiddenError(
        f'{resource} "{name}" is forbidden: {why}', details=_details(resource, name)
    )


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> InvalidError:
    """Build `Pod "web" is invalid: ...` with every cause, as Kubernetes aggregates them."""
    texts = list(dict.fromkeys(str(cause) for cause in causes))
    summary = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details: objects.Object = {"name": name, "group": group, "kind": kind}
    details = {key: value for key, value in details.items() if value}
    if causes:
        details["causes"] = [cause.as_dict() for cause in causes]
    qualified = f"{kind}.{group}" if group else kind
    return InvalidError(f'{qualified} "{name}" is invalid: {summary}', details=details)


def required(field: str, why: str = "") -> Cause:
    """Build a FieldValueRequired cause."""
    return Cause(field, "FieldValueRequired", f"Required value: {why}" if why else "Required value")


def unsupported(field: str, value: str, supported: Iterable[str]) -> Cause:
    """Build a FieldValueNotSupported cause; the supported values are quoted in their order."""
    known = ", ".join(f'"{item}"' for item in supported)
    return Cause(
        field,
        "FieldValueNotSupported",
        f'Unsupported value: "{value}"' + (f": supported values: {known}" if known else ""),
    )


def _details(resource: identities.GroupResource, name: str) -> objects.Object:
    out: objects.Object = {"name": name, "group": resource.group, "kind": resource.resource}
    return {key: value for key, value in out.items() if value}
