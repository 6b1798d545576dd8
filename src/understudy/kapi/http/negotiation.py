"""Content negotiation: which form of an answer a client asks for, which body it has sent.

Accept carries more than a format in Kubernetes: `as=Table`, `as=PartialObjectMetadata(List)` and
`as=APIGroupDiscoveryList` ask for other kinds of the same answer.

# Differs: answers are never protobuf. A client that accepts nothing but protobuf gets 406; every
# real client also accepts JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from understudy.kube import statuses

Format = Literal["json", "yaml"]
Form = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]
Endpoint = Literal["object", "list", "watch"]

PROTOBUF = "application/vnd.kubernetes.protobuf"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
APPLY_PATCH_CBOR = "application/apply-patch+cbor"

_BUILT_IN = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_CUSTOM = "application/json, application/yaml"
_STREAMS = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_FORM_VERSIONS = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True)
class Clause:
    """One alternative of an Accept header."""

    type: str
    subtype: str
    parameters: dict[str, str]
    quality: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to answer with.

    Attributes:
        form: Another kind of the same answer, or empty for the object itself.
        form_version: `v1` or `v1beta1` of meta.k8s.io.
        pretty: Indent; None leaves it to `?pretty` and the User-Agent.
    """

    format: Format = "json"
    form: Form = ""
    form_version: str = "v1"
    pretty: bool | None = None
    media_type: str = "application/json"


PLAIN = Choice()


def parse_accept(text: str) -> list[Clause]:
    """Split an Accept header into clauses, best quality first; order decides among equals."""
    clauses: list[Clause] = []
    for part in text.replace("\n", ",").split(","):
        media, *raw_parameters = (piece.strip() for piece in part.split(";"))
        if not media:
            continue
        main, _, subtype = media.lower().partition("/")
        parameters: dict[str, str] = {}
        quality = 1.0
        for raw in raw_parameters:
            name, _, value = raw.partition("=")
            if name.strip().lower() == "q":
                quality = _quality(value)
            elif name:
                parameters[name.strip().lower()] = value.strip().strip('"')
        clauses.append(Clause(main, subtype, parameters, quality))
    return sorted(clauses, key=lambda clause: -clause.quality)


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def choose(accept: str, endpoint: Endpoint, *, custom: bool) -> Choice:
    """Return how to answer on a resource's endpoint.

    Raises:
        NotAcceptableError: Nothing asked for can be given; in the words of whichever layer of the
            real server notices (the router by media type alone, then the negotiation).
    """
    if not accept or accept in ("*/*", "application/json"):
        return PLAIN
    clauses = parse_accept(accept)
    routable = [clause for clause in clauses if _format_of(clause, "list") is not None]
    if not routable and not custom and not any(_is_protobuf(clause) for clause in clauses):
        raise _unroutable("object" if endpoint == "object" else "list")
    for clause in clauses:
        chosen = _format_of(clause, endpoint)
        if chosen is None:
            continue
        choice = _with_form(clause, chosen)
        if choice is not None:
            return choice
    raise statuses.NotAcceptableError(
        f"only the following media types are accepted: {_accepted(endpoint, custom=custom)}"
    )


def for_errors(accept: str) -> Choice:
    """Return how to answer with an error: YAML for who wants only that, else JSON."""
    if not accept or "yaml" not in accept:
        return PLAIN
    for clause in parse_accept(accept):
        chosen = _format_of(clause, "object")
        if chosen is not None:
            return Choice(format=chosen, media_type=f"application/{chosen}")
    return PLAIN


def _accepted(endpoint: Endpoint, *, custom: bool) -> str:
    if endpoint == "watch":
        return "application/json;stream=watch" if custom else _STREAMS
    return _CUSTOM if custom else _BUILT_IN


def _unroutable(endpoint: Endpoint) -> statuses.NotAcceptableError:
    known = _BUILT_IN if endpoint == "object" else f"{_BUILT_IN}, {_STREAMS}"
    return statuses.NotAcceptableError(
        f"406: Not Acceptable\n\nAvailable representations: {known}", details={}
    )


def discovery_unacceptable() -> statuses.NotAcceptableError:
    """Build the refusal of discovery documents that no router negotiates (`/apis/GROUP`)."""
    return statuses.NotAcceptableError(f"only the following media types are accepted: {_BUILT_IN}")


def _is_protobuf(clause: Clause) -> bool:
    return f"{clause.type}/{clause.subtype}" == PROTOBUF


def _format_of(clause: Clause, endpoint: Endpoint) -> Format | None:
    if clause.type == "*" or (clause.type == "application" and clause.subtype in ("*", "json")):
        return "json"
    if clause.type == "application" and clause.subtype == "yaml" and endpoint != "watch":
        return "yaml"
    return None


def _with_form(clause: Clause, format: Format) -> Choice | None:
    parameters = clause.parameters
    pretty = parameters["pretty"] == "1" if "pretty" in parameters else None
    media_type = f"application/{format}"
    form = parameters.get("as", "")
    if not form:
        return Choice(format=format, pretty=pretty, media_type=media_type)
    version = parameters.get("v", "")
    if parameters.get("g") != "meta.k8s.io" or version not in _FORM_VERSIONS:
        return None
    for known in _FORMS:
        if form == known:
            return Choice(
                format=format,
                form=known,  # type: ignore[arg-type]
                form_version=version,
                pretty=pretty,
                media_type=media_type,
            )
    return None


def pretty(choice: Choice, asked: str, user_agent: str) -> bool:
    """Return whether JSON is indented: by `?pretty`, by Accept, or for people's own tools."""
    if choice.pretty is not None:
        return choice.pretty
    if asked:
        return asked.lower() not in ("false", "0")
    return user_agent.startswith(("curl", "Wget", "Mozilla/5.0"))


# -- request bodies


def body_type(content_type: str) -> str:
    """Return the media type of a body, lower-case, without parameters; missing means JSON."""
    return content_type.partition(";")[0].strip().lower() or "application/json"


def unsupported_body(*, custom: bool) -> statuses.UnsupportedMediaTypeError:
    """Build the refusal of a body in a format that is not read."""
    return statuses.UnsupportedMediaTypeError(
        "the body of the request was in an unknown format - accepted media types include: "
        f"{_CUSTOM if custom else _BUILT_IN}"
    )


def patch_types(*, custom: bool) -> tuple[str, ...]:
    """Return the patch types of a resource, in the order of the real server's message."""
    if custom:
        return (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
    return (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)


def unsupported_patch(*, custom: bool) -> statuses.UnsupportedMediaTypeError:
    """Build the refusal of a patch type."""
    known = ", ".join(patch_types(custom=custom))
    return statuses.UnsupportedMediaTypeError(
        f"the body of the request was in an unknown format - accepted media types include: {known}"
    )
