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


def test_a_new_storage_capacity_is_looked_at_twice_as_in_kubernetes(bench):
    with pytest.raises(statuses.InvalidError) as caught:
        bench.create("csistoragecapacities.storage.k8s.io", CAPACITY | {"capacity": "-1"})
    assert [cause["field"] for cause in caught.value.details["causes"]] == ["capacity"] * 2
    assert caught.value.message.count("greater than or equal to 0") == 1
