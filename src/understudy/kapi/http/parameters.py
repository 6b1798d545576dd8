"""Query parameters and DeleteOptions bodies as options of verbs, refused in Kubernetes' words."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from understudy.kapi.http import requests
from understudy.kapi.resources import calls, strategies
from understudy.kapi.views import options as opts
from understudy.kube import objects, statuses

NOT_OLDER_THAN = "NotOlderThan"
EXACT = "Exact"
FIELD_MANAGER_BYTES_MAX = 128
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_POLICIES = ("Foreground", "Background", "Orphan")
_PRINTABLE = ("L", "M", "N", "P", "S")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """Parameters of list, watch and deletecollection (meta/v1 ListOptions).

    Attributes:
        send_initial_events: None where the client does not say.
        timeout_s: None where the client sets none.
    """

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    watch: bool = False
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None
    timeout_s: int | None = None


NO_LIST_OPTIONS = ListOptions()


def list_options(query: requests.Query, *, watch: bool) -> ListOptions:
    """Read and validate the parameters of a list or watch.

    Raises:
        BadRequestError: A number does not parse. InvalidError: parameters contradict each other.
    """
    if query is requests.EMPTY_QUERY:
        return NO_LIST_OPTIONS
    initial = query.flag("sendInitialEvents") if "sendInitialEvents" in query else None
    options = ListOptions(
        label_selector=query.get("labelSelector"),
        field_selector=query.get("fieldSelector"),
        limit=_integer(query, "limit") or 0,
        continue_token=query.get("continue"),
        resource_version=query.get("resourceVersion"),
        resource_version_match=query.get("resourceVersionMatch"),
        watch=watch,
        allow_bookmarks=query.flag("allowWatchBookmarks"),
        send_initial_events=initial,
        timeout_s=_integer(query, "timeoutSeconds"),
    )
    causes = _watch_complaints(options) if watch else _list_complaints(options)
    if causes:
        raise statuses.invalid("meta.k8s.io", "ListOptions", "", causes)
    return options


def _list_complaints(options: ListOptions) -> list[statuses.Cause]:
    causes: list[statuses.Cause] = []
    match = options.resource_version_match
    field = "resourceVersionMatch"
    if match:
        if not options.resource_version:
            causes.append(
                _forbidden(field, f"{field} is forbidden unless resourceVersion is provided")
            )
        if options.continue_token:
            causes.append(_forbidden(field, f"{field} is forbidden when continue is provided"))
        if match not in (EXACT, NOT_OLDER_THAN):
            causes.append(statuses.unsupported(field, match, (EXACT, NOT_OLDER_THAN, "")))
        if match == EXACT and options.resource_version == "0":
            causes.append(
                _forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"')
            )
    if options.send_initial_events is not None:
        causes.append(_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return causes


def _watch_complaints(options: ListOptions) -> list[statuses.Cause]:
    causes: list[statuses.Cause] = []
    match = options.resource_version_match
    field = "resourceVersionMatch"
    if options.send_initial_events is not None and match != NOT_OLDER_THAN:
        causes.append(
            _forbidden(field, f"sendInitialEvents requires setting {field} to {NOT_OLDER_THAN}")
        )
    if match:
        if options.send_initial_events is None:
            causes.append(
                _forbidden(
                    field, f"{field} is forbidden for watch unless sendInitialEvents is provided"
                )
            )
        if match != NOT_OLDER_THAN:
            causes.append(statuses.unsupported(field, match, (NOT_OLDER_THAN,)))
        if options.continue_token:
            causes.append(_forbidden(field, f"{field} is forbidden when continue is provided"))
    return causes


def _forbidden(field: str, why: str) -> statuses.Cause:
    return statuses.Cause(field, "FieldValueForbidden", f"Forbidden: {why}")


def _integer(query: requests.Query, name: str) -> int | None:
    if name not in query:
        return None
    text = query.get(name)
    if not text:
        return 0
    digits = text[1:] if text[:1] in "+-" else text
    if digits.isascii() and digits.isdigit():
        number = int(text)
        if -(1 << 63) <= number < 1 << 63:
            return number
        problem = "value out of range"
    else:
        problem = "invalid syntax"
    raise statuses.BadRequestError(f'strconv.ParseInt: parsing "{text}": {problem}')


# -- writes


def write_options(
    query: requests.Query,
    kind: str,
    *,
    user: strategies.UserInfo,
    user_agent: str,
    duplicates: tuple[str, ...] = (),
    applies: bool = False,
    attempt: calls.Attempt | None = None,
) -> opts.WriteOptions:
    """Read and validate the parameters of create, update or patch.

    `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`; `applies` says that the patch is
    a server-side apply.

    Raises:
        InvalidError: A parameter has a value it may not have.
    """
    agent = manager_of(user_agent)
    if query is requests.EMPTY_QUERY and not applies:
        return opts.WriteOptions(
            user_agent=agent, user=user, duplicates=duplicates, attempt=attempt
        )
    manager = query.get("fieldManager")
    causes: list[statuses.Cause] = []
    if kind == "PatchOptions":
        if applies and not manager:
            causes.append(statuses.required("fieldManager", "is required for apply patch"))
        elif not applies and "force" in query:
            causes.append(_forbidden("force", "may not be specified for non-apply patch"))
    causes += _manager_complaints(manager)
    causes += _dry_run_complaints(query.all("dryRun"))
    validation = query.get("fieldValidation")
    if validation not in _VALIDATIONS:
        causes.append(statuses.unsupported("fieldValidation", validation, _VALIDATIONS))
    if causes:
        raise statuses.invalid("meta.k8s.io", kind, "", causes)
    return opts.WriteOptions(
        field_manager=manager,
        user_agent=agent,
        dry_run="dryRun" in query,
        field_validation=validation or "Warn",
        force=query.flag("force"),
        user=user,
        duplicates=duplicates,
        attempt=attempt,
    )


def manager_of(user_agent: str) -> str:
    """Return the field manager a User-Agent stands for: what precedes the first `/`.

    Example: `kubectl/v1.33.0 (linux/amd64)` -> `kubectl`; unprintable letters are dropped, and
    it is cut to 128 bytes (apiserver `managerOrUserAgent`).
    """
    name = user_agent.partition("/")[0]
    if not name.isascii() or not name.isprintable():
        name = "".join(char for char in name if _is_printable(char))
    return name.encode()[:FIELD_MANAGER_BYTES_MAX].decode(errors="ignore")


def _is_printable(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] in _PRINTABLE


def _manager_complaints(manager: str) -> list[statuses.Cause]:
    causes: list[statuses.Cause] = []
    if len(manager.encode()) > FIELD_MANAGER_BYTES_MAX:
        causes.append(
            statuses.Cause(
                "fieldManager",
                "FieldValueTooLong",
                f"Too long: may not be more than {FIELD_MANAGER_BYTES_MAX} bytes",
            )
        )
    position = 0
    for char in manager:
        if not _is_printable(char):
            causes.append(
                statuses.Cause(
                    "fieldManager",
                    "FieldValueInvalid",
                    f"Invalid value: {_go_quoted(manager)}: invalid character "
                    f"U+{ord(char):04X} (at position {position})",
                )
            )
        position += len(char.encode())
    return causes


_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def _go_quoted(text: str) -> str:
    """Quote as Go's %q does."""
    shown = (
        _ESCAPES.get(char) or (char if _is_printable(char) else f"\\u{ord(char):04x}")
        for char in text
    )
    return '"' + "".join(shown) + '"'


def _dry_run_complaints(values: list[str]) -> list[statuses.Cause]:
    if all(value == "All" for value in values):
        return []
    shown = "[" + ",".join(f'"{value}"' for value in values) + "]"
    return [
        statuses.Cause(
            "dryRun",
            "FieldValueNotSupported",
            f'Unsupported value: {shown}: supported values: "All"',
        )
    ]


# -- deletion


def delete_options(
    query: requests.Query,
    body: objects.Object | None,
    *,
    user: strategies.UserInfo,
    attempt: calls.Attempt | None = None,
) -> opts.DeleteOptions:
    """Read and validate DeleteOptions: from the body where there is one, else from the query.

    Raises:
        BadRequestError: A number does not parse. InvalidError: a value may not be.
    """
    if body is not None:
        dry_run = [str(value) for value in body.get("dryRun") or ()]
        policy = body.get("propagationPolicy")
        orphan = body.get("orphanDependents")
        grace_s = body.get("gracePeriodSeconds")
        preconditions = body.get("preconditions") or {}
    elif query is requests.EMPTY_QUERY:
        return opts.DeleteOptions(user=user, attempt=attempt)
    else:
        dry_run = query.all("dryRun")
        policy = query.get("propagationPolicy") if "propagationPolicy" in query else None
        orphan = query.flag("orphanDependents") if "orphanDependents" in query else None
        grace_s = _integer(query, "gracePeriodSeconds")
        preconditions = {}
    causes = _policy_complaints(policy, orphan) + _dry_run_complaints(dry_run)
    if causes:
        raise statuses.invalid("meta.k8s.io", "DeleteOptions", "", causes)
    return opts.DeleteOptions(
        grace_period_s=grace_s,
        propagation_policy=policy or "",
        orphan_dependents=orphan,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        dry_run=bool(dry_run),
        user=user,
        attempt=attempt,
    )


def _policy_complaints(policy: str | None, orphan: bool | None) -> list[statuses.Cause]:
    causes: list[statuses.Cause] = []
    if orphan is not None and policy is not None:
        causes.append(
            statuses.Cause(
                "propagationPolicy",
                "FieldValueInvalid",
                f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be '
                "both set",
            )
        )
    if policy is not None and policy not in _POLICIES:
        causes.append(statuses.unsupported("propagationPolicy", policy, (*_POLICIES, "nil")))
    return causes


def include_object(query: requests.Query) -> str:
    """Return how much of each object a Table row carries: `Metadata`, `Object` or `None`.

    Raises:
        BadRequestError: Something else was asked for.
    """
    asked = query.get("includeObject")
    if asked not in ("", "Metadata", "Object", "None"):
        raise statuses.BadRequestError(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{asked}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    return asked or "Metadata"
