"""What platforms speak of: services, definitions, sync actions. Frozen, JSON there and back.

Binary content (manifests) is text in UTF-8 here. Names in JSON are the fields' names.
"""

from __future__ import annotations

import binascii
import dataclasses
import functools
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar, cast

from understudy.kube import objects
from understudy.platform import errors

R = TypeVar("R")
_SERVICE_ID = re.compile(
    r"(?P<namespace>[a-z0-9]([-a-z0-9]*[a-z0-9])?):(?P<kind>[a-z][a-z0-9]*)/(?P<name>[^/:\s]+)"
)
_SCALARS = (str, int, float, bool)
_INSTANCE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, order=True)
class ServiceId:
    """A workload: `shop:deployment/web`. The kind is in lower case."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> ServiceId:
        """Read `namespace:kind/name`.

        Raises:
            InvalidRequestError: It has another form.
        """
        match = _SERVICE_ID.fullmatch(text)
        if match is None:
            raise errors.InvalidRequestError(
                f"service id {text!r}: must be namespace:kind/name, e.g. shop:deployment/web"
            )
        return cls(match["namespace"], match["kind"], match["name"])


def check_instance(instance: str) -> str:
    """Return an instance's id if it may stand in subjects, paths and files.

    Raises:
        InvalidRequestError: It is no DNS label.
    """
    if _INSTANCE.fullmatch(instance) is None:
        raise errors.InvalidRequestError(
            f"instance {instance!r}: must be a DNS label: up to 63 lower-case letters, digits and "
            "dashes, e.g. prod-eu"
        )
    return instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of a workload's template."""

    name: str
    image: str
    init: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainersOrExcuse:
    """A workload's containers, or why they are not known: an excuse and its error's code."""

    containers: tuple[Container, ...] = ()
    excuse: str = ""
    code: str = ""

    def or_none(self) -> tuple[Container, ...] | None:
        """Return the containers, None where there is an excuse."""
        return None if self.excuse else self.containers

    def or_raise(self) -> tuple[Container, ...]:
        """Return the containers, or raise the excuse: a ClusterError, of the class it was."""
        if self.excuse:
            code = self.code or errors.ClusterError.default_code
            raise errors.from_json({"code": code, "message": self.excuse})
        return self.containers


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a workload has come, in pods, and what it says about it."""

    desired: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    outdated: int = 0
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A workload as a deliverer sees it.

    Attributes:
        id: `namespace:kind/name`, where Knative's Services are of kind `kservice`; a Service that
            fronts no workload is of kind `service`, and has an excuse for its containers.
        ip: Cluster IP of the Service that selects it, empty where there is none.
        metadata: created_at, resource_version, uid.
        status: `started` (its controller has not looked yet), `updating`, `ready`, `error` or
            `unknown`.
    """

    id: str
    ip: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    status: str = "unknown"
    containers: ContainersOrExcuse = field(default_factory=ContainersOrExcuse)
    rollout: Rollout = field(default_factory=Rollout)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDefinition:
    """A workload's new manifest (YAML); `asynchronous` does not wait for the result."""

    service_id: str
    definition: str
    asynchronous: bool = False


ResourceDef = str
"""A manifest, or several as YAML documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncAction:
    """Delete what `delete` holds, then apply what `apply` holds; either may be empty.

    `resource_id` labels errors and results, nothing else.
    """

    resource_id: str
    delete: ResourceDef = ""
    apply: ResourceDef = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncDef:
    """Actions in the order in which they are done.

    Attributes:
        request_id: The same id is carried out once: asked again, the first result is the answer.
            Empty for none.
    """

    actions: tuple[SyncAction, ...] = ()
    request_id: str = ""


Operation: TypeAlias = Literal["created", "changed", "unchanged", "deleted", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceResult:
    """What became of one object of one action."""

    resource_id: str
    object: str
    operation: Operation
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What became of a sync, object by object, in order."""

    results: tuple[ResourceResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One request of the Kubernetes API, as HTTP.

    Attributes:
        path: With the query, e.g. `/api/v1/pods?limit=500`.
        headers: What the API server needs to know of the body and the answer; no credentials.
        body: Text, or Base64 where `base64` says so.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    base64: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """What the API server answered, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    base64: bool = False


def pack(content: bytes) -> tuple[str, bool]:
    """Return a body as `body` and `base64` of a request or an answer."""
    try:
        return content.decode(), False
    except UnicodeDecodeError:
        return binascii.b2a_base64(content, newline=False).decode(), True


def unpack(message: ApiRequest | ApiAnswer) -> bytes:
    """Return the body of a request or an answer.

    Raises:
        InvalidRequestError: It is no Base64 although it says so, or no text.
    """
    try:
        if not message.base64:
            return message.body.encode()
        return binascii.a2b_base64(message.body, strict_mode=True)
    except ValueError as error:
        raise errors.InvalidRequestError(f"body: {error}") from error


def to_json(value: object) -> objects.Json:
    """Render a record, or a list of them, as JSON."""
    if value is None or type(value) in _SCALARS:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(getattr(value, name)) for name in _hints(type(value))}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in value]
    return value


def from_json(cls: type[R], data: objects.Json) -> R:
    """Rebuild a record from JSON.

    Fields that are not known here are ignored, so that newer peers may say more; missing ones get
    their defaults.

    Raises:
        InvalidRequestError: A field is missing or of a wrong type; the message names it.
    """
    try:
        return cast("R", _value(cls, data, cls.__name__))
    except (TypeError, KeyError) as error:
        raise errors.InvalidRequestError(f"{cls.__name__}: {error}") from error


@functools.cache
def _hints(cls: type) -> dict[str, object]:
    """Return the types of a record's fields; finding them out takes longer than using them."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _value(kind: object, data: objects.Json, path: str) -> object:
    if type(data) is kind or kind is objects.Json:
        return data
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        present = [one for one in arguments if one is not type(None)]
        return None if data is None else _value(present[0], data, path)
    if origin is Literal:
        return data
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(data, dict):
            raise errors.InvalidRequestError(f"{path}: must be an object")
        hints = _hints(kind)
        given = {
            key: _value(hints[key], item, f"{path}.{key}")
            for key, item in data.items()
            if key in hints
        }
        return kind(**given)
    if origin is tuple:
        if not isinstance(data, (list, tuple)):
            raise errors.InvalidRequestError(f"{path}: must be a list")
        return tuple(
            _value(arguments[0], item, f"{path}[{index}]") for index, item in enumerate(data)
        )
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise errors.InvalidRequestError(f"{path}: must be an object")
        return {key: _value(arguments[1], item, f"{path}.{key}") for key, item in data.items()}
    if kind is float and isinstance(data, int):
        return float(data)
    if isinstance(kind, type) and not isinstance(data, kind):
        raise errors.InvalidRequestError(
            f"{path}: must be a {kind.__name__}, not {type(data).__name__}"
        )
    return data
