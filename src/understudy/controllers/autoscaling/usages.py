"""What pods use of CPU and memory, where somebody says so.

There is no metrics API here, and nothing that could be measured: simulated pods use nothing. A pod
may state its use by annotation, the same for each of its containers, in the words of kwok:

    kwok.x-k8s.io/usage-cpu: 250m
    kwok.x-k8s.io/usage-memory: 64Mi

Where no pod of a workload does, its autoscaler finds what a real one finds in a cluster without a
metrics API.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from understudy.controllers.workloads import pods
from understudy.kube import objects, quantities

PREFIX: Final = "kwok.x-k8s.io/usage-"


def stated(found: Iterable[objects.Object], resource: str, container: str) -> dict[str, int]:
    """Return what the pods use, in thousandths, by name; only of one container if it is named.

    Pods that do not say it, or not in a quantity, are left out.
    """
    used: dict[str, int] = {}
    for pod in found:
        text = objects.annotations_of(pod).get(f"{PREFIX}{resource}")
        names = [str(one.get("name")) for one in pods.lasting_containers(pod)]
        if text is None or (container and container not in names):
            continue
        try:
            each = quantities.parse(text).milli_value
        except quantities.QuantityError:
            continue
        used[objects.name_of(pod)] = each if container else each * len(names)
    return used
