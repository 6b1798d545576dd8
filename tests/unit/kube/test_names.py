"""Names and metadata: what Kubernetes accepts, and its words for what it does not."""

import pytest

from understudy.kube import causes, names


@pytest.mark.parametrize("name", ["a", "a.b", "0", "a-b.c9", "x" * 253])
def test_a_subdomain_is_accepted(name):
    assert names.dns_subdomain(name) == []


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a..b", "a\n", "é"])
def test_what_is_no_subdomain_is_told_with_the_pattern(name):
    assert names.dns_subdomain(name) == [
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
        " '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex"
        " used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    ]


def test_lengths_are_counted_in_bytes():
    assert names.dns_subdomain("x" * 254) == ["must be no more than 253 characters"]
    assert names.label_value("x" * 64) == ["must be no more than 63 bytes"]
    assert names.label_key("x" * 64) == ["name part must be no more than 63 bytes"]


def test_a_label_with_dots_is_told_so():
    assert names.dns_label("a.b") == ["must not contain dots"]


def test_a_path_segment_may_be_nearly_anything():
    assert names.path_segment("UPPER:case_") == []
    assert names.path_segment("a/b%") == ["may not contain '/'", "may not contain '%'"]
    assert names.path_segment("..") == ["may not be '..'"]


@pytest.mark.parametrize("key", ["a", "A.b_c-d", "example.com/a", "1"])
def test_a_label_key_is_accepted(key):
    assert names.label_key(key) == []


def test_both_parts_of_a_label_key_are_checked():
    found = names.label_key("UP_/-")
    assert [text[:12] for text in found] == ["prefix part ", "name part mu"]
    assert names.label_key("/a") == ["prefix part must be non-empty"]
    assert names.label_key("a/b/c")[0].startswith("a valid label key must consist of")


def test_port_names_need_a_letter():
    assert names.port_name("80") == ["must contain at least one letter (a-z)"]
    assert names.port_name("http-") == ["must not begin or end with a hyphen"]
    assert names.port_name("a--b") == ["must not contain consecutive hyphens"]


def _object(**metadata):
    return {"metadata": {"name": "a", "namespace": "n", **metadata}}


def test_metadata_without_a_name_is_refused():
    found = names.validate_metadata({"metadata": {}}, namespaced=True, name_check=names.dns_label)
    assert [str(one) for one in found] == [
        "metadata.name: Required value: name or generateName is required",
        "metadata.namespace: Required value",
    ]


def test_a_cluster_scoped_object_has_no_namespace():
    found = names.validate_metadata(_object(), namespaced=False, name_check=names.dns_label)
    assert [str(one) for one in found] == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


def test_a_generate_name_may_end_in_a_dash():
    for prefix, count in (("web-", 0), ("Web_", 1)):
        found = names.validate_metadata(
            _object(generateName=prefix), namespaced=True, name_check=names.dns_label
        )
        assert [one.field for one in found] == ["metadata.generateName"] * count


def test_annotations_are_limited_in_total():
    found = names.validate_metadata(
        _object(annotations={"k": "v" * 262144}), namespaced=True, name_check=names.dns_label
    )
    assert [str(one) for one in found] == [
        "metadata.annotations: Too long: may not be more than 262144 bytes"
    ]


def test_only_one_owner_controls():
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": True}
    found = names.validate_metadata(
        _object(ownerReferences=[owner, owner | {"name": "q"}]),
        namespaced=True,
        name_check=names.dns_label,
    )
    assert len(found) == 1
    assert found[0].message.endswith('Found "true" in references for Pod/p and Pod/q')


def test_an_event_owns_nothing():
    owner = {"apiVersion": "v1", "kind": "Event", "name": "p", "uid": "1"}
    found = names.validate_metadata(
        _object(ownerReferences=[owner]), namespaced=True, name_check=names.dns_label
    )
    assert [one.message for one in found] == [
        'Invalid value: {"apiVersion":"v1","kind":"Event","name":"p","uid":"1"}:'
        " /v1, Kind=Event is disallowed from being an owner"
    ]


def test_an_update_cannot_move_an_object():
    old = _object(uid="1", resourceVersion="5", creationTimestamp="2020-01-01T00:00:00Z")
    new = _object(uid="2", creationTimestamp="2020-01-01T00:00:00Z")
    found = names.validate_metadata_update(new, old, True, names.MetadataChecks())
    assert [str(one) for one in found] == [
        'metadata.resourceVersion: Invalid value: "": must be specified for an update',
        'metadata.uid: Invalid value: "2": field is immutable',
    ]


def test_a_deleted_object_gets_no_new_finalizers():
    old = _object(uid="1", resourceVersion="5", deletionTimestamp="x", finalizers=["a.b/c"])
    new = _object(
        uid="1", resourceVersion="5", deletionTimestamp="x", finalizers=["a.b/c", "d.e/f"]
    )
    found = names.validate_metadata_update(new, old, True, names.MetadataChecks())
    assert [one.message for one in found] == [
        "Forbidden: no new finalizers can be added if the object is being deleted, found new"
        ' finalizers []string{"d.e/f"}'
    ]


def test_values_are_printed_as_go_prints_them():
    assert causes.printed('a"b\n') == '"a\\"b\\n"'
    assert causes.printed(True) == "true"
    assert causes.printed({"a": ["<", 1]}) == '{"a":["\\u003c",1]}'
    assert causes.printed("é\x00") == '"é\\x00"'
