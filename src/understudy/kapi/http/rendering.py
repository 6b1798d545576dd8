"""Objects, lists and errors as bodies: JSON (compact or for people) and YAML."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import yaml

from understudy.kapi.http import negotiation, responses
from understudy.kapi.resources import catalogue
from understudy.kapi.store import entries
from understudy.kube import objects, statuses

_Dumper: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def to_yaml(value: objects.Json) -> bytes:
    """Encode as YAML with sorted keys, as sigs.k8s.io/yaml does."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=True, allow_unicode=True
    )
    return text.encode()


def json_bytes(
    body: bytes,
    choice: negotiation.Choice,
    *,
    indent: bool,
    status: int = 200,
    headers: Sequence[responses.Header] = (),
) -> responses.Response:
    """Answer with JSON bytes, or with the same content in another layout.

    A newline is added where there is none: a large body brings its own, so as not to be copied.
    """
    if choice.format == "yaml":
        return responses.Response(status, to_yaml(orjson.loads(body)), responses.YAML, headers)
    if indent:
        pretty = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
        return responses.Response(status, pretty, choice.media_type, headers)
    if not body.endswith(b"\n"):
        body += b"\n"
    return responses.Response(status, body, choice.media_type, headers)


def json_value(
    value: objects.Json,
    choice: negotiation.Choice,
    *,
    indent: bool,
    status: int = 200,
    headers: Sequence[responses.Header] = (),
) -> responses.Response:
    """Answer with a JSON value in the layout asked for."""
    if choice.format == "yaml":
        return responses.Response(status, to_yaml(value), responses.YAML, headers)
    option = orjson.OPT_INDENT_2 if indent else orjson.OPT_APPEND_NEWLINE
    return responses.Response(
        status, orjson.dumps(value, option=option), choice.media_type, headers
    )


def error(
    failure: statuses.ApiError,
    choice: negotiation.Choice,
    *,
    indent: bool,
    headers: Sequence[responses.Header] = (),
) -> responses.Response:
    """Answer with an error's Status."""
    more = [*headers, *(responses.warning(text) for text in failure.warnings)]
    if failure.retry_after_s:
        more.append(("Retry-After", str(failure.retry_after_s)))
    return json_value(failure.status(), choice, indent=indent, status=failure.code, headers=more)


def list_metadata(revision: int, continue_token: str, remaining: int | None) -> objects.Object:
    """Return a list's metadata."""
    metadata: objects.Object = {"resourceVersion": str(revision)}
    if continue_token:
        metadata["continue"] = continue_token
    if remaining:
        metadata["remainingItemCount"] = remaining
    return metadata


def list_body(
    resource: catalogue.Resource, found: list[entries.Entry], metadata: objects.Object
) -> bytes:
    """Return a whole list: one join over the entries' stored bytes."""
    if resource.custom:
        # Lists of custom objects say where to go on even where there is nothing more.
        metadata = {"continue": ""} | metadata
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        resource.kind_of_list.encode(),
        resource.api_version.encode(),
        orjson.dumps(metadata),
    )
    if resource.from_storage is None:
        pieces = [entry.encoded for entry in found]
    else:
        pieces = [entry.item(resource) for entry in found]
    if not pieces:
        return head + b"]}\n"
    # Beginning and end ride on the first and last item, so that the whole is copied once: each
    # further copy of a large list costs as much as the join.
    pieces[0] = head + pieces[0]
    pieces[-1] += b"]}\n"
    return b",".join(pieces)
