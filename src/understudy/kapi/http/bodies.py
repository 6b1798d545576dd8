"""Request bodies: JSON, YAML, protobuf and patches, read within limits, refused in Go's words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import orjson

from understudy.kapi.http import negotiation
from understudy.kube import decoding, jsontext, objects, statuses, yamltext

JSON = "application/json"
YAML = "application/yaml"
_GO_NAMES = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_OPTIONS_SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"


def parse_object(
    body: bytes, content_type: str, kind: str, *, custom: bool, depth_max: int
) -> tuple[objects.Object, tuple[str, ...]]:
    """Read an object that is to be written; also returns complaints about duplicate keys.

    `kind` is the one expected, for messages.

    Raises:
        UnsupportedMediaTypeError: The format is not read here. BadRequestError: it does not parse.
    """
    media_type = negotiation.body_type(content_type)
    with _parsing(depth_max):
        if media_type == JSON:
            parsed, duplicates = decoding.parse_json(body, kind)
        elif media_type == YAML:
            parsed, duplicates = decoding.parse_yaml(body, kind)
        elif media_type == negotiation.PROTOBUF and not custom:
            return _protobuf(body), ()
        else:
            raise negotiation.unsupported_body(custom=custom)
    if custom and not parsed.get("kind"):
        shown = body.decode("utf-8", "replace")
        raise statuses.BadRequestError(
            f"the object provided is unrecognized (must be of type {kind}): Object 'Kind' is "
            f"missing in '{shown}' ({decoding.summary(body)})"
        )
    check_depth(body, parsed, depth_max)
    return parsed, tuple(duplicates)


@contextlib.contextmanager
def _parsing(depth_max: int) -> Iterator[None]:
    """Refuse what is nested too deeply even for a parser."""
    try:
        yield
    except (RecursionError, orjson.JSONEncodeError) as error:
        raise _too_deep(depth_max) from error


def _too_deep(depth_max: int) -> statuses.BadRequestError:
    return statuses.BadRequestError(
        f"the body of the request is nested more than {depth_max} levels deep"
    )


def _protobuf(body: bytes) -> objects.Object:
    from understudy.kapi.http import protobuf  # noqa: PLC0415 (tables that few clients need)

    return protobuf.decode(body)


def check_depth(body: bytes, value: objects.Json, depth_max: int) -> None:
    """Refuse a value nested deeper than the limit, before anything recursive touches it.

    Raises:
        BadRequestError: It is.
    """
    if body.count(b"{") + body.count(b"[") <= depth_max:
        return
    level = [value]
    depth = 0
    while level:
        depth += 1
        if depth > depth_max:
            raise _too_deep(depth_max)
        below: list[objects.Json] = []
        for item in level:
            inner = item.values() if isinstance(item, dict) else item
            below.extend(one for one in inner if isinstance(one, (dict, list)))
        level = below


def parse_patch(body: bytes, patch_type: str, *, depth_max: int) -> tuple[objects.Json, list[str]]:
    """Read a patch of one of the four types; also returns complaints about duplicate keys.

    Those of a configuration to apply are warnings already.

    Raises:
        BadRequestError: It does not parse.
    """
    with _parsing(depth_max):
        return _parse_patch(body, patch_type, depth_max)


def _parse_patch(body: bytes, patch_type: str, depth_max: int) -> tuple[objects.Json, list[str]]:
    if patch_type == negotiation.APPLY_PATCH:
        return _parse_apply(body, depth_max)
    prefix = "" if patch_type == negotiation.STRATEGIC_MERGE_PATCH else "error decoding patch: "
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        complaint = jsontext.complaint(body) or str(error)
        raise statuses.BadRequestError(f"{prefix}{complaint}") from error
    check_depth(body, patch, depth_max)
    what = "json patch " if patch_type == negotiation.JSON_PATCH else ""
    return patch, [f"{what}{complaint}" for complaint in decoding.repeated(body, patch)]


def _parse_apply(body: bytes, depth_max: int) -> tuple[objects.Object, list[str]]:
    warnings: list[str] = []
    try:
        config = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            config, complaints = yamltext.load(body)
        except yamltext.YamlError as error:
            why = f"error converting YAML to JSON: {error}"
            raise statuses.BadRequestError(f"error decoding YAML: {why}") from error
        for complaint in complaints:
            # Go gives one text for all keys; each of its lines is a warning of its own.
            warnings += [line.strip() for line in complaint.split("\n")[1:]]
    if config is None:
        config = {}
    if not isinstance(config, dict):
        named = _GO_NAMES[type(config)]
        raise statuses.BadRequestError(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot "
            f"unmarshal {named} into Go value of type map[string]interface {{}}"
        )
    check_depth(body, config, depth_max)
    return config, warnings


def parse_delete_options(
    body: bytes, content_type: str, *, depth_max: int
) -> objects.Object | None:
    """Read the DeleteOptions of a body; None where there is no body.

    Of the parts that are not DeleteOptions' own only kind and apiVersion are looked at; every
    group's version of the kind is accepted, and so is none.

    Raises:
        BadRequestError: It does not parse, or is something else.
    """
    if not body:
        return None
    media_type = negotiation.body_type(content_type)
    with _parsing(depth_max):
        if media_type == JSON:
            options, _ = decoding.parse_json(body)
        elif media_type == YAML:
            options, _ = decoding.parse_yaml(body)
        elif media_type == negotiation.PROTOBUF:
            options = _protobuf(body)
        else:
            raise negotiation.unsupported_body(custom=False)
    check_depth(body, options, depth_max)
    kind, version = options.get("kind") or "DeleteOptions", options.get("apiVersion") or "v1"
    if kind != "DeleteOptions":
        raise statuses.BadRequestError(
            f'no kind "{kind}" is registered for version "{version}" in scheme "{_OPTIONS_SCHEME}"'
        )
    _check_options(options)
    return options


_OPTION_TYPES: dict[str, tuple[type, str]] = {
    "gracePeriodSeconds": (int, "int64"),
    "orphanDependents": (bool, "bool"),
    "propagationPolicy": (str, "v1.DeletionPropagation"),
    "dryRun": (list, "[]string"),
    "preconditions": (dict, "v1.Preconditions"),
}


def _check_options(options: objects.Object) -> None:
    for field, (wanted, go_type) in _OPTION_TYPES.items():
        value = options.get(field)
        if value is None or (isinstance(value, wanted) and type(value) is not bool):
            continue
        if wanted is bool and isinstance(value, bool):
            continue
        named = "object" if isinstance(value, dict) else _GO_NAMES.get(type(value), "value")
        raise statuses.BadRequestError(
            f"json: cannot unmarshal {named} into Go struct field DeleteOptions.{field} of type "
            f"{go_type}"
        )
