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
