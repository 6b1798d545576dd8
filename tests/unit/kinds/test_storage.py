"""What the storage kinds allow."""

import pytest

from understudy.kube import statuses

CAPACITY = {"metadata": {"name": "a"}, "storageClassName": "fast", "capacity": "1Gi"}


def test_a_storage_capacity_is_not_replaced_without_its_version(bench):
    view = bench.view
    made = view.create("csistoragecapacities.storage.k8s.io", CAPACITY, "default").object()
    with pytest.raises(statuses.InvalidError, match="must be specified for an update"):
        view.update("csistoragecapacities.storage.k8s.io", CAPACITY, "default")
    view.update("csistoragecapacities.storage.k8s.io", made, "default")


CLASS = {"provisioner": "example.com/disk", "parameters": {"a": "b"}}


def test_a_class_of_storage_keeps_its_parameters(bench):
    bench.create("storageclasses.storage.k8s.io", CLASS)
    assert bench.patch_refused("storageclasses.storage.k8s.io", {"parameters": {"a": "c"}}) == [
        'parameters: Invalid value: {"a":"c"}: field is immutable'
    ]


def volume(key):
    terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": ["z"]}]}]
    return {
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/a"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        }
    }


def test_where_a_volume_is_may_only_be_said_in_newer_words(bench):
    ref = "persistentvolumes"
    bench.create(ref, volume("failure-domain.beta.kubernetes.io/zone"))
    bench.patch(ref, volume("topology.kubernetes.io/zone"))
    (cause,) = bench.patch_refused(ref, volume("failure-domain.beta.kubernetes.io/zone"))
    assert cause.endswith(": field is immutable, except for updating from beta label to GA")
