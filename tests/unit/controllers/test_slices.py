"""How many endpoints come into which slice; the numbers are those of a real control plane."""

from __future__ import annotations

from understudy.aio import clocks, ids
from understudy.controllers import running
from understudy.kapi import views

SLICES = "endpointslices.discovery.k8s.io"


def test_slices_are_filled_where_the_rest_fits_and_made_where_it_does_not() -> None:
    view = views.new_view(clock=clocks.ManualClock(), ids=ids.SeededIds(1))
    rehearsal = running.Rehearsal(view, "endpointslice-controller", everything=True)
    for number in range(205):
        labels = {"all": "z"} | ({"set": "x"} if number < 125 else {})
        labels |= {"app": "a"} if number < 105 else {"app": "b"} if number < 125 else {}
        view.create("pods", {
            "metadata": {"name": f"p{number:03}", "labels": labels},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "run"}]},
        }, "default")  # fmt: skip
        ip = f"10.0.{number // 250}.{number % 250 + 1}"
        ready = {"type": "Ready", "status": "True"}
        status = {"phase": "Running", "podIPs": [{"ip": ip}], "conditions": [ready]}
        view.patch("pods", f"p{number:03}", {"status": status}, "default",
                   patch_type="application/merge-patch+json", subresource="status")  # fmt: skip
    service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "a"}, "ports": [
        {"port": 80}]}}  # fmt: skip
    view.create("services", service, "default")
    seen = []
    for selector in ({"app": "a"}, {"set": "x"}, {"all": "z"}, {"app": "b"}):
        patch = [{"op": "replace", "path": "/spec/selector", "value": selector}]
        view.patch("services", "web", patch, "default", patch_type="application/json-patch+json")
        assert rehearsal.rest().is_settled
        seen.append(sorted(len(one["endpoints"]) for one in view.each(SLICES, "default")))
    # 20 more fit beside the 5; 80 more do not fit beside the 25.
    assert seen == [[5, 100], [25, 100], [25, 80, 100], [20]]
