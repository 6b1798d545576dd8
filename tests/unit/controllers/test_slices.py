"""How many endpoints come into which slice; the numbers are those of a real control plane."""

from __future__ import annotations

from understudy.aio import clocks, ids
from understudy.controllers import running
from understudy.kapi import views
from understudy.kube import objects

SLICES = "endpointslices.discovery.k8s.io"


def pod(number: int, labels: dict[str, str], ready: str = "True") -> objects.Object:
    ip = f"10.0.{number // 250}.{number % 250 + 1}"
    condition = {"type": "Ready", "status": ready}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"p{number:04}", "namespace": "default", "labels": labels,
                     "uid": f"00000000-0000-0000-0000-{number:012}"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "run"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": ip}], "conditions": [condition]},
    }  # fmt: skip


def add_service(view: views.View, selector: dict[str, str]) -> None:
    spec = {"selector": selector, "ports": [{"port": 80}]}
    view.create("services", {"metadata": {"name": "web"}, "spec": spec}, "default")


def test_slices_are_filled_where_the_rest_fits_and_made_where_it_does_not() -> None:
    view = views.new_view(clock=clocks.ManualClock(), ids=ids.SeededIds(1))
    rehearsal = running.Rehearsal(view, "endpointslice-controller", everything=True)
    view.load([
        *(pod(number, {"all": "z", "set": "x", "app": "a"}) for number in range(105)),
        *(pod(number, {"all": "z", "set": "x", "app": "b"}) for number in range(105, 125)),
        *(pod(number, {"all": "z"}) for number in range(125, 205)),
    ])  # fmt: skip
    add_service(view, {"app": "a"})
    seen = []
    for selector in ({"app": "a"}, {"set": "x"}, {"all": "z"}, {"app": "b"}):
        patch = [{"op": "replace", "path": "/spec/selector", "value": selector}]
        view.patch("services", "web", patch, "default", patch_type="application/json-patch+json")
        assert rehearsal.rest().is_settled
        seen.append(sorted(len(one["endpoints"]) for one in view.each(SLICES, "default")))
    # 20 more fit beside the 5; 80 more do not fit beside the 25.
    assert seen == [[5, 100], [25, 100], [25, 80, 100], [20]]


def test_endpoints_are_cut_at_a_thousand_and_the_ready_ones_stay() -> None:
    view = views.new_view(clock=clocks.ManualClock(), ids=ids.SeededIds(1))
    web = {"app": "web"}
    view.load(pod(number, web, "True" if number < 600 else "False") for number in range(1003))
    add_service(view, {"app": "web"})
    settled = running.settle(view, "endpoints-controller", everything=True)
    assert settled.is_settled
    endpoints = view.get("endpoints", "web", "default")
    [subset] = endpoints["subsets"]
    assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (600, 400)
    noted = endpoints["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"]
    assert noted == "truncated"
