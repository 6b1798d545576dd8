"""Lists, watches and revisions: parsing what a client asks and finding the state it means."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import NamedTuple

import orjson

from understudy.kapi.resources import catalogue
from understudy.kapi.store import entries, trees
from understudy.kapi.views import results
from understudy.kube import selectors, statuses

Match = Callable[[entries.Entry], bool]


def parse_revision(text: str, *, on_list: bool = False) -> int | None:
    """Parse a resourceVersion; None for the empty string.

    Raises:
        BadRequestError: Malformed, on list. InternalError: malformed, on get and watch (so does
            the real server).
    """
    if not text:
        return None
    if text.isascii() and text.isdigit() and int(text) < 1 << 64:
        return int(text)
    complaint = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
    complaint += "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
    if on_list:
        raise statuses.BadRequestError(complaint)
    raise statuses.InternalError(complaint, reason="")


def too_large(revision: int, current: int) -> statuses.TimeoutApiError:
    """Build the answer to a read from the future."""
    return statuses.TimeoutApiError(
        f"Timeout: Too large resource version: {revision}, current: {current}",
        details={
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        },
    )


def expired(message: str = "") -> statuses.ExpiredError:
    """Build the answer to a read of what is no longer kept."""
    return statuses.ExpiredError(
        message or "The resourceVersion for the provided watch is too old."
    )


def matcher(resource: catalogue.Resource, label_selector: str, field_selector: str) -> Match | None:
    """Return a test for entries, or None where everything matches.

    Raises:
        BadRequestError: A selector does not parse or names a field the kind does not offer.
    """
    labels = selectors.parse_labels(label_selector) if label_selector else None
    fields = selectors.parse_fields(field_selector) if field_selector else None
    tests: list[Match] = []
    if labels is not None and not labels.empty:
        tests.append(lambda entry: labels.matches(entry.labels))
    if fields is not None:
        fields.check(resource.strategy.selectable, custom=resource.custom)
        tests.extend(_field_test(resource, requirement) for requirement in fields.requirements)
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda entry: all(test(entry) for test in tests)


def _field_test(resource: catalogue.Resource, requirement: selectors.FieldRequirement) -> Match:
    wanted, equal = requirement.value, requirement.equal
    if requirement.field == "metadata.name":
        return lambda entry: (entry.name == wanted) is equal
    if requirement.field == "metadata.namespace":
        return lambda entry: (entry.namespace == wanted) is equal
    compute = resource.strategy.selectable_fields
    key = requirement.field
    return lambda entry: (entry.fields(compute).get(key, "") == wanted) is equal


class Continue(NamedTuple):
    """Where a paged list goes on: after which key, at which revision (-1: the present)."""

    revision: int
    after: str


def encode_continue(place: Continue, namespace: str) -> str:
    """Return an opaque token, in the real server's form."""
    start = place.after[len(namespace) + 1 :] if namespace else place.after
    raw = orjson.dumps({"v": "meta.k8s.io/v1", "rv": place.revision, "start": start + "\x00"})
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_continue(token: str, namespace: str) -> Continue:
    """Read a token back.

    Raises:
        BadRequestError: It is not one of ours.
    """
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        parsed = orjson.loads(raw)
        start = str(parsed["start"]).rstrip("\x00")
        version, revision = parsed["v"], int(parsed["rv"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise statuses.BadRequestError(f"continue key is not valid: {_why(error)}") from error
    if version != "meta.k8s.io/v1":
        raise statuses.BadRequestError(
            f'continue key is not valid: server does not recognize this encoded version "{version}"'
        )
    return Continue(revision, f"{namespace}/{start}" if namespace else start)


def _why(error: Exception) -> str:
    if isinstance(error, binascii.Error):
        return "illegal base64 data at input byte 0"
    return str(error)


EntryTree = trees.Tree[entries.Entry]


class Range(NamedTuple):
    """Which part of a tree a page shows: keys with a prefix, after one; `limit` of them, or all."""

    prefix: str
    after: str
    limit: int
    namespace: str


def page(
    resource: catalogue.Resource,
    tree: EntryTree,
    match: Match | None,
    revision: int,
    part: Range,
) -> results.Page:
    """Return one page of a list."""
    found: list[entries.Entry] = []
    more = False
    rest = 0
    for _, entry in tree.items(part.prefix, part.after):
        if more:
            rest += 1
            if match is not None:
                break
        elif match is None or match(entry):
            if part.limit and len(found) == part.limit:
                more, rest = True, 1
                if match is not None:
                    break
            else:
                found.append(entry)
    token = ""
    if more:
        token = encode_continue(Continue(revision, found[-1].key), part.namespace)
    return results.Page(
        resource=resource,
        entries=found,
        revision=revision,
        continue_token=token,
        remaining=rest if more and match is None else None,
    )


def within(prefix: str, match: Match | None) -> Match:
    """Return a test that also asks for a key's prefix (a namespace)."""
    if match is None:
        return lambda entry: entry.key.startswith(prefix)
    return lambda entry: entry.key.startswith(prefix) and match(entry)


def expired_list(go_on: Continue | None, namespace: str) -> statuses.ExpiredError:
    """Build the answer to a list of a state that is no longer kept.

    For a page of a longer list the answer's `metadata.continue` goes on from the same place in
    the present state; `status()` puts it there from `continue_token`.
    """
    if go_on is None:
        return statuses.ExpiredError(
            "The provided resource version is too old; list again without one."
        )
    error = statuses.ExpiredError(
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted "
        "between the time the first chunk was returned and now may show up in the list."
    )
    error.continue_token = encode_continue(go_on, namespace)
    return error
