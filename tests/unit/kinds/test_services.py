"""Cluster IPs and node ports: who gets which, and what a service may become."""

import ipaddress

import pytest

from understudy.kapi.resources.kinds import allocations
from understudy.kapi.views import options
from understudy.kube import statuses


def service(*ports, **spec):
    listed = [{"port": port} if isinstance(port, int) else port for port in ports or (80,)]
    return {"spec": {"ports": listed} | spec}


def named(name, obj):
    return {"metadata": {"name": name}} | obj


def test_a_service_gets_an_address_of_its_own(bench):
    made = [bench.made("services", named(name, service())) for name in "abc"]
    addresses = {one["spec"]["clusterIP"] for one in made}
    assert len(addresses) == 3
    assert all(ipaddress.ip_address(one) in allocations.SERVICE_NETWORK for one in addresses)
    spec = made[0]["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (spec["type"], spec["sessionAffinity"]) == ("ClusterIP", "None")


def test_an_address_is_given_once(bench):
    bench.create("services", service(clusterIP="10.96.0.7"))
    assert bench.refused("services", named("b", service(clusterIP="10.96.0.7"))) == [
        'spec.clusterIPs: Invalid value: ["10.96.0.7"]: failed to allocate IP 10.96.0.7: provided '
        "IP is already allocated"
    ]
    bench.view.delete("services", "a", "default")
    assert bench.made("services", named("b", service(clusterIP="10.96.0.7")))


def test_an_address_comes_from_the_network_of_services(bench):
    (cause,) = bench.refused("services", service(clusterIP="192.168.0.1"))
    assert cause.endswith(
        "the provided IP (192.168.0.1) is not in the valid range. The range of valid IPs is "
        "10.96.0.0/12"
    )


def test_node_ports_come_from_their_range_and_are_taken_once(bench):
    made = bench.made("services", service(type="NodePort"))
    port = made["spec"]["ports"][0]["nodePort"]
    low, high = allocations.NODE_PORTS
    assert low <= port <= high
    taken = {"port": 80, "nodePort": port}
    assert bench.refused("services", named("b", service(taken, type="NodePort"))) == [
        f"spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated"
    ]
    outside = {"port": 80, "nodePort": 80}
    assert bench.refused("services", named("b", service(outside, type="NodePort"))) == [
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The "
        "range of valid ports is 30000-32767"
    ]


def test_ports_of_two_protocols_share_a_node_port(bench):
    udp = {"port": 53, "protocol": "UDP", "name": "u"}
    made = bench.made("services", service({"port": 53, "name": "t"}, udp, type="NodePort"))
    first, second = made["spec"]["ports"]
    assert first["nodePort"] == second["nodePort"]


def test_what_was_allocated_stays_and_goes_with_the_type(bench):
    made = bench.made("services", service(type="NodePort"))
    put = {key: made[key] for key in ("apiVersion", "kind")} | named("a", service(type="NodePort"))
    again = bench.view.update("services", put, "default").object()
    assert again["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    assert again["spec"]["ports"] == made["spec"]["ports"]
    plain = bench.patch("services", {"spec": {"type": "ClusterIP"}})
    assert "nodePort" not in plain["spec"]["ports"][0]


def test_a_cluster_ip_never_changes(bench):
    bench.create("services", service())
    change = {"spec": {"clusterIP": "10.96.9.9", "clusterIPs": ["10.96.9.9"]}}
    (cause,) = bench.patch_refused("services", change)
    assert cause == 'spec.clusterIPs[0]: Invalid value: ["10.96.9.9"]: may not change once set'


def test_a_headless_service_has_no_address(bench):
    spec = bench.made("services", service(clusterIP="None"))["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])


def test_an_external_name_is_a_name(bench):
    assert bench.refused("services", {"spec": {"type": "ExternalName"}}) == [
        "spec.externalName: Required value"
    ]
    made = bench.made("services", {"spec": {"type": "ExternalName", "externalName": "a.example"}})
    assert "clusterIP" not in made["spec"]


def test_a_dry_run_takes_nothing(bench):
    dry = options.WriteOptions(dry_run=True)
    made = bench.create("services", service(type="NodePort"), options=dry).object()
    assert made["spec"]["ports"][0]["nodePort"] == 32769
    assert made["spec"]["clusterIP"] == "10.96.0.0"
    taken = bench.made("services", service(clusterIP="10.96.0.9"))["spec"]["clusterIP"]
    assert bench.create("services", named("b", service(clusterIP=taken)), options=dry)


def test_forks_allocate_apart(bench):
    fork = bench.view.fork("other")
    fork.create("services", named("a", service(clusterIP="10.96.0.9")), "default")
    assert bench.made("services", service(clusterIP="10.96.0.9"))


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"type": "Nope"}, 'spec.type: Unsupported value: "Nope": supported values: "ClusterIP", '
         '"ExternalName", "LoadBalancer", "NodePort"'),
        ({"sessionAffinity": "x"}, 'spec.sessionAffinity: Unsupported value: "x": supported '
         'values: "ClientIP", "None"'),
    ],
)  # fmt: skip
def test_unknown_choices_name_the_known_ones(bench, spec, cause):
    assert cause in bench.refused("services", service(**spec))


def test_several_ports_need_names(bench):
    assert bench.refused("services", service(80, 81)) == [
        "spec.ports[0].name: Required value",
        "spec.ports[1].name: Required value",
    ]


def test_a_deleted_address_is_free_again_in_every_sort_of_fork(bench):
    bench.create("services", service(clusterIP="10.96.0.20"))
    pinned, following = bench.view.fork("pinned"), bench.view.fork("following", follow=True)
    wanted = named("b", service(clusterIP="10.96.0.20"))
    for view in (pinned, following):
        with pytest.raises(statuses.InvalidError):
            view.create("services", wanted, "default")
    bench.view.delete("services", "a", "default")
    assert following.create("services", wanted, "default").created
    with pytest.raises(statuses.InvalidError):
        pinned.create("services", wanted, "default")
    pinned.delete("services", "a", "default")
    assert pinned.create("services", wanted, "default").created


def test_a_service_of_an_unknown_type_is_refused_for_that_alone(bench):
    bench.create("services", {"spec": {"ports": [{"port": 80}]}})
    (cause,) = bench.patch_refused("services", {"spec": {"type": "a"}})
    assert cause.startswith('spec.type: Unsupported value: "a": ')
