"""Bodies are read within limits, whatever their format."""

import pytest

from understudy.kapi.http import bodies
from understudy.kube import statuses

DEPTHS = [130, 900, 5_000, 200_000]


def read(body, content_type="application/json", custom=False):
    return bodies.parse_object(body, content_type, "ConfigMap", custom=custom, depth_max=128)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("content_type", ["application/json", "application/yaml"])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_objects_are_refused(depth, content_type, opening, closing):
    body = b'{"data":' + opening * depth + b"1" + closing * depth + b"}"
    with pytest.raises(statuses.BadRequestError):
        read(body, content_type)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "patch_type",
    [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ],
)
def test_deep_patches_are_refused(depth, patch_type):
    with pytest.raises(statuses.BadRequestError):
        bodies.parse_patch(b"[" * depth + b"]" * depth, patch_type, depth_max=128)


@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_options_are_refused(depth):
    body = b'{"preconditions":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    with pytest.raises(statuses.BadRequestError):
        bodies.parse_delete_options(body, "application/json", depth_max=128)


def test_wide_bodies_are_fine():
    body = b'{"data":{' + b",".join(b'"k%d":{}' % n for n in range(1000)) + b"}}"
    parsed, duplicates = read(body)
    assert len(parsed["data"]) == 1000
    assert duplicates == ()


def test_repeated_keys_are_told():
    assert read(b'{"data":{"a":"1","a":"2"}}') == (
        {"data": {"a": "2"}},
        ('duplicate field "data.a"',),
    )


def test_yaml_aliases_cannot_multiply():
    lines = ["a: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"b{n}: &a{n + 1} [{','.join([f'*a{n}'] * 10)}]" for n in range(9)]
    with pytest.raises(statuses.BadRequestError):
        read("\n".join(lines).encode(), "application/yaml")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/cbor; x=y", "nonsense"]
)
def test_other_formats_are_unsupported(content_type):
    with pytest.raises(statuses.UnsupportedMediaTypeError):
        read(b"{}", content_type)


def test_protobuf_is_for_built_in_kinds():
    with pytest.raises(statuses.UnsupportedMediaTypeError):
        read(b"k8s\x00", "application/vnd.kubernetes.protobuf", custom=True)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b'{"kind":"Pod"}', 'no kind "Pod" is registered for version "v1"'),
        (b'{"gracePeriodSeconds":"x"}', "DeleteOptions.gracePeriodSeconds of type int64"),
        (b'{"orphanDependents":1}', "cannot unmarshal number .* of type bool"),
        (b'{"dryRun":{}}', "cannot unmarshal object"),
        (b"{", "unexpected"),
    ],
)
def test_options_of_deletion_are_checked(body, complaint):
    with pytest.raises(statuses.BadRequestError, match=complaint):
        bodies.parse_delete_options(body, "application/json", depth_max=128)


def test_no_options_are_no_options():
    assert bodies.parse_delete_options(b"", "", depth_max=128) is None
    assert bodies.parse_delete_options(b"{}", "", depth_max=128) == {}
