"""Lists, watches and revisions: parsing what a client asks and finding the state it means."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import NamedTuple

import orjson

from understudy.kapi.resources import catalogue
from understudy.kapi.store import entries, trees
from understudy.kapi.views import results
from understudy.kube import conversions, jsontext, objects, selectors, statuses

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
        raise statuses.BadRequestError(f"invalid resource version: {complaint}")
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
        strategy = resource.strategy
        fields.check(
            strategy.selectable, custom=resource.custom, refusal=strategy.selectable_refusal
        )
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
        BadRequestError: It is not one of ours; worded as by the real server.
    """
    parsed = _unpack(token)
    version, revision, start = parsed.get("v", ""), parsed.get("rv", 0), parsed.get("start", "")
    for field, value, kind, wanted in (
        ("v", version, str, "string"),
        ("rv", revision, int, "int64"),
        ("start", start, str, "string"),
    ):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _bad_token(
                f": json: cannot unmarshal {conversions.called(value)} into Go struct field "
                f"continueToken.{field} of type {wanted}"
            )
    if version != "meta.k8s.io/v1":
        raise _bad_token(f": server does not recognize this encoded version {version}")
    if not revision:
        raise _bad_token(f": incorrect encoded start resourceVersion (version {version})")
    if not start:
        raise _bad_token(f": encoded start key empty (version {version})")
    if not _is_clean(start):
        raise _bad_token(f": {start}")
    after = start.rstrip("\x00")
    return Continue(revision, f"{namespace}/{after}" if namespace else after)


def _unpack(token: str) -> objects.Object:
    corrupt = _NOT_BASE64.search(token)
    if corrupt is not None or len(token) % 4 == 1:
        at = corrupt.start() if corrupt is not None else len(token) - 1
        raise _bad_token(f": illegal base64 data at input byte {at}")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    complaint = jsontext.complaint(raw)
    if complaint:
        raise _bad_token(f": {complaint}")
    parsed = jsontext.loads(raw)
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        kind = conversions.called(parsed)
        raise _bad_token(
            f": json: cannot unmarshal {kind} into Go value of type storage.continueToken"
        )
    return {key: value for key, value in parsed.items() if value is not None}


_NOT_BASE64 = re.compile(r"[^A-Za-z0-9_-]")


def _bad_token(why: str) -> statuses.BadRequestError:
    return statuses.BadRequestError(f"invalid continue token: continue key is not valid{why}")


def _is_clean(start: str) -> bool:
    """Whether a key stays where it is put: without `.`, `..` and empty steps (Go's path.Clean)."""
    return not any(step in ("", ".", "..") for step in start.removeprefix("/").split("/"))


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
    rest = 0
    for _, entry in tree.items(part.prefix, part.after):
        if part.limit and len(found) == part.limit:
            rest += 1
            if match is not None:
                break  # Whether what follows matches is the next page's business.
        elif match is None or match(entry):
            found.append(entry)
    token = ""
    if rest:
        token = encode_continue(Continue(revision, found[-1].key), part.namespace)
    return results.Page(
        resource=resource,
        entries=found,
        revision=revision,
        continue_token=token,
        remaining=rest if rest and match is None else None,
    )


def within(prefix: str, match: Match | None) -> Match:
    """Return a test that also asks for a key's prefix (a namespace)."""
    if match is None:
        return lambda entry: entry.key.startswith(prefix)
    return lambda entry: entry.key.startswith(prefix) and match(entry)


def expired_list(go_on: Continue | None, namespace: str, *, paged: bool) -> statuses.ExpiredError:
    """Build the answer to a list of a state that is no longer kept.

    For a page of a longer list the answer's `metadata.continue` goes on from the same place in
    the present state; `status()` puts it there from `continue_token`.
    """
    if not paged:
        return statuses.ExpiredError("The resourceVersion for the provided list is too old.")
    if go_on is None:
        return statuses.ExpiredError(
            "The provided continue parameter is too old to display a consistent list result. You "
            "can start a new list without the continue parameter."
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
