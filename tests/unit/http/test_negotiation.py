"""Accept headers, body types, layouts."""

from __future__ import annotations

import pytest

from understudy.kapi.http import negotiation
from understudy.kube import statuses

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.mark.parametrize(
    ("accept", "format", "form"),
    [
        ("", "json", ""),
        ("*/*", "json", ""),
        ("application/json", "json", ""),
        ("application/yaml", "yaml", ""),
        (f"{PROTOBUF},application/json", "json", ""),
        (f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"
         "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
         "json", "PartialObjectMetadata"),
        (f"{TABLE},application/json", "json", "Table"),
        ("application/json;as=Nothing;v=v1;g=meta.k8s.io, application/json", "json", ""),
        ("application/json;q=0.5, application/yaml", "yaml", ""),
    ],
)  # fmt: skip
def test_what_a_client_gets(accept, format, form):
    choice = negotiation.choose(accept, "list", custom=False)
    assert (choice.format, choice.form) == (format, form)


@pytest.mark.parametrize(
    ("accept", "endpoint", "details"),
    [
        ("text/csv", "object", {}),
        ("application/json;as=Nothing;v=v1;g=meta.k8s.io", "object", None),
        ("application/json;as=Table;v=v9;g=meta.k8s.io", "list", None),
        ("application/yaml", "watch", None),
        (PROTOBUF, "object", None),
    ],
)
def test_what_is_not_acceptable(accept, endpoint, details):
    with pytest.raises(statuses.NotAcceptableError) as error:
        negotiation.choose(accept, endpoint, custom=False)
    assert error.value.details == details


@pytest.mark.parametrize(
    ("asked", "agent", "expected"),
    [
        ("", "kubectl/v1.33", False),
        ("", "curl/8.1", True),
        ("true", "kubectl/v1.33", True),
        ("0", "curl/8.1", False),
    ],
)
def test_layout(asked, agent, expected):
    assert negotiation.pretty(negotiation.PLAIN, asked, agent) is expected


def test_a_missing_content_type_means_json():
    assert negotiation.body_type("") == "application/json"
    assert negotiation.body_type("Application/JSON; charset=utf-8") == "application/json"
